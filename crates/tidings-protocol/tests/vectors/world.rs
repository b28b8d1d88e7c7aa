//! A server's worth of state in memory, moved by hand: it carries out what [`Connection`]s want in the obvious way.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tidings_protocol::{
    App, ChannelName, Close, Connection, Publication, SocketId,
    cache::{CACHE_TTL, CachedEvent, LastEvent},
    channel::{Caching, ChannelKind},
    connection::{Join, Joined, Leave, Output, Timing},
    event::Origin,
    frame::server::ServerFrame,
    handshake,
    roster::{Change, CountPace, Roster},
    user::User,
};

use crate::format::Connect;

/// The server's wall clock at the beginning of every scenario, in seconds since 1970.
const WALL_S: u64 = 1_353_088_179;

/// One app, its sockets and its channels.
pub(crate) struct World {
    pub(crate) app: Arc<App>,
    /// Another app on the same server.
    pub(crate) other: App,
    pub(crate) sockets: BTreeMap<String, Socket>,
    pub(crate) channels: BTreeMap<String, Channel>,
    /// The signed-in users, and the sockets of each.
    users: BTreeMap<Arc<str>, Vec<String>>,
    begin: Instant,
    now: Instant,
    connected: u32,
}

/// One socket, and what it has received since it was last looked at.
#[derive(Default)]
pub(crate) struct Socket {
    pub(crate) id: String,
    /// `None` when it is closed.
    connection: Option<Connection<()>>,
    watchlist: Vec<String>,
    answers_pings: bool,
    pub(crate) frames: Vec<String>,
    pub(crate) pings: usize,
    pub(crate) closed: Option<(u16, String)>,
}

/// One channel; kept when it is empty, for what it caches.
#[derive(Default)]
pub(crate) struct Channel {
    pub(crate) roster: Roster,
    pace: CountPace,
    /// The sockets' names, in the order in which they came.
    subscribers: Vec<String>,
    cached: Option<CachedEvent>,
}

impl World {
    pub(crate) fn new(app: App, other: App) -> Self {
        #[expect(clippy::disallowed_methods, reason = "any instant will do: only differences count")]
        let begin = Instant::now();
        World {
            app: Arc::new(app),
            other,
            sockets: BTreeMap::new(),
            channels: BTreeMap::new(),
            users: BTreeMap::new(),
            begin,
            now: begin,
            connected: 0,
        }
    }

    /// The wall clock.
    pub(crate) fn now_s(&self) -> u64 {
        WALL_S + (self.now - self.begin).as_secs()
    }

    /// The ids of all sockets by their names.
    pub(crate) fn socket_ids(&self) -> BTreeMap<String, String> {
        self.sockets.iter().map(|(name, socket)| (name.clone(), socket.id.clone())).collect()
    }

    /// What a channel keeps, and for how many seconds more.
    pub(crate) fn cached(&self, channel: &str) -> Option<(&CachedEvent, u64)> {
        let cached = self.channels.get(channel)?.cached.as_ref()?;
        let left = cached.expires.checked_duration_since(self.now).filter(|left| !left.is_zero())?;
        Some((cached, left.as_secs()))
    }

    /// Moves the clock; what falls due on the way happens at its own time.
    pub(crate) fn advance_to(&mut self, since_begin: Duration) {
        let target = self.begin + since_begin;
        assert!(target >= self.now, "steps go forward in time");
        while let Some(at) = self.next_due().filter(|at| *at <= target) {
            self.now = self.now.max(at);
            let names: Vec<String> = self.sockets.keys().cloned().collect();
            for name in names {
                let now = self.now;
                self.with(&name, |connection, out| connection.handle_timeout(now, out));
            }
            let due: Vec<String> = self
                .channels
                .iter_mut()
                .filter_map(|(name, channel)| channel.pace.tick(self.now).then(|| name.clone()))
                .collect();
            for channel in due {
                self.tell_count(&channel);
            }
            assert!(self.next_due().is_none_or(|next| next > at), "what was due has been dealt with");
        }
        self.now = target;
    }

    fn next_due(&self) -> Option<Instant> {
        let sockets =
            self.sockets.values().filter_map(|socket| Some(socket.connection.as_ref()?.next_timeout()));
        sockets.chain(self.channels.values().filter_map(|channel| channel.pace.next())).min()
    }

