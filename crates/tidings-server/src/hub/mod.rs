//! The channels of one app on this node: who subscribes, what is delivered to them.
//!
//! A channel's subscribers sit in slices of [`slice::SIZE`]. Publishing notes the event in each slice, under the
//! channel's short lock, which is what gives all subscribers the same order; [`fanout`] then takes slice after slice
//! and hands what is noted to the sockets, several events at a time where several wait.

mod channel;
pub(crate) mod fanout;
mod slice;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Instant,
};

use dashmap::DashMap;
use tidings_protocol::{
    ChannelName, Publication,
    cache::{CACHE_TTL, CachedEvent, LastEvent},
    channel::{Caching, ChannelKind},
    connection::{Join, Joined, Leave},
    event::Origin,
    frame::server::ServerFrame,
    limit::Limit,
    roster::{Change, RosterFull},
    webhook::{WebhookEvent, WebhookKind, WebhookKinds},
};

use self::{
    channel::{Channel, Noted, State},
    fanout::Fanout,
    slice::Slice,
};
use crate::{
    lock,
    node::give_back,
    webhooks::Backend,
    ws::{frame::Frame, socket::Socket},
};

/// What is told of a channel that has subscribers.
const OCCUPANCY: [WebhookKind; 2] = [WebhookKind::ChannelOccupied, WebhookKind::ChannelVacated];
/// What is told of a user who is a member.
const MEMBERSHIP: [WebhookKind; 2] = [WebhookKind::MemberAdded, WebhookKind::MemberRemoved];

/// The channels of one app that have subscribers or a kept event.
#[derive(Debug)]
pub(crate) struct Hub {
    channels: DashMap<ChannelName, Arc<Channel>>,
    fanout: Arc<Fanout>,
    /// Channels that keep an event, and when to look whether it has expired.
    caching: Mutex<VecDeque<(Instant, ChannelName)>>,
    /// Channels whose subscriber count is to be told later.
    counting: Mutex<Vec<Arc<Channel>>>,
    backend: Backend,
}

/// What a socket's task keeps of a subscription, to find it again without searching.
#[derive(Debug)]
pub(crate) struct Seat {
    channel: Arc<Channel>,
    slice: Arc<Slice>,
}

impl Seat {
    /// Hands the socket what waits for it here, as the last that it gets: its outbox is to be closed next.
    pub(crate) fn hand_over(&self, socket: &Arc<Socket>) {
        self.slice.hand_over(socket);
    }
}

/// The rules of the app that a join or leave goes by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) presence_members: Limit,
    pub(crate) subscription_count: bool,
    /// What its backend is told by webhooks.
    pub(crate) webhooks: WebhookKinds,
}

/// What is known of a channel.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChannelInfo {
    pub(crate) subscribers: usize,
    pub(crate) users: usize,
    pub(crate) last_event: Option<CachedEvent>,
}

impl Hub {
    pub(crate) fn new(fanout: Arc<Fanout>, backend: Backend) -> Self {
        // Two shards for each of a few cores: an app of one channel does not pay for more.
        let channels = DashMap::with_shard_amount(16);
        Hub { channels, fanout, caching: Mutex::default(), counting: Mutex::default(), backend }
    }

    /// Delivers events to their channels' subscribers here. What was delivered before comes before them, to each.
    pub(crate) fn deliver(&self, publications: impl IntoIterator<Item = Publication>, now: Instant) {
        let mut noted = Noted::default();
        for publication in publications {
            noted.add(self.note(&publication, now));
        }
        self.fanout.schedule(noted);
    }

    fn note(&self, publication: &Publication, now: Instant) -> Noted {
        let mut encoded = None;
        let keep =
            publication.origin == Origin::Backend && publication.channel.caching() == Caching::LastEvent;
        loop {
            let channel = match self.channels.get(&publication.channel) {
                Some(channel) => channel.clone(),
                None if keep => self.channel(&publication.channel),
                None => return Noted::default(),
            };
            let (text, frame) = encoded.get_or_insert_with(|| {
                let text = publication.frame.encode();
                let frame = Frame::text(&text);
                (text, frame)
            });
            let mut state = lock(&channel.state);
            if state.gone {
                continue;
            }
            if keep
                && let ServerFrame::Event { data, .. } = &publication.frame
                && state.keep(text, data.clone(), now)
            {
                lock(&self.caching).push_back((now + CACHE_TTL, channel.name.clone()));
            }
            return state.note(frame, publication.except, now);
        }
    }

    /// Has sockets flushed that were handed something past their channels, however many.
    pub(crate) fn flush(&self, owed: &[Arc<Socket>]) {
        self.fanout.flush(owed);
    }

