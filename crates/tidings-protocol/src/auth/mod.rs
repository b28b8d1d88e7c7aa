//! Signatures: HMAC-SHA256 with the app's secret, lower-case hex, over text exactly as transmitted.
//!
//! Vectors: `protocol-spec/auth.json`.

pub mod channel;
pub mod request;
pub mod user;
pub mod webhook;

use crate::App;

/// Why the `auth` of a frame is refused; what was to be signed stands in the message.
///
/// Source of the texts: hosted Pusher.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// There is none.
    #[error("Auth info required to subscribe to {channel}")]
    Missing {
        /// The channel it was for.
        channel: String,
    },
    /// It is not `key:signature`.
    #[error("Auth value for subscription to {channel} is invalid: should be of format 'key:signature'")]
    Format {
        /// The channel it was for.
        channel: String,
    },
    /// The `auth` of a signin is not `key:signature`.
    #[error("Invalid format: auth must have the format key:signature")]
    SigninFormat,
    /// Its key is not this app's.
    #[error("Invalid key in subscription auth data: '{key}'")]
    UnknownKey {
        /// The key as sent.
        key: String,
    },
    /// The digest differs.
    #[error("Invalid signature: Expected HMAC SHA256 hex digest of {signed}, but got {signature}")]
    BadSignature {
        /// What should have been signed.
        signed: String,
        /// What came.
        signature: String,
    },
}

/// Checks `key:signature` against the parts that were to be signed.
fn verify(app: &App, key: &str, signature: &str, parts: &[&[u8]]) -> Result<(), AuthError> {
    if key != app.key {
        return Err(AuthError::UnknownKey { key: key.to_owned() });
    }
    if !app.secret.verifies(parts, signature) {
        let signed = String::from_utf8_lossy(&parts.concat()).into_owned();
        return Err(AuthError::BadSignature { signed, signature: signature.to_owned() });
    }
    Ok(())
}
