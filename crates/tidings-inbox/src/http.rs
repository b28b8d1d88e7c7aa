//! From a request to its door, and the answers' common parts.

use std::{borrow::Cow, pin::Pin, sync::Arc};

use bytes::Bytes;
use hyper::{
    HeaderMap, Method, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, AUTHORIZATION, CACHE_CONTROL,
        CONTENT_TYPE, HeaderValue, ORIGIN, RETRY_AFTER, VARY, X_CONTENT_TYPE_OPTIONS,
    },
    http::request::Parts,
};
use serde_json::Value;
use tidings_protocol::auth::request::percent_decode;
use tidings_store::{Brand, Held, StoreError};

use crate::{Inbox, onsite, problem::Problem};

pub(crate) type Reply = Response<Bytes>;

/// A body of a call that needs no key: an id, or a few words.
const ANYBODYS_BODY_MAX: usize = 64 * 1024;
/// A body of a sender's or an operator's call.
const BODY_MAX: usize = 1024 * 1024;
/// A body of a batch.
const BATCH_BODY_MAX: usize = 8 * BODY_MAX;

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is longer than [`Inbox::body_max`].
    #[error("the request body is over {max} bytes")]
    TooLarge {
        /// The most there may be.
        max: usize,
    },
    /// It did not come, or not in time.
    #[error("the request body did not arrive")]
    Incomplete,
}

/// A request on its way to its door.
pub(crate) struct Call {
    pub(crate) parts: Parts,
    pub(crate) body: Bytes,
    /// The brand that the path's prefix names.
    pub(crate) mount: Option<Arc<Brand>>,
    /// The path's segments without the prefix, as sent.
    pub(crate) segments: Vec<String>,
}

/// Why a request is refused, in the log's words; it goes with the answer, not in it.
#[derive(Clone)]
struct Reason(Cow<'static, str>);

/// Whose credentials were refused: an extension of the answer, for whoever counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthFailure {
    /// A sender or an operator has no key, or one that does not open this.
    Key,
    /// A page has no login, or one that has ended; or it did not get one.
    Login,
    /// A page asked to join a channel or to sign in, and got no signature.
    Channel,
}

/// Who speaks at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    /// The CRM's pages.
    Fusion,
    /// The CRM's senders.
    Onsite,
    /// Pages, in our own words.
    Own,
    /// Operators, in our own words.
    Admin,
}

/// Whether a path is the inbox's.
#[must_use]
pub fn is_path(path: &str) -> bool {
    // By far the most requests are the Pusher API's; they need not be taken apart here.
    !path.starts_with("/apps/") && door(unmounted(&split(path)).1).is_some()
}

impl Inbox {
    /// The most bytes that the body of a request may have: much for whoever has a key, little for anybody.
    #[must_use]
    pub fn body_max(&self, parts: &Parts) -> usize {
        let all = split(parts.uri.path());
        let segments = unmounted(&all).1;
        match (door(segments), segments) {
            (Some(Door::Onsite | Door::Admin), _) if !self.has_key(&parts.headers) => ANYBODYS_BODY_MAX,
            (_, ["channels", "site", "batch"] | ["inbox-admin", "v1", "notifications" | "broadcasts"]) => {
                BATCH_BODY_MAX
            }
            (Some(Door::Onsite | Door::Admin), _) => BODY_MAX,
            (Some(Door::Fusion | Door::Own) | None, _) => ANYBODYS_BODY_MAX,
        }
    }

    fn has_key(&self, headers: &HeaderMap) -> bool {
        let keys = [header(headers, "x-api-key"), bearer(headers)];
        keys.into_iter().flatten().any(|key| self.brands.scope(key.trim()).is_some())
    }