    /// Subscribes a socket. `enter` makes of what is found the frames that come before any event of the channel.
    ///
    /// # Errors
    /// [`RosterFull`] if it would be one member too many.
    pub(crate) fn join(
        &self,
        socket: &Arc<Socket>,
        join: Join,
        rules: Rules,
        now: Instant,
        enter: impl FnOnce(Joined<Seat>) -> Vec<Frame>,
    ) -> Result<(), RosterFull> {
        loop {
            let channel = self.channel(&join.channel);
            let mut state = lock(&channel.state);
            if state.gone {
                continue;
            }
            let change = match state.roster.join(join.member, rules.presence_members) {
                Ok(change) => change,
                Err(full) => {
                    self.forget_if_empty(&channel, &mut state, now);
                    return Err(full);
                }
            };
            self.tell_joined(&channel, &state, &change, rules, now);
            let slice = state.seat(socket.clone());
            let members = (channel.name.kind() == ChannelKind::Presence).then(|| state.roster.to_json());
            let last_event = state.last_event(channel.name.caching(), now);
            if rules.webhooks.contains(WebhookKind::CacheMiss)
                && matches!(last_event, LastEvent::Miss)
                && state.is_first_miss()
            {
                self.backend.tell(now, WebhookEvent::CacheMiss { channel: channel.name.clone() });
            }
            let seat = Seat { channel: channel.clone(), slice };
            let frames = enter(Joined { seat, members, last_event });
            // The socket's own task flushes when it has done all that it has read.
            socket.push(&frames);
            let mut noted = Noted::default();
            if let Change::MemberAdded(member) = change {
                let (user_id, info) = (member.user_id, member.info);
                let frame = ServerFrame::MemberAdded { channel: channel.name.clone(), user_id, info };
                noted = state.note(&Frame::text(&frame.encode()), Some(socket.id()), now);
            }
            noted.add(self.tell_count(&channel, &mut state, rules, now));
            drop(state);
            self.fanout.schedule(noted);
            return Ok(());
        }
    }

    /// Takes a socket out of a channel; nothing of it is delivered to the socket after.
    pub(crate) fn leave(&self, socket: &Arc<Socket>, leave: Leave<Seat>, rules: Rules, now: Instant) {
        let Seat { channel, slice } = leave.seat;
        let mut state = lock(&channel.state);
        state.unseat(socket, &slice);
        let change = state.roster.leave(leave.user_id.as_deref());
        let mut noted = self.tell_count(&channel, &mut state, rules, now);
        self.tell_left(&channel, &state, &change, rules, now);
        if self.forget_if_empty(&channel, &mut state, now) {
            return;
        }
        if let Change::MemberRemoved(user_id) = change {
            let frame = ServerFrame::MemberRemoved { channel: channel.name.clone(), user_id };
            noted.add(state.note(&Frame::text(&frame.encode()), None, now));
        }
        drop(state);
        self.fanout.schedule(noted);
    }

    /// Tells the backend of an event that one of its clients is about to publish, where it wants to know.
    pub(crate) fn tell_client_event(&self, publication: &Publication, rules: Rules, now: Instant) {
        if rules.webhooks.contains(WebhookKind::ClientEvent)
            && let Some(socket_id) = publication.except
            && let ServerFrame::Event { event, channel, data, user_id } = publication.frame.clone()
        {
            self.backend.tell(now, WebhookEvent::ClientEvent { channel, event, data, socket_id, user_id });
        }
    }

    /// What is known of a channel; nothing, if it has neither subscribers nor a kept event.
    pub(crate) fn info(&self, name: &ChannelName, now: Instant) -> ChannelInfo {
        let channel = self.channels.get(name).map(|channel| channel.clone());
        channel.map_or_else(ChannelInfo::default, |channel| lock(&channel.state).info(now))
    }

    /// The ids of a presence channel's users, sorted.
    pub(crate) fn user_ids(&self, name: &ChannelName) -> Vec<String> {
        let channel = self.channels.get(name).map(|channel| channel.clone());
        channel.map_or_else(Vec::new, |channel| {
            lock(&channel.state).roster.user_ids().map(String::from).collect()
        })
    }

    /// The channels that have subscribers, by name.
    pub(crate) fn occupied(&self, prefix: &str) -> Vec<(ChannelName, usize)> {
        let named = self.channels.iter().filter(|entry| entry.key().as_str().starts_with(prefix));
        // The guards of the map are let go of before a channel is locked.
        let channels: Vec<Arc<Channel>> = named.map(|entry| entry.value().clone()).collect();
        let mut occupied: Vec<_> = channels
            .into_iter()
            .filter_map(|channel| {
                let state = lock(&channel.state);
                (state.roster.subscribers() > 0).then(|| (channel.name.clone(), state.roster.users()))
            })
            .collect();
        occupied.sort_unstable_by(|(a, _), (b, _)| a.as_str().cmp(b.as_str()));
        occupied
    }

    /// Of each channel that has subscribers its kind, and how many they are.
    pub(crate) fn sizes(&self) -> Vec<(ChannelKind, usize)> {
        let channels: Vec<Arc<Channel>> = self.channels.iter().map(|entry| entry.value().clone()).collect();
        let sizes =
            channels.iter().map(|channel| (channel.name.kind(), lock(&channel.state).roster.subscribers()));
        sizes.filter(|(_, subscribers)| *subscribers > 0).collect()
    }

