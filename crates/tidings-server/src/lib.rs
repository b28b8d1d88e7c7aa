//! The Tidings server: the Pusher protocol over websockets and HTTP.
//!
//! A request comes in through [`http`](self), a frame through `ws`; both meet in `node`, the one road for everything
//! that is published, joined and left. ARCHITECTURE.md shows the house.

mod apps;
pub mod clock;
pub mod config;
mod cores;
mod drain;
mod http;
mod hub;
mod inbox;
mod linger;
pub mod metrics;
mod node;
pub mod random;
mod server;
mod stream;
pub mod tls;
mod users;
mod webhooks;
mod wheel;
mod ws;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use clock::Clock;
pub use drain::Drain;
pub use inbox::InboxParts;
pub use server::{AppsHandle, Server, ServerConfig};
pub use stream::Stream;
pub use webhooks::WebhookParts;

/// Locks. What a panic interrupted is one connection's; the others go on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
