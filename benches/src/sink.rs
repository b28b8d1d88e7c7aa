//! What a scenario hears from the engine.

use std::time::Duration;

use crate::stamp::Stamp;

/// An event that carries no stamp: confirmations, presence, errors.
pub(crate) struct Event<'a> {
    pub(crate) name: &'a str,
    pub(crate) channel: &'a str,
    /// The data as text, a string's own quotes taken off.
    pub(crate) data: &'a str,
}

/// The receiver of all that happens in a turn of the engine. `now` is the time at which the bytes were read.
pub(crate) trait Sink {
    /// All subscriptions of a socket's plan are confirmed, `took` after the connect began.
    fn ready(&mut self, socket: usize, took: Duration, now: Duration);

    /// A stamped event came; the stamp stands at `at` in `text`.
    fn delivery(&mut self, socket: usize, stamp: &Stamp, text: &[u8], at: usize, now: Duration);

    /// An event without a stamp came.
    fn event(&mut self, socket: usize, event: &Event<'_>, now: Duration);

    /// A socket was closed by the server, or failed.
    fn closed(&mut self, socket: usize, why: &str);

    /// A request was answered with something else than 200, or its connection failed.
    fn refused(&mut self, why: &str);

    /// A request of this lane was answered with 200.
    fn answered(&mut self, _lane: usize, _body: &[u8], _now: Duration) {}
}