    /// Does what is due: tells counts that were held back, forgets expired events, gives memory back.
    pub(crate) fn tick(&self, rules: Rules, now: Instant) {
        give_back(&self.channels);
        let counting = std::mem::take(&mut *lock(&self.counting));
        for channel in counting {
            let mut state = lock(&channel.state);
            state.counting = false;
            if state.pace.tick(now) {
                let noted = self.count(&channel, &mut state, rules, now);
                drop(state);
                self.fanout.schedule(noted);
            } else if state.pace.next().is_some() {
                state.counting = true;
                drop(state);
                lock(&self.counting).push(channel);
            }
        }
        while let Some(name) = self.next_expiring(now) {
            let channel = self.channels.get(&name).map(|channel| channel.clone());
            let Some(channel) = channel else { continue };
            let mut state = lock(&channel.state);
            match state.expires() {
                Some(at) if at > now => lock(&self.caching).push_back((at, name)),
                _ => {
                    self.forget_if_empty(&channel, &mut state, now);
                }
            }
        }
    }

    fn next_expiring(&self, now: Instant) -> Option<ChannelName> {
        let mut caching = lock(&self.caching);
        caching.pop_front_if(|(at, _)| *at <= now).map(|(_, name)| name)
    }

    fn channel(&self, name: &ChannelName) -> Arc<Channel> {
        if let Some(channel) = self.channels.get(name) {
            return channel.clone();
        }
        let new = || Arc::new(Channel::new(name.clone()));
        self.channels.entry(name.clone()).or_insert_with(new).clone()
    }

    /// Removes a channel that nobody subscribes to and that keeps nothing.
    fn forget_if_empty(&self, channel: &Arc<Channel>, state: &mut State, now: Instant) -> bool {
        state.expire(now);
        state.gone = state.is_empty();
        if state.gone {
            self.channels.remove_if(&channel.name, |_, there| Arc::ptr_eq(there, channel));
        }
        state.gone
    }

    /// Tells subscribers and backend how many they are, now or later, where the app wants it.
    fn tell_count(&self, channel: &Arc<Channel>, state: &mut State, rules: Rules, now: Instant) -> Noted {
        let counted = match channel.name.kind() {
            ChannelKind::Presence | ChannelKind::User => false,
            ChannelKind::Public | ChannelKind::Private | ChannelKind::Encrypted => {
                rules.subscription_count || rules.webhooks.contains(WebhookKind::SubscriptionCount)
            }
        };
        if !counted {
            return Noted::default();
        }
        if state.pace.changed(state.roster.subscribers(), now) {
            return self.count(channel, state, rules, now);
        }
        if !std::mem::replace(&mut state.counting, true) {
            lock(&self.counting).push(channel.clone());
        }
        Noted::default()
    }
    fn count(&self, channel: &Channel, state: &mut State, rules: Rules, now: Instant) -> Noted {
        if rules.webhooks.contains(WebhookKind::SubscriptionCount) {
            let (channel, count) = (channel.name.clone(), state.roster.subscribers());
            self.backend.tell(now, WebhookEvent::SubscriptionCount { channel, count });
        }
        if rules.subscription_count { state.note_count(&channel.name, now) } else { Noted::default() }
    }

    /// Tells the backend who has come. That a pair of events may cancel out is seen to where both are known, so it is
    /// told of both kinds where one is wanted.
    fn tell_joined(&self, channel: &Channel, state: &State, change: &Change, rules: Rules, now: Instant) {
        let channel = &channel.name;
        if state.roster.subscribers() == 1 && wants(rules, &OCCUPANCY, channel) {
            self.backend.tell(now, WebhookEvent::ChannelOccupied { channel: channel.clone() });
        }
        if let Change::MemberAdded(member) = change
            && wants(rules, &MEMBERSHIP, channel)
        {
            let (channel, user_id) = (channel.clone(), member.user_id.clone());
            self.backend.tell(now, WebhookEvent::MemberAdded { channel, user_id });
        }
    }

    /// Tells the backend who has gone.
    fn tell_left(&self, channel: &Channel, state: &State, change: &Change, rules: Rules, now: Instant) {
        let channel = &channel.name;
        if let Change::MemberRemoved(user_id) = change
            && wants(rules, &MEMBERSHIP, channel)
        {
            let (channel, user_id) = (channel.clone(), user_id.clone());
            self.backend.tell(now, WebhookEvent::MemberRemoved { channel, user_id });
        }
        if state.roster.subscribers() == 0 && wants(rules, &OCCUPANCY, channel) {
            self.backend.tell(now, WebhookEvent::ChannelVacated { channel: channel.clone() });
        }
    }
}

/// Whether the backend is told of one of these. A user's own channel is none of the app's.
fn wants(rules: Rules, kinds: &[WebhookKind], channel: &ChannelName) -> bool {
    rules.webhooks.contains_any(kinds) && channel.kind() != ChannelKind::User
}
