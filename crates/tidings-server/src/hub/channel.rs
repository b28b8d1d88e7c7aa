//! One channel on this node.

use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

use tidings_protocol::{
    ChannelName, SocketId,
    cache::{CACHE_TTL, CachedEvent, LastEvent},
    channel::Caching,
    event::EventData,
    frame::server::ServerFrame,
    roster::{CountPace, Roster},
};

use super::{
    ChannelInfo,
    slice::{Event, SIZE, Slice},
};
use crate::ws::{frame::Frame, socket::Socket};

/// A channel. Its lock is held for as long as it takes to note an event in each slice, never while anything is
/// written.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) name: ChannelName,
    pub(super) state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) roster: Roster,
    pub(super) pace: CountPace,
    /// The hub looks at `pace` when the time comes.
    pub(super) counting: bool,
    /// The hub has forgotten this channel: who holds it looks again.
    pub(super) gone: bool,
    slices: Vec<Seated>,
    /// Grows with each event; tells an event from before a subscription from one after.
    sequence: u64,
    last_event: Option<Box<CachedEvent>>,
    /// The backend has been told that there is none.
    miss_told: bool,
}

#[derive(Debug)]
struct Seated {
    slice: Arc<Slice>,
    sockets: usize,
}

/// What noting events leaves to fan-out.
#[derive(Debug, Default)]
pub(super) struct Noted {
    /// Slices that nobody has taken up yet.
    pub(super) idle: Vec<Arc<Slice>>,
    /// How many deliveries it makes.
    pub(super) deliveries: usize,
}

impl Noted {
    pub(super) fn add(&mut self, mut other: Noted) {
        self.idle.append(&mut other.idle);
        self.deliveries += other.deliveries;
    }
}

impl Channel {
    pub(super) fn new(name: ChannelName) -> Self {
        Channel { name, state: Mutex::default() }
    }
}

impl State {
    /// Gives a socket a place; it gets what is noted from now on.
    pub(super) fn seat(&mut self, socket: Arc<Socket>) -> Arc<Slice> {
        let at = self.slices.iter().position(|seated| seated.sockets < SIZE).unwrap_or_else(|| {
            // Most channels have one slice, and most slices one socket: no spare places for those.
            if self.slices.is_empty() {
                self.slices.reserve_exact(1);
            }
            self.slices.push(Seated { slice: Arc::default(), sockets: 0 });
            self.slices.len() - 1
        });
        let seated = &mut self.slices[at];
        seated.sockets += 1;
        seated.slice.add(socket, self.sequence);
        seated.slice.clone()
    }

    /// Takes a socket's place away.
    pub(super) fn unseat(&mut self, socket: &Arc<Socket>, slice: &Arc<Slice>) {
        slice.remove(socket);
        let at = self.slices.iter().position(|seated| Arc::ptr_eq(&seated.slice, slice));
        let at = at.expect("a slice with sockets is the channel's");
        self.slices[at].sockets -= 1;
        if self.slices[at].sockets == 0 {
            self.slices.swap_remove(at);
        }
    }

    /// Notes an event for all who are seated.
    pub(super) fn note(&mut self, frame: &Frame, except: Option<SocketId>, now: Instant) -> Noted {
        self.sequence += 1;
        let mut noted = Noted::default();
        let event = Event { sequence: self.sequence, frame: frame.clone(), except, accepted: now };
        let event = Arc::new(event);
        for Seated { slice, sockets } in &self.slices {
            noted.deliveries += sockets;
            if slice.note(event.clone(), *sockets) {
                noted.idle.push(slice.clone());
            }
        }
        noted
    }

    pub(super) fn note_count(&mut self, channel: &ChannelName, now: Instant) -> Noted {
        let count = self.roster.subscribers();
        let frame = ServerFrame::SubscriptionCount { channel: channel.clone(), count };
        self.note(&Frame::text(&frame.encode()), None, now)
    }

    /// Keeps an event for those who come later; true if nothing was kept before.
    pub(super) fn keep(&mut self, text: &str, data: EventData, now: Instant) -> bool {
        self.miss_told = false;
        let event = CachedEvent { text: text.into(), data, expires: now + CACHE_TTL };
        self.last_event.replace(Box::new(event)).is_none()
    }

    /// When the kept event is to be forgotten.
    pub(super) fn expires(&self) -> Option<Instant> {
        self.last_event.as_ref().map(|event| event.expires)
    }

    /// Forgets the kept event if its time is over.
    pub(super) fn expire(&mut self, now: Instant) {
        self.last_event.take_if(|event| event.expires <= now);
    }

    pub(super) fn last_event(&mut self, caching: Caching, now: Instant) -> LastEvent {
        self.expire(now);
        match (caching, &self.last_event) {
            (Caching::Off, _) => LastEvent::NotKept,
            (Caching::LastEvent, None) => LastEvent::Miss,
            (Caching::LastEvent, Some(event)) => LastEvent::Hit(event.text.clone()),
        }
    }

    /// Whether the backend is still to be told that there is no event: once, however many come.
    pub(super) fn is_first_miss(&mut self) -> bool {
        !std::mem::replace(&mut self.miss_told, true)
    }

    pub(super) fn info(&mut self, now: Instant) -> ChannelInfo {
        self.expire(now);
        ChannelInfo {
            subscribers: self.roster.subscribers(),
            users: self.roster.users(),
            last_event: self.last_event.as_deref().cloned(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.roster.subscribers() == 0 && self.last_event.is_none()
    }
}