    /// A socket connects, or is refused.
    pub(crate) fn connect(&mut self, name: &str, connect: &Connect) {
        self.connected += 1;
        let id = SocketId::new(self.connected, self.connected * 1000 + 7);
        let mut socket =
            Socket { id: id.to_string(), answers_pings: connect.answers_pings, ..Socket::default() };
        match self.check_connect(connect) {
            Ok(()) => {
                let mut out = Vec::new();
                let connection =
                    Connection::open(self.app.clone(), id, Timing::default(), self.now, &mut out);
                socket.connection = Some(connection);
                self.sockets.insert(name.to_owned(), socket);
                self.carry_out(name, out);
            }
            Err(close) => {
                socket.frames.extend(ServerFrame::before_close(&close).map(|frame| frame.encode()));
                socket.closed = Some((close.code(), close.message().into_owned()));
                self.sockets.insert(name.to_owned(), socket);
            }
        }
    }

    fn check_connect(&self, connect: &Connect) -> Result<(), Close> {
        if let Some(key) = connect.key.as_ref().filter(|key| **key != self.app.key) {
            return Err(Close::UnknownApp { key: key.clone() });
        }
        if !self.app.enabled {
            return Err(Close::AppDisabled);
        }
        handshake::check_protocol(connect.query.as_deref().unwrap_or(crate::format::QUERY))?;
        if !self.app.allowed_origins.allow(connect.origin.as_deref()) {
            return Err(Close::OriginNotAllowed);
        }
        let open = self.sockets.values().filter(|socket| socket.connection.is_some()).count();
        if !self.app.limits.connections.allows(open + 1) {
            return Err(Close::OverConnections);
        }
        Ok(())
    }

    /// A text frame from a socket.
    pub(crate) fn text(&mut self, name: &str, text: &str) {
        let now = self.now;
        self.with(name, |connection, out| connection.handle_text(text, now, out));
    }

    /// A PING or PONG frame from a socket.
    pub(crate) fn control_frame(&mut self, name: &str) {
        let now = self.now;
        self.with(name, |connection, _| connection.saw_life(now));
    }

    /// A socket goes.
    pub(crate) fn close(&mut self, name: &str) {
        let socket = self.sockets.get_mut(name).expect("a socket that closes has connected");
        let Some(mut connection) = socket.connection.take() else { return };
        socket.watchlist.clear();
        for leave in connection.leave_all() {
            self.leave(name, leave);
        }
        if let Some(user_id) = connection.user_id() {
            let sockets = self.users.get_mut(user_id).expect("a signed-in user is known");
            let signed_in = sockets.iter().position(|socket| socket == name);
            sockets.remove(signed_in.expect("a signed-in socket is among its user's"));
            if sockets.is_empty() {
                self.users.remove(user_id);
                self.tell_watchers(user_id, false);
            }
        }
    }

    /// The backend ends a user's connections.
    pub(crate) fn terminate(&mut self, user_id: &str) {
        for name in self.users.get(user_id).cloned().unwrap_or_default() {
            self.carry_out(&name, vec![Output::Close(Close::Terminated)]);
        }
    }

    /// An event goes to a channel's subscribers, and what the backend sent is kept where the channel keeps.
    pub(crate) fn publish(&mut self, publication: &Publication) {
        let Publication { channel: name, frame, except, origin } = publication;
        let text = frame.encode();
        let channel = self.channels.entry(name.to_string()).or_default();
        if *origin == Origin::Backend
            && name.caching() == Caching::LastEvent
            && let ServerFrame::Event { data, .. } = frame
        {
            let expires = self.now + CACHE_TTL;
            channel.cached = Some(CachedEvent { text: text.as_str().into(), data: data.clone(), expires });
        }
        let except = except.map(|socket_id| socket_id.to_string());
        for subscriber in &channel.subscribers {
            let socket = self.sockets.get_mut(subscriber).expect("a subscriber is connected");
            if Some(&socket.id) != except.as_ref() {
                socket.frames.push(text.clone());
            }
        }
    }

    fn with(&mut self, name: &str, act: impl FnOnce(&mut Connection<()>, &mut Vec<Output<()>>)) {
        let socket = self.sockets.get_mut(name).expect("a socket that acts has connected");
        let Some(connection) = &mut socket.connection else { return };
        let mut out = Vec::new();
        act(connection, &mut out);
        self.carry_out(name, out);
    }

