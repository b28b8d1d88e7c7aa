//! The `auth` of a `pusher:signin`.

use super::{AuthError, verify};
use crate::{App, SocketId};

/// The `auth` that signs a connection in: `<app_key>:<64 hex digits>`.
#[must_use]
pub fn sign(app: &App, socket_id: SocketId, user_data: &str) -> String {
    let socket_id = socket_id.to_string();
    format!("{}:{}", app.key, app.secret.sign(&parts(&socket_id, user_data)))
}

/// Verifies it: the HMAC-SHA256 of `<socket_id>::user::<user_data>`, the data exactly as received.
///
/// # Errors
/// [`AuthError`] says what is wrong with it.
///
/// Source: Pusher, "Authentication signatures". Vectors: `protocol-spec/auth.json`.
pub fn check(app: &App, socket_id: SocketId, auth: &str, user_data: &str) -> Result<(), AuthError> {
    let (key, signature) = auth.split_once(':').ok_or(AuthError::SigninFormat)?;
    verify(app, key, signature, &parts(&socket_id.to_string(), user_data))
}

fn parts<'a>(socket_id: &'a str, user_data: &'a str) -> [&'a [u8]; 3] {
    [socket_id.as_bytes(), b"::user::", user_data.as_bytes()]
}