    /// Answers a request whose path [is the inbox's](is_path). It is boxed so that it is compiled with this crate, for
    /// size, and not with the server, for speed.
    pub fn answer<'a>(
        &'a self,
        parts: Parts,
        body: Result<Bytes, BodyError>,
    ) -> Pin<Box<dyn Future<Output = Reply> + Send + 'a>> {
        Box::pin(self.reply(parts, body))
    }

    async fn reply(&self, parts: Parts, body: Result<Bytes, BodyError>) -> Reply {
        let path = parts.uri.path().to_owned();
        let all = split(&path);
        let (prefix, segments) = unmounted(&all);
        let Some(door) = door(segments) else { return text(StatusCode::NOT_FOUND, "Not found\n") };
        let mount = prefix.and_then(|name| self.brands.by_name(&percent_decode(name)));
        let origin = parts.headers.get(ORIGIN).cloned();
        // A preflight has no token: who may read is up to the brand that the path names, or the first.
        let named = || match segments {
            ["api", "v1", "config", name] | ["external", "pusher", name, ..] => {
                self.brands.by_name(&percent_decode(name))
            }
            _ => None,
        };
        let body = body.map(without_bom);
        // Whoever has no key is told just that, however long the body.
        let is_for_keys = matches!(door, Door::Onsite | Door::Admin);
        let body =
            if is_for_keys && !self.has_key(&parts.headers) { Ok(body.unwrap_or_default()) } else { body };
        let shown = mount.clone().or_else(named).or_else(|| self.brands.first());
        let (method, segments) = (parts.method.clone(), segments.iter().map(ToString::to_string).collect());
        let mut reply = if prefix.is_some() && mount.is_none() {
            match door {
                Door::Fusion | Door::Onsite => unknown_brand(),
                Door::Own | Door::Admin => Problem::NotFound("brand").reply(),
            }
        } else {
            match door {
                Door::Fusion | Door::Own if method == Method::OPTIONS => empty(StatusCode::NO_CONTENT),
                Door::Fusion => {
                    let body = body.unwrap_or_default();
                    self.fusion(Call { parts, body, mount, segments }).await
                }
                Door::Onsite => match body {
                    Ok(body) => self.onsite(Call { parts, body, mount, segments }).await,
                    Err(error) => onsite::no_body(error),
                },
                Door::Own | Door::Admin => match body {
                    Ok(body) => {
                        let call = Call { parts, body, mount, segments };
                        if door == Door::Own { self.own(&call).await } else { self.admin(&call).await }
                    }
                    Err(error) => Problem::from(error).reply(),
                },
            }
        };
        if let Some(failure) = auth_failure(door, reply.status()) {
            reply.extensions_mut().insert(failure);
        }
        if reply.status().is_client_error() || reply.status().is_server_error() {
            let reason = reply.extensions().get::<Reason>().map_or("", |reason| &reason.0);
            let (path, status) = (masked(&path), reply.status().as_u16());
            tracing::info!(%method, %path, status, reason, "inbox request refused");
        }
        match door {
            Door::Fusion | Door::Own => shared_with_pages(reply, origin.as_ref(), shown.as_deref()),
            Door::Onsite | Door::Admin => reply,
        }
    }
}

/// What credentials the answer refuses, as its status says. The CRM's pages are told with 200: their door says it itself.
fn auth_failure(door: Door, status: StatusCode) -> Option<AuthFailure> {
    match (door, status) {
        (Door::Onsite | Door::Admin, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
            Some(AuthFailure::Key)
        }
        (Door::Own, StatusCode::UNAUTHORIZED) => Some(AuthFailure::Login),
        (Door::Fusion, StatusCode::FORBIDDEN) => Some(AuthFailure::Channel),
        _ => None,
    }
}

fn door(segments: &[&str]) -> Option<Door> {
    match segments {
        ["channels", "site", _] => Some(Door::Onsite),
        ["api", "v1", "config", _]
        | ["Platform", "LoginAuthToken"]
        | ["external", "pusher", _]
        | ["external", "pusher", _, "user-auth"]
        | ["Notifications", ..] => Some(Door::Fusion),
        ["inbox", "v1", ..] => Some(Door::Own),
        ["inbox-admin", "v1", ..] => Some(Door::Admin),
        _ => None,
    }
}

/// The segments of a path; slashes that are repeated count once.
fn split(path: &str) -> Vec<&str> {
    path.split('/').filter(|segment| !segment.is_empty()).collect()
}

/// The brand of the prefix `/b/{brand}`, and what follows it.
fn unmounted<'a, 's>(segments: &'a [&'s str]) -> (Option<&'s str>, &'a [&'s str]) {
    match segments {
        ["b", brand, rest @ ..] => (Some(brand), rest),
        all => (None, all),
    }
}

/// A text of a request as it may be logged: not all of a long one.
fn masked(text: &str) -> Cow<'_, str> {
    const MOST: usize = 120;
    if text.len() <= MOST { text.into() } else { text.chars().take(MOST).collect::<String>().into() }
}

