//! The HTTP side: routes, one file for each resource.

mod channels;
mod demo;
mod error;
mod events;
mod health;
pub(crate) mod idempotency;
mod signed;
mod users;

use std::{convert::Infallible, sync::Arc};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, UPGRADE},
};
use serde_json::Value;

use self::{error::HttpError, signed::Signed};
use crate::{drain::Phase, node::Node, ws};

type Reply = Response<Full<Bytes>>;

/// Answers a request; whatever is wrong with it is an answer too.
pub(crate) async fn answer(node: Arc<Node>, request: Request<Incoming>) -> Result<Reply, Infallible> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    Ok(route(&node, request).await.unwrap_or_else(|error| {
        let status = error.status().as_u16();
        tracing::info!(%method, path, status, reason = %error, "request refused");
        refusal(&error)
    }))
}

async fn route(node: &Arc<Node>, request: Request<Incoming>) -> Result<Reply, HttpError> {
    let path = request.uri().path().to_owned();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    if ws::is_upgrade(&request) {
        if node.phase() >= Phase::Closing {
            return Err(HttpError::Leaving);
        }
        let key = if let ["app", key] = segments[..] { Some(key) } else { None };
        return ws::upgrade(node, request, key).map_err(HttpError::Handshake);
    }
    let method = request.method().clone();
    let get = || allow(&method, &Method::GET);
    let post = || allow(&method, &Method::POST);
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
    let mut reply = Response::new(Full::new(body.into()));
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
