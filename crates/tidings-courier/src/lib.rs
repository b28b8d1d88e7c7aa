//! What leaves the house: the worker of the durable queue, and the guarded HTTP client that it sends with.
//!
//! Whoever causes an event puts it in the store's queue and wakes the [`Courier`]. That has a worker for each target,
//! so that one that is down or slow holds up no other. A worker reads what it can send and no more: `target.rs`. Where
//! it may connect to is decided in `network.rs`, on each attempt and of the very address: `client.rs`.

mod client;
mod courier;
mod network;
mod pace;
mod target;

#[cfg(test)]
mod tests;

use std::{net::IpAddr, time::Duration};

use hyper::Uri;

pub use courier::{Counts, Courier, Outside};
pub use network::{Network, NetworkError};

/// How deliveries are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Networks that targets may be in, besides public ones.
    pub allow: Vec<Network>,
    /// For so long a delivery is tried.
    pub retry_for: Duration,
    /// A target has so long for an answer.
    pub timeout: Duration,
}

impl Settings {
    /// The address that stands in a URL as its host, if deliveries may not go there.
    #[must_use]
    pub fn forbidden_in(&self, url: &str) -> Option<IpAddr> {
        let address = client::address(&url.parse::<Uri>().ok()?)?;
        (!network::may_reach(address, &self.allow)).then_some(address)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings { allow: Vec::new(), retry_for: Duration::from_hours(24), timeout: Duration::from_secs(10) }
    }
}
