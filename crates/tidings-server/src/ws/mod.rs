//! `GET /app/{key}`: the upgrade, and the task that serves a socket.

pub(crate) mod connection;
pub(crate) mod frame;
mod outbox;
mod reader;
pub(crate) mod session;
pub(crate) mod socket;
pub(crate) mod wire;

use std::sync::Arc;

use hyper::{
    Request, Response,
    body::{Body, Bytes, Incoming},
    header::{HeaderMap, HeaderValue, ORIGIN, SEC_WEBSOCKET_PROTOCOL, UPGRADE},
    upgrade::OnUpgrade,
};
use hyper_util::rt::TokioIo;
use tidings_protocol::{Close, handshake::check_protocol};
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;

use crate::{apps::LiveApp, linger::Lingering, node::Node, stream::Stream};

/// Whether a request wants to become a websocket.
pub(crate) fn is_upgrade<B>(request: &Request<B>) -> bool {
    request.headers().get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Answers an upgrade with 101, whatever will be said on the socket: a browser cannot see the status of a refusal.
/// `key` is the app's key in the path, or nothing if the path is another.
///
/// # Errors
/// The text for a 400, if it is no websocket handshake of RFC 6455.
pub(crate) fn upgrade<B: Body + Default>(
    node: &Arc<Node>,
    mut request: Request<Incoming>,
    key: Option<&str>,
) -> Result<Response<B>, String> {
    let mut response = create_response_with_body(&request, B::default)
        .map_err(|error| format!("Bad websocket handshake: {error}"))?;
    if let Some(protocol) = subprotocol(request.headers()) {
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    let query = request.uri().query().unwrap_or("");
    let admitted = admit(node, key, query, origin(request.headers()));
    let upgrade = hyper::upgrade::on(&mut request);
    let node = node.clone();
    tokio::spawn(async move {
        // An upgrade that fails is a peer that has gone.
        let Some((stream, early)) = upgraded(upgrade).await else { return };
        match admitted {
            Ok(live) => connection::serve(node, live, stream, &early),
            Err(close) => {
                node.metrics.connection_refused(&close);
                connection::refuse(stream, close).await;
            }
        }
    });
    Ok(response)
}

/// Whether the connection is taken by an app, as far as its request tells: the app's key in the path, or nothing if
/// the path is another, the query string, and the page's origin.
///
/// # Errors
/// The [`Close`] that says why not.
pub(crate) fn admit(
    node: &Node,
    key: Option<&str>,
    query: &str,
    origin: Option<&str>,
) -> Result<Arc<LiveApp>, Close> {
    let key = key.ok_or(Close::PathNotFound)?;
    check_protocol(query)?;
    let live = node.apps.by_key(key).ok_or_else(|| Close::UnknownApp { key: key.to_owned() })?;
    let app = live.app();
    if !app.enabled {
        return Err(Close::AppDisabled);
    }
    if !app.allowed_origins.allow(origin) {
        return Err(Close::OriginNotAllowed);
    }
    Ok(live)
}

/// The origin of the page that sent a request.
pub(crate) fn origin(headers: &HeaderMap) -> Option<&str> {
    // A header that is no text is no origin that anybody allows, unless all are.
    headers.get(ORIGIN).map(|value| value.to_str().unwrap_or("null"))
}

/// The first offered protocol that is Pusher's: strict clients want it back.
fn subprotocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let offered = headers.get(SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    let ours =
        offered.split(',').map(str::trim).find(|name| name.starts_with("pusher-channels-protocol-"))?;
    HeaderValue::from_str(ours).ok()
}

/// The stream under an upgraded connection, and what the client has sent already.
async fn upgraded(upgrade: OnUpgrade) -> Option<(Stream, Bytes)> {
    let parts = upgrade.await.ok()?.downcast::<TokioIo<Lingering>>().ok()?;
    // Copied, so that the connection's whole read buffer is not kept for a few bytes.
    Some((parts.io.into_inner().into_inner(), Bytes::copy_from_slice(&parts.read_buf)))
}
