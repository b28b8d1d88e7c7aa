//! The `auth` of a subscription to a private or presence channel.

use super::{AuthError, verify};
use crate::{App, ChannelName, SocketId};

/// The `auth` that lets a connection subscribe: `<app_key>:<64 hex digits>`.
///
/// Source: Pusher, "Authentication signatures".
#[must_use]
pub fn sign(app: &App, socket_id: SocketId, channel: &str, channel_data: Option<&str>) -> String {
    let socket_id = socket_id.to_string();
    format!("{}:{}", app.key, app.secret.sign(&parts(&socket_id, channel, channel_data)))
}

/// Verifies the `auth` of a `pusher:subscribe`.
///
/// It is `<app_key>:<64 hex digits>`, the HMAC-SHA256 of `<socket_id>:<channel>`, followed, wherever the frame has
/// `channel_data`, by `:<channel_data>` exactly as received.
///
/// # Errors
/// [`AuthError`] says what is wrong with it.
///
/// Source: Pusher, "Authentication signatures". Vectors: `protocol-spec/auth.json`.
pub fn check(
    app: &App,
    socket_id: SocketId,
    channel: &ChannelName,
    auth: Option<&str>,
    channel_data: Option<&str>,
) -> Result<(), AuthError> {
    let auth = auth
        .filter(|auth| !auth.is_empty())
        .ok_or_else(|| AuthError::Missing { channel: channel.to_string() })?;
    let (key, signature) =
        auth.split_once(':').ok_or_else(|| AuthError::Format { channel: channel.to_string() })?;
    verify(app, key, signature, &parts(&socket_id.to_string(), channel.as_str(), channel_data))
}

fn parts<'a>(socket_id: &'a str, channel: &'a str, channel_data: Option<&'a str>) -> Vec<&'a [u8]> {
    let mut parts: Vec<&[u8]> = vec![socket_id.as_bytes(), b":", channel.as_bytes()];
    if let Some(data) = channel_data {
        parts.extend([b":", data.as_bytes()]);
    }
    parts
}
