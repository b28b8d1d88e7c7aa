//! The HTTP side: routes, one file for each resource.

mod body;
mod channels;
mod demo;
mod error;
mod events;
mod fallback;
mod health;
pub(crate) mod idempotency;
mod signed;
mod timeline;
mod users;

use std::{convert::Infallible, sync::Arc};

use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, UPGRADE},
};
use serde_json::Value;
use tidings_inbox::{BodyError, Entrance, Inbox};

pub(crate) use self::error::HttpError;
use self::{body::Body, signed::Signed};
use crate::{drain::Phase, metrics::scrape, node::Node, ws};

type Reply = Response<Body>;

/// Answers a request; whatever is wrong with it is an answer too.
pub(crate) async fn answer(
    node: Arc<Node>,
    inbox: Option<Arc<Inbox>>,
    entrance: Entrance,
    mut request: Request<Incoming>,
) -> Result<Reply, Infallible> {
    let started = node.clock.now();
    // Shared, not copied: the request itself is taken apart.
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let path = uri.path();
    let (route, reply) = if let Some(inbox) = inbox.filter(|_| tidings_inbox::is_path(path)) {
        request.extensions_mut().insert(entrance);
        ("inbox", answer_inbox(&node, &inbox, request).await)
    } else {
        let fallback = fallback::is_ours(path);
        let mut reply = route(&node, &method, path, request).await.unwrap_or_else(|error| {
            let status = error.status().as_u16();
            let path = if fallback { fallback::FOLDER } else { path };
            tracing::info!(%method, path, status, reason = %error, "request refused");
            node.metrics.request_refused(&error);
            refusal(&error)
        });
        if fallback {
            fallback::open_to_pages(&mut reply);
        }
        (route_name(path), reply)
    };
    node.metrics.request(route, reply.status().as_u16(), node.clock.now() - started);
    Ok(reply)
}

/// Answers a request of those who operate the server.
pub(crate) fn answer_operator(node: &Node, request: &Request<Incoming>) -> Reply {
    match request.uri().path() {
        "/metrics" => reply(StatusCode::OK, scrape::CONTENT_TYPE, scrape::text(node)),
        "/healthz" => health::alive(),
        "/readyz" => health::ready(node),
        _ => refusal(&HttpError::NotFound),
    }
}

/// What metrics call the route of a path.
fn route_name(path: &str) -> &'static str {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match segments[..] {
        ["app", _] => "app",
        ["apps", _, "events"] => "events",
        ["apps", _, "batch_events"] => "batch_events",
        ["apps", _, "channels"] => "channels",
        ["apps", _, "channels", _] => "channel",
        ["apps", _, "channels", _, "users"] => "channel_users",
        ["apps", _, "users", .., "terminate_connections"] | ["users", .., "terminate_connections"] => {
            "terminate_connections"
        }
        ["healthz" | "live" | "readyz" | "ready" | "up" | "accept-traffic"] => "health",
        ["pusher", ..] => "fallback",
        ["timeline", ..] => "timeline",
        _ => "other",
    }
}

async fn answer_inbox(node: &Node, inbox: &Inbox, request: Request<Incoming>) -> Reply {
    let (parts, body) = request.into_parts();
    let max = inbox.body_max(&parts);
    let body = signed::read_body(body, max).await.map_err(|error| match error {
        HttpError::BodyTooLarge { max } => BodyError::TooLarge { max },
        _ => BodyError::Incomplete,
    });
    let reply = inbox.answer(parts, body).await;
    if let Some(failure) = reply.extensions().get() {
        node.metrics.inbox_unauthorized(*failure);
    }
    reply.map(Body::Whole)
}

async fn route(
    node: &Arc<Node>,
    method: &Method,
    path: &str,
    request: Request<Incoming>,
) -> Result<Reply, HttpError> {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    if ws::is_upgrade(&request) {
        if node.phase() >= Phase::Closing {
            return Err(HttpError::Leaving);
        }
        let key = if let ["app", key] = segments[..] { Some(key) } else { None };
        return ws::upgrade(node, request, key).map_err(HttpError::Handshake);
    }
    let get = || allow(method, &Method::GET);
    let post = || allow(method, &Method::POST);
    let look = || if method == Method::HEAD { Ok(()) } else { get() };
    match segments[..] {
        [""] => {
            get()?;
            demo::page(node)
        }
        // The second names and the further ones are those of Sockudo, Reverb and soketi: probes stay as they are.
        ["healthz" | "live"] => {
            look()?;
            Ok(health::alive())
        }
        ["readyz" | "ready" | "up" | "accept-traffic"] => {
            look()?;
            Ok(health::ready(node))
        }
        ["app", _] => Err(HttpError::UpgradeRequired),
        ["pusher", ref rest @ ..] => fallback::route(node, request, rest).await,
        ["timeline", "v2", "jsonp", receiver] => {
            get()?;
            timeline::script(receiver)
        }
        ["timeline", "v2", "xhr", _] => {
            get()?;
            Ok(timeline::request())
        }
        ["apps", id, "events"] => {
            post()?;
            events::trigger(node, Signed::of_app(node, id, request).await?).await
        }
        ["apps", id, "batch_events"] => {
            post()?;
            events::trigger_batch(node, Signed::of_app(node, id, request).await?).await
        }
        ["apps", id, "channels"] => {
            get()?;
            channels::list(node, &Signed::of_app(node, id, request).await?)
        }
        ["apps", id, "channels", channel] => {
            get()?;
            channels::one(node, &Signed::of_app(node, id, request).await?, channel)
        }
        ["apps", id, "channels", channel, "users"] => {
            get()?;
            channels::users(node, &Signed::of_app(node, id, request).await?, channel)
        }
        // The libraries send a slash in a user's id as it is.
        ["apps", id, "users", ref user_id @ .., "terminate_connections"] => {
            post()?;
            Ok(users::terminate(&Signed::of_app(node, id, request).await?, &user_id.join("/")))
        }
        // The Python library leaves the app out.
        ["users", ref user_id @ .., "terminate_connections"] => {
            post()?;
            Ok(users::terminate(&Signed::of_key(node, request).await?, &user_id.join("/")))
        }
        _ => Err(HttpError::NotFound),
    }
}

fn allow(method: &Method, allowed: &Method) -> Result<(), HttpError> {
    if method == allowed { Ok(()) } else { Err(HttpError::Method { allowed: allowed.clone() }) }
}

/// A success: always a JSON object, which the server libraries insist on.
fn json(value: &Value) -> Reply {
    reply(StatusCode::OK, "application/json", value.to_string())
}

fn empty_json() -> Reply {
    reply(StatusCode::OK, "application/json", "{}")
}

fn reply(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Body::whole(body));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

fn refusal(error: &HttpError) -> Reply {
    let mut reply = reply(error.status(), "text/plain; charset=utf-8", format!("{error}\n"));
    let headers = reply.headers_mut();
    match error {
        HttpError::Method { allowed } => {
            headers
                .insert(ALLOW, HeaderValue::from_str(allowed.as_str()).expect("a method is a header value"));
        }
        HttpError::UpgradeRequired => {
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        }
        HttpError::TooManyEvents | HttpError::TooManyReads | HttpError::Leaving => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
    reply
}
