//! The HTTP side: routes, one file for each resource.

mod channels;
mod demo;
mod error;
mod events;
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
use tidings_inbox::{BodyError, Inbox};

use self::{error::HttpError, signed::Signed};
use crate::{node::Node, ws};

type Reply = Response<Full<Bytes>>;

/// Answers a request; whatever is wrong with it is an answer too.
pub(crate) async fn answer(
    node: Arc<Node>,
    inbox: Option<Arc<Inbox>>,
    request: Request<Incoming>,
) -> Result<Reply, Infallible> {
    if let Some(inbox) = inbox.filter(|_| tidings_inbox::is_path(request.uri().path())) {
        return Ok(answer_inbox(&inbox, request).await);
    }
    // Shared, not copied: the request itself is taken apart.
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let path = uri.path();
    Ok(route(&node, &method, path, request).await.unwrap_or_else(|error| {
        let status = error.status().as_u16();
        tracing::info!(%method, path, status, reason = %error, "request refused");
        refusal(&error)
    }))
}

async fn answer_inbox(inbox: &Inbox, request: Request<Incoming>) -> Reply {
    let (parts, body) = request.into_parts();
    let max = inbox.body_max(&parts);
    let body = signed::read_body(body, max).await.map_err(|error| match error {
        HttpError::BodyTooLarge { max } => BodyError::TooLarge { max },
        _ => BodyError::Incomplete,
    });
    inbox.answer(parts, body).await
}

async fn route(
    node: &Arc<Node>,
    method: &Method,
    path: &str,
    request: Request<Incoming>,
) -> Result<Reply, HttpError> {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    if ws::is_upgrade(&request) {
        let key = if let ["app", key] = segments[..] { Some(key) } else { None };
        return ws::upgrade(node, request, key).map_err(HttpError::Handshake);
    }
    let get = || allow(method, &Method::GET);
    let post = || allow(method, &Method::POST);
    match segments[..] {
        [""] => {
            get()?;
            demo::page(node)
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
        HttpError::TooManyEvents | HttpError::TooManyReads => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
    reply
}
