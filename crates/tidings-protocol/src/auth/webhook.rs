//! The signature of a webhook's request.

use crate::App;

/// The header with the app's key.
pub const KEY_HEADER: &str = "X-Pusher-Key";
/// The header with the signature of the body.
pub const SIGNATURE_HEADER: &str = "X-Pusher-Signature";

/// The signature of a body: its HMAC-SHA256, 64 hex digits. While the app's secret is being rotated it is that of the one
/// before, for backends that have not got the new one yet.
///
/// Source: Pusher, "Webhooks": security. Vectors: `protocol-spec/auth.json`.
#[must_use]
pub fn sign(app: &App, body: &str) -> String {
    app.secret.previous().unwrap_or(&app.secret).sign(&[body.as_bytes()])
}