    fn carry_out(&mut self, name: &str, out: Vec<Output<()>>) {
        for output in out {
            let socket = self.sockets.get_mut(name).expect("who wants something is connected");
            match output {
                Output::Send(frame) => socket.frames.push(frame.encode()),
                Output::Ping if socket.answers_pings => self.control_frame(name),
                Output::Ping => socket.pings += 1,
                Output::Join(join) => self.join(name, join),
                Output::Leave(leave) => self.leave(name, leave),
                Output::Publish(publication) => self.publish(&publication),
                Output::SignIn(user) => self.sign_in(name, &user),
                Output::SigninRefused => {}
                Output::Close(close) => {
                    socket.frames.extend(ServerFrame::before_close(&close).map(|frame| frame.encode()));
                    socket.closed = Some((close.code(), close.message().into_owned()));
                    self.close(name);
                    return;
                }
            }
        }
    }

    fn join(&mut self, name: &str, Join { channel: channel_name, member }: Join) {
        let last_event = match (channel_name.caching(), self.cached(channel_name.as_str())) {
            (Caching::Off, _) => LastEvent::NotKept,
            (Caching::LastEvent, None) => LastEvent::Miss,
            (Caching::LastEvent, Some((cached, _))) => LastEvent::Hit(cached.text.clone()),
        };
        let channel = self.channels.entry(channel_name.to_string()).or_default();
        let change = match channel.roster.join(member, self.app.limits.presence_members) {
            Ok(change) => change,
            Err(full) => {
                return self.with(name, |connection, out| connection.refused(&channel_name, full, out));
            }
        };
        channel.subscribers.push(name.to_owned());
        let members = (channel_name.kind() == ChannelKind::Presence).then(|| channel.roster.to_json());
        let joined = Joined { seat: (), members, last_event };
        self.with(name, |connection, out| connection.joined(&channel_name, joined, out));
        self.changed(name, &channel_name, change);
    }

    fn leave(&mut self, name: &str, Leave { channel: channel_name, user_id, seat: () }: Leave<()>) {
        let channel =
            self.channels.get_mut(channel_name.as_str()).expect("who leaves a channel has joined it");
        channel.subscribers.retain(|subscriber| subscriber != name);
        let change = channel.roster.leave(user_id.as_deref());
        self.changed(name, &channel_name, change);
    }

    /// The others are told of a member, all of their number.
    fn changed(&mut self, name: &str, channel: &ChannelName, change: Change) {
        let frame = match change {
            Change::None => None,
            Change::MemberAdded(member) => Some(ServerFrame::MemberAdded {
                channel: channel.clone(),
                user_id: member.user_id,
                info: member.info,
            }),
            Change::MemberRemoved(user_id) => {
                Some(ServerFrame::MemberRemoved { channel: channel.clone(), user_id })
            }
        };
        if let Some(frame) = frame {
            let except = self.sockets[name].id.parse().ok();
            self.publish(&Publication { channel: channel.clone(), frame, except, origin: Origin::Socket });
        }
        let counted = self.app.features.subscription_count && channel.kind() != ChannelKind::Presence;
        let now = self.now;
        let there = self.channels.get_mut(channel.as_str()).expect("a channel that changed is there");
        if counted && there.pace.changed(there.roster.subscribers(), now) {
            self.tell_count(channel.as_str());
        }
    }

    fn tell_count(&mut self, channel: &str) {
        let count = self.channels[channel].roster.subscribers();
        let channel = ChannelName::parse(channel).expect("a channel that is there has a valid name");
        let frame = ServerFrame::SubscriptionCount { channel: channel.clone(), count };
        self.publish(&Publication { channel, frame, except: None, origin: Origin::Socket });
    }

    fn sign_in(&mut self, name: &str, user: &User) {
        let sockets = self.users.entry(user.id.clone()).or_default();
        sockets.push(name.to_owned());
        let first = sockets.len() == 1;
        if !self.app.features.watchlist_events {
            return;
        }
        if !user.watchlist.is_empty() {
            self.sockets
                .get_mut(name)
                .expect("who signs in is connected")
                .watchlist
                .clone_from(&user.watchlist);
            let (online, offline) =
                user.watchlist.iter().cloned().partition(|id| self.users.contains_key(id.as_str()));
            let frame = ServerFrame::WatchlistEvents { online, offline };
            self.carry_out(name, vec![Output::Send(frame)]);
        }
        if first {
            self.tell_watchers(&user.id, true);
        }
    }

    fn tell_watchers(&mut self, user_id: &str, is_online: bool) {
        if !self.app.features.watchlist_events {
            return;
        }
        let ids = vec![user_id.to_owned()];
        let (online, offline) = if is_online { (ids, vec![]) } else { (vec![], ids) };
        let text = ServerFrame::WatchlistEvents { online, offline }.encode();
        for socket in self.sockets.values_mut() {
            if socket.watchlist.iter().any(|id| id == user_id) {
                socket.frames.push(text.clone());
            }
        }
    }
}
