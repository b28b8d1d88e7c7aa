//! What the server counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters since the start.
#[derive(Debug, Default)]
pub struct Metrics {
    slow_consumers_closed: AtomicU64,
}

impl Metrics {
    pub(crate) fn slow_consumer_closed(&self) {
        self.slow_consumers_closed.fetch_add(1, Ordering::Relaxed);
    }

    /// Sockets closed with 4100 because they read too slowly.
    #[must_use]
    pub fn slow_consumers_closed(&self) -> u64 {
        self.slow_consumers_closed.load(Ordering::Relaxed)
    }
}
