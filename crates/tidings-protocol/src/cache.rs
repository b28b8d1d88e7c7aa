//! The last event of a caching channel.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::event::EventData;

/// How long an event is kept after it was published. Source: Pusher, "Cache channels".
pub const CACHE_TTL: Duration = Duration::from_mins(30);

/// A kept event.
#[derive(Clone, Debug)]
pub struct CachedEvent {
    /// The frame's text, as subscribers received it.
    pub text: Arc<str>,
    /// The event's data, as the HTTP API shows it.
    pub data: EventData,
    /// When it is forgotten.
    pub expires: Instant,
}

/// What a new subscriber of a channel finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LastEvent {
    /// The channel keeps nothing.
    NotKept,
    /// It would, but nothing has been published in time.
    Miss,
    /// The frame's text.
    Hit(Arc<str>),
}
