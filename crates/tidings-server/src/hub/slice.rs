//! A part of a channel's subscribers, served by one worker at a time.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Mutex},
    time::Instant,
};

use tidings_protocol::SocketId;

use crate::{
    lock,
    ws::{frame::Frame, socket::Socket},
};

/// The most sockets in a slice: what one worker hands out before it looks for other work.
pub(super) const SIZE: usize = 128;
/// What is handed out of a slice at a time; a queue for one socket grows by no more before it is flushed.
const EVENTS_PER_TURN: usize = 64;
const BYTES_PER_TURN: usize = 128 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Slice {
    waiting: Mutex<Waiting>,
    /// Locked while events are handed to the outboxes, not while anything is written.
    sockets: Mutex<Vec<Seated>>,
}

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<Due>,
    /// Fan-out has this slice, or is about to.
    taken_up: bool,
}

/// An event on its way to the sockets of a channel; its slices share it.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) sequence: u64,
    pub(super) frame: Frame,
    pub(super) except: Option<SocketId>,
    pub(super) accepted: Instant,
}

/// An event that waits to be handed to the sockets of a slice.
#[derive(Debug)]
struct Due {
    event: Arc<Event>,
    /// How many sockets the slice had.
    sockets: usize,
}

#[derive(Debug)]
struct Seated {
    socket: Arc<Socket>,
    /// Events up to this one are from before the subscription.
    after: u64,
}

/// How a turn ended.
#[derive(Debug)]
pub(super) struct Turn {
    /// How many deliveries it was, by the count of when they were noted.
    pub(super) deliveries: usize,
    /// Whether more waits.
    pub(super) more: bool,
}

impl Event {
    /// Whether a socket gets it that has been there since the event `after`.
    fn is_for(&self, id: SocketId, after: u64) -> bool {
        after < self.sequence && self.except != Some(id)
    }
}

impl Slice {
    pub(super) fn add(&self, socket: Arc<Socket>, after: u64) {
        let mut sockets = lock(&self.sockets);
        if sockets.is_empty() {
            sockets.reserve_exact(1);
        }
        sockets.push(Seated { socket, after });
    }

    pub(super) fn remove(&self, socket: &Arc<Socket>) {
        let mut sockets = lock(&self.sockets);
        let at = sockets.iter().position(|seated| Arc::ptr_eq(&seated.socket, socket));
        sockets.swap_remove(at.expect("a socket that leaves is seated"));
    }

    /// Hands one socket what waits, as the last that it gets: its outbox is to be closed next.
    pub(super) fn hand_over(&self, socket: &Arc<Socket>) {
        let mut sockets = lock(&self.sockets);
        let seated = sockets.iter_mut().find(|seated| Arc::ptr_eq(&seated.socket, socket));
        let seated = seated.expect("a socket is seated until it leaves");
        // A worker that comes before the outbox is closed finds nothing that is for it.
        let after = mem::replace(&mut seated.after, u64::MAX);
        let waiting = lock(&self.waiting);
        let wanted = waiting.events.iter().filter(|due| due.event.is_for(socket.id(), after));
        // Who closes it flushes it.
        socket.push(wanted.map(|due| &due.event.frame));
    }

    /// Notes an event for so many sockets; true if fan-out is to be given the slice.
    pub(super) fn note(&self, event: Arc<Event>, sockets: usize) -> bool {
        let mut waiting = lock(&self.waiting);
        waiting.events.push_back(Due { event, sockets });
        !mem::replace(&mut waiting.taken_up, true)
    }

    /// Hands what waits to the outboxes; adds to `owed` the sockets that are to be flushed, and to `handed` the events.
    pub(super) fn hand_out(&self, owed: &mut Vec<Arc<Socket>>, handed: &mut Vec<Arc<Event>>) -> Turn {
        let sockets = lock(&self.sockets);
        // Taken with the sockets locked, so that nobody is closed without what is taken.
        let due = self.take();
        let deliveries = due.iter().map(|due| due.sockets).sum();
        let start = handed.len();
        handed.extend(due.into_iter().map(|due| due.event));
        let events = &handed[start..];
        if let (Some(first), Some(last)) = (events.first(), events.last()) {
            let for_all = events.iter().all(|event| event.except.is_none());
            for Seated { socket, after } in sockets.iter() {
                let id = socket.id();
                let flush = if for_all && *after < first.sequence {
                    socket.push(events.iter().map(|event| &event.frame))
                } else if *after < last.sequence {
                    let wanted = events.iter().filter(|event| event.is_for(id, *after));
                    socket.push(wanted.map(|event| &event.frame))
                } else {
                    false
                };
                if flush {
                    owed.push(socket.clone());
                }
            }
        }
        drop(sockets);
        let mut waiting = lock(&self.waiting);
        let more = !waiting.events.is_empty();
        waiting.taken_up = more;
        Turn { deliveries, more }
    }

    fn take(&self) -> VecDeque<Due> {
        let mut waiting = lock(&self.waiting);
        let mut bytes = 0;
        let within = waiting.events.iter().take(EVENTS_PER_TURN).take_while(|due| {
            let first = bytes == 0;
            bytes += due.event.frame.len();
            first || bytes <= BYTES_PER_TURN
        });
        let count = within.count();
        if count == waiting.events.len() {
            mem::take(&mut waiting.events)
        } else {
            waiting.events.drain(..count).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::{clock::Clock, stream::Stream, ws::wire::Writing};

    /// A worker may come between the two steps in which a socket is closed.
    #[tokio::test]
    async fn who_was_handed_over_gets_nothing_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let peer = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("it listens");
        let (_, writing) = Stream::Plain(peer).into_split();
        let clock = Clock::manual();
        let id = "1.1".parse().expect("an id");
        let socket = Arc::new(Socket::new(id, "1".into(), clock.clone(), Writing::Websocket(writing)));
        let slice = Slice::default();
        slice.add(socket.clone(), 0);
        let event = Event { sequence: 1, frame: Frame::text("one"), except: None, accepted: clock.now() };
        assert!(slice.note(Arc::new(event), 1), "fan-out is to have it");
        slice.hand_over(&socket);
        let (mut owed, mut handed) = (Vec::new(), Vec::new());
        let turn = slice.hand_out(&mut owed, &mut handed);
        assert_eq!((turn.deliveries, turn.more, owed.len(), handed.len()), (1, false, 0, 1));
        socket.flush();
        assert_eq!(socket.outbox().sent().0.messages, 1);
    }
}
