//! What the server counts, and how it is told.
//!
//! What happens often is counted where a lock is held anyway, or once for many; `scrape` puts it together when it is
//! asked for. No channel and no user is ever a label: their number has no bound.

mod process;
pub(crate) mod scrape;
mod soketi;
mod text;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tidings_courier::Counts;
use tidings_inbox::AuthFailure;
use tidings_protocol::{Close, auth::request::RequestAuthError};
use tidings_store::{
    SharedStore,
    metrics::{Histogram, StoreMetrics},
};

use crate::{http::HttpError, lock};

/// Counters since the start.
#[derive(Debug, Default)]
pub struct Metrics {
    slow_consumers_closed: AtomicU64,
    routes: Mutex<BTreeMap<&'static str, Route>>,
    auth_failures: Counters,
    rate_limited: Counters,
    pub(crate) webhooks: Arc<Counts>,
    /// Where there is a store.
    store: OnceLock<Arc<StoreMetrics>>,
    /// The port that stands in soketi's names, where those are told too.
    soketi_port: OnceLock<u16>,
}

/// The requests to one route.
#[derive(Debug, Default)]
struct Route {
    by_status: BTreeMap<u16, u64>,
    durations: Histogram,
}

/// Counters of things that happen seldom, by a label of which there are few values.
#[derive(Debug, Default)]
pub(crate) struct Counters(Mutex<BTreeMap<&'static str, u64>>);

/// Frames and bytes that went one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

/// [`Traffic`] that many count.
#[derive(Debug, Default)]
pub(crate) struct SharedTraffic {
    messages: AtomicU64,
    bytes: AtomicU64,
}

/// Who ended a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum EndedBy<'a> {
    Server(&'a Close),
    Peer,
    /// Nobody said so: the socket broke.
    Nobody,
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

    /// Has the work of this store told as well.
    pub(crate) fn follow(&self, store: &SharedStore) {
        self.store.get_or_init(|| store.metrics().clone());
    }

    /// Has what soketi would tell of a server at this port told as well, under its names.
    pub(crate) fn tell_soketi_names(&self, port: u16) {
        self.soketi_port.get_or_init(|| port);
    }

    /// A request has been answered.
    pub(crate) fn request(&self, route: &'static str, status: u16, took: Duration) {
        let mut routes = lock(&self.routes);
        let route = routes.entry(route).or_default();
        *route.by_status.entry(status).or_default() += 1;
        route.durations.add(took.as_secs_f64());
    }

    /// A request has been refused.
    pub(crate) fn request_refused(&self, error: &HttpError) {
        match error {
            HttpError::Auth(error) => self.auth_failures.add(auth_reason(error)),
            HttpError::UnknownApp(_) => self.auth_failures.add("unknown_app"),
            HttpError::TooManyEvents | HttpError::TooManyEventsAtOnce { .. } => {
                self.rate_limited.add("backend_events");
            }
            HttpError::TooManyReads => self.rate_limited.add("reads"),
            _ => {}
        }
    }

    /// A connection has been refused.
    pub(crate) fn connection_refused(&self, close: &Close) {
        match close {
            Close::UnknownApp { .. } => self.auth_failures.add("unknown_key"),
            Close::OriginNotAllowed => self.auth_failures.add("origin"),
            Close::OverConnections => self.rate_limited.add("connections"),
            _ => {}
        }
    }

    /// A subscription has been refused for its signature.
    pub(crate) fn subscription_unauthorized(&self) {
        self.auth_failures.add("subscription");
    }

    /// A user has not been signed in.
    pub(crate) fn signin_refused(&self) {
        self.auth_failures.add("signin");
    }

    /// Credentials of the inbox have been refused.
    pub(crate) fn inbox_unauthorized(&self, failure: AuthFailure) {
        self.auth_failures.add(match failure {
            AuthFailure::Key => "inbox_key",
            AuthFailure::Login => "inbox_login",
            AuthFailure::Channel => "inbox_channel",
        });
    }

    /// A client event has been refused for its rate.
    pub(crate) fn client_event_limited(&self) {
        self.rate_limited.add("client_events");
    }
}

fn auth_reason(error: &RequestAuthError) -> &'static str {
    match error {
        RequestAuthError::Missing(_) => "missing",
        RequestAuthError::UnknownKey => "unknown_key",
        RequestAuthError::TimestampRequired | RequestAuthError::TimestampExpired { .. } => "timestamp",
        RequestAuthError::VersionRequired | RequestAuthError::VersionNotSupported => "version",
        RequestAuthError::BodyMd5(_) => "body_md5",
        RequestAuthError::BadSignature { .. } => "signature",
    }
}

impl Counters {
    pub(crate) fn add(&self, label: &'static str) {
        *lock(&self.0).entry(label).or_default() += 1;
    }

    fn all(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.0).clone()
    }
}

impl Traffic {
    pub(crate) fn add(&mut self, other: Traffic) {
        self.messages += other.messages;
        self.bytes += other.bytes;
    }
}

impl SharedTraffic {
    pub(crate) fn add(&self, messages: usize, bytes: usize) {
        self.messages.fetch_add(messages as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn sum(&self) -> Traffic {
        Traffic { messages: self.messages.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) }
    }
}

impl EndedBy<'_> {
    /// The value of the label `code`. Peers may send any code: those are one.
    pub(crate) fn label(self) -> &'static str {
        match self {
            EndedBy::Peer => "peer",
            EndedBy::Nobody => "none",
            EndedBy::Server(close) => match close.code() {
                1002 => "1002",
                1003 => "1003",
                1007 => "1007",
                1009 => "1009",
                4003 => "4003",
                4009 => "4009",
                4100 => "4100",
                4201 => "4201",
                _ => "other",
            },
        }
    }
}
