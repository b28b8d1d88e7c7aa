//! What is said on a socket. Every `pusher:` and `pusher_internal:` text of the project stands in this folder.

pub mod client;
pub mod fallback;
pub mod server;

/// Whether an event's name is one that only the server may use.
#[must_use]
pub fn is_reserved(event: &str) -> bool {
    ["pusher:", "pusher_internal:", "tidings:"].iter().any(|prefix| event.starts_with(prefix))
}