/// Lets pages of other origins read the answer: of all, or of those that the brand names.
fn shared_with_pages(mut reply: Reply, origin: Option<&HeaderValue>, brand: Option<&Brand>) -> Reply {
    let headers = reply.headers_mut();
    let any = brand.is_none_or(|brand| brand.allowed_origins.texts().is_empty());
    if any {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    } else {
        headers.insert(VARY, HeaderValue::from_static("Origin"));
        let named = origin.and_then(|origin| origin.to_str().ok());
        let allowed = brand.is_some_and(|brand| named.is_some() && brand.allowed_origins.allow(named));
        match (origin, brand) {
            (Some(origin), _) if allowed => {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            }
            (Some(origin), Some(brand)) => tracing::info!(
                origin = %masked(&String::from_utf8_lossy(origin.as_bytes()).escape_debug().to_string()),
                brand = brand.name,
                "the page's origin is none of the brand's allowed_origins"
            ),
            _ => {}
        }
    }
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, PATCH, DELETE, OPTIONS"),
        (ACCESS_CONTROL_ALLOW_HEADERS, "authtoken, content-type, es-token, authorization, x-requested-with"),
        (ACCESS_CONTROL_EXPOSE_HEADERS, "ES-TOKEN, Retry-After"),
        (ACCESS_CONTROL_MAX_AGE, "600"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    reply
}

/// The CRM's calls are told in its form.
pub(crate) fn unknown_brand() -> Reply {
    because(json(StatusCode::NOT_FOUND, &serde_json::json!({"error": "unknown brand"})), "unknown brand")
}

/// Some senders' tools begin every text with it; JSON has none.
fn without_bom(body: Bytes) -> Bytes {
    const BOM: &[u8] = "\u{FEFF}".as_bytes();
    if body.starts_with(BOM) { body.slice(BOM.len()..) } else { body }
}

/// What `Authorization` bears.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = header(headers, AUTHORIZATION.as_str())?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// The text of a header.
pub(crate) fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// An answer in JSON, for nobody's cache.
pub(crate) fn json(status: StatusCode, value: &Value) -> Reply {
    reply(status, "application/json", value.to_string())
}

/// A list in JSON, which holds its room until it has been sent.
pub(crate) fn list(json: String, held: Held) -> Reply {
    struct List {
        json: String,
        _held: Held,
    }
    impl AsRef<[u8]> for List {
        fn as_ref(&self) -> &[u8] {
            self.json.as_bytes()
        }
    }
    reply(StatusCode::OK, "application/json", Bytes::from_owner(List { json, _held: held }))
}

pub(crate) fn reply(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(body.into());
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // A page that names an answer as its script is not to run it as one.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}

fn text(status: StatusCode, body: &'static str) -> Reply {
    reply(status, "text/plain; charset=utf-8", body)
}

pub(crate) fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(Bytes::new());
    *reply.status_mut() = status;
    reply
}

/// Says in the log why.
pub(crate) fn because(mut reply: Reply, reason: impl Into<Cow<'static, str>>) -> Reply {
    reply.extensions_mut().insert(Reason(reason.into()));
    reply
}

/// Says when to come again.
pub(crate) fn later(mut reply: Reply) -> Reply {
    reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("2"));
    reply
}

/// Says which method it is.
pub(crate) fn use_method(mut reply: Reply, allowed: &'static str) -> Reply {
    reply.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    reply
}

/// Whether a failure of the store passes by itself.
pub(crate) fn is_passing(error: &StoreError) -> bool {
    matches!(error, StoreError::Overloaded | StoreError::Stopped | StoreError::Locked { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_its_paths() {
        for path in [
            "/api/v1/config/acorn",
            "/b/acorn/Platform/LoginAuthToken",
            "//Notifications/v2/user-notification/5001",
            "/b/acorn//Notifications/MarkNotificationAsRead",
            "/channels/site/batch",
            "/inbox/v1/counts",
            "/b/acorn/external/pusher/acorn/user-auth",
            "/b/acorn/inbox-admin/v1",
        ] {
            assert!(is_path(path), "{path}");
        }
        for path in [
            "/",
            "/apps/1/events",
            "/b/acorn",
            "/b",
            "/channels/site",
            "/notifications/v2",
            "/inbox",
            "/external/pusher/a/b",
        ] {
            assert!(!is_path(path), "{path}");
        }
    }
}
