//! What the query string of `/app/{key}` says.

use crate::Close;

/// Checks the `protocol` parameter: 4 to 7 are spoken, and none at all means 7, because hand-made clients omit it.
///
/// `query` is the raw query string, percent-encoding and all: a valid value has nothing to decode.
///
/// # Errors
/// [`Close::UnsupportedProtocol`] for any other value.
///
/// Source: Pusher, "Protocol versions". Vectors: `protocol-spec/handshake.json`.
pub fn check_protocol(query: &str) -> Result<(), Close> {
    match query.split('&').find_map(|pair| pair.strip_prefix("protocol=")) {
        None | Some("4" | "5" | "6" | "7") => Ok(()),
        Some(other) => Err(Close::UnsupportedProtocol { version: other.to_owned() }),
    }
}
