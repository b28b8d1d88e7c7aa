//! Events and what is published of them.

use crate::{ChannelName, SocketId, frame::server::ServerFrame};

/// The most characters in an event's name. Source: the server libraries check it.
pub const EVENT_NAME_MAX: usize = 200;

/// Who published an event; it decides what is kept of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The app's backend, over HTTP: a caching channel keeps it.
    Backend,
    /// Another client or the server itself: never kept.
    Socket,
}

/// One event bound for one channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Publication {
    /// Where it goes.
    pub channel: ChannelName,
    /// What every subscriber receives.
    pub frame: ServerFrame,
    /// The one connection that does not get it.
    pub except: Option<SocketId>,
    /// Who published it.
    pub origin: Origin,
}
