//! One socket's state machine.
//!
//! Frames and time go in, [`Output`]s come out, in the order in which they are to be carried out. Who carries them
//! out answers a [`Output::Join`] with [`Connection::joined`] or [`Connection::refused`].

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    App, ChannelName, Close, Publication, SocketId,
    auth::{self, AuthError},
    cache::LastEvent,
    channel::ChannelKind,
    event::{EVENT_NAME_MAX, Origin},
    frame::{
        client::{ClientEvent, ClientFrame, FrameError, Signin, Subscribe},
        server::{ServerFrame, SubscriptionErrorKind},
    },
    limit::{Limit, Rate},
    member::{Member, MemberError},
    roster::RosterFull,
    user::{User, WATCHLIST_MAX},
};

/// How long the peer has for things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Silence after which the server pings; told to the client in the first frame.
    pub activity_timeout: Duration,
    /// Silence after that ping that ends the connection.
    pub pong_timeout: Duration,
    /// Where the app wants authorized connections: until when one must have signed in or joined a private or
    /// presence channel.
    pub authorization_timeout: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            activity_timeout: Duration::from_mins(2),
            pong_timeout: Duration::from_secs(30),
            authorization_timeout: Duration::from_secs(30),
        }
    }
}

/// Mistakes that are answered, per second; those above are dropped in silence, so that nobody is paid for a flood.
const ERRORS_PER_SECOND: Limit = Limit::new(10);

/// The most channels of one connection, whatever the app's limit: far more than a page has, and few enough to leave at
/// once.
pub const CHANNELS_MAX: u32 = 10_000;

/// What is to be done next. `S` is a seat: whatever the caller keeps of a subscription.
#[derive(Debug)]
pub enum Output<S> {
    /// Send a frame to this client.
    Send(ServerFrame),
    /// Send a websocket PING: some clients do not answer `pusher:ping`.
    Ping,
    /// Subscribe, then say how it went.
    Join(Join),
    /// Unsubscribe.
    Leave(Leave<S>),
    /// Publish an event to a channel.
    Publish(Publication),
    /// Register the user; the success has been sent.
    SignIn(User),
    /// Count a signin that was refused; what is to be told of it has been sent.
    SigninRefused,
    /// Close the connection, and nothing after.
    Close(Close),
}

/// A subscription that is allowed.
#[derive(Debug)]
pub struct Join {
    /// To which channel.
    pub channel: ChannelName,
    /// As whom, on a presence channel.
    pub member: Option<Member>,
}

/// A subscription that ends.
#[derive(Debug)]
pub struct Leave<S> {
    /// Of which channel.
    pub channel: ChannelName,
    /// Whose, on a presence channel.
    pub user_id: Option<Arc<str>>,
    /// What the caller kept of it.
    pub seat: S,
}

/// What a new subscriber finds.
#[derive(Debug)]
pub struct Joined<S> {
    /// What the caller keeps of the subscription.
    pub seat: S,
    /// On a presence channel its members, this one among them, as JSON text.
    pub members: Option<String>,
    /// What the channel keeps.
    pub last_event: LastEvent,
}

/// One socket, from the first frame to the last.
#[derive(Debug)]
pub struct Connection<S> {
    app: Arc<App>,
    socket_id: SocketId,
    timing: Arc<Timing>,
    subscriptions: HashMap<ChannelName, Subscription<S>>,
    user: Option<Box<User>>,
    client_events: Rate,
    errors: Rate,
    last_seen: Instant,
    pinged: Option<Instant>,
    /// Until when the connection must be authorized; `None` once it is, or need not be.
    authorize_by: Option<Instant>,
}

#[derive(Debug)]
struct Subscription<S> {
    user_id: Option<Arc<str>>,
    /// `None` until the join is confirmed.
    seat: Option<S>,
}

impl<S> Connection<S> {
    /// A connection that the app has accepted; the first output greets the client.
    pub fn open(
        app: Arc<App>,
        socket_id: SocketId,
        timing: impl Into<Arc<Timing>>,
        now: Instant,
        out: &mut Vec<Output<S>>,
    ) -> Self {
        let timing = timing.into();
        out.push(Output::Send(ServerFrame::ConnectionEstablished {
            socket_id,
            activity_timeout_s: timing.activity_timeout.as_secs(),
        }));
        let authorize_by = app.features.authorized_connections.then(|| now + timing.authorization_timeout);
        Connection {
            app,
            socket_id,
            timing,
            subscriptions: HashMap::new(),
            user: None,
            client_events: Rate::default(),
            errors: Rate::default(),
            last_seen: now,
            pinged: None,
            authorize_by,
        }
    }

    /// The app's rules may have changed: from now on these count.
    pub fn follow(&mut self, app: Arc<App>) {
        self.app = app;
    }

    /// The app it belongs to.
    #[must_use]
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// The id of the user that it is signed in as.
    #[must_use]
    pub fn user_id(&self) -> Option<&Arc<str>> {
        self.user.as_ref().map(|user| &user.id)
    }

    /// The socket is gone: who it was signed in as.
    pub fn sign_out(&mut self) -> Option<User> {
        self.user.take().map(|user| *user)
    }

    /// Something came from the peer, if only a PONG: it lives.
    pub fn saw_life(&mut self, now: Instant) {
        self.last_seen = now;
        self.pinged = None;
    }

    /// A text message came.
    pub fn handle_text(&mut self, text: &str, now: Instant, out: &mut Vec<Output<S>>) {
        self.saw_life(now);
        match ClientFrame::parse(text) {
            Ok(frame) => self.handle_frame(frame, now, out),
            Err(error) => self.error(error, now, out),
        }
    }

    /// A frame came.
    pub fn handle_frame(&mut self, frame: ClientFrame, now: Instant, out: &mut Vec<Output<S>>) {
        match frame {
            ClientFrame::Ping => out.push(Output::Send(ServerFrame::Pong)),
            ClientFrame::Pong => {}
            ClientFrame::Subscribe(subscribe) => self.subscribe(&subscribe, out),
            ClientFrame::Unsubscribe { channel } => self.unsubscribe(&channel, now, out),
            ClientFrame::Signin(signin) => {
                if let Err(error) = self.sign_in(&signin, out) {
                    self.error(error, now, out);
                    out.push(Output::SigninRefused);
                }
            }
            ClientFrame::ClientEvent(event) => match self.client_event(event, now) {
                Ok(publication) => out.push(Output::Publish(publication)),
                Err(error) => self.error(error, now, out),
            },
        }
    }

    /// A [`Output::Join`] has been carried out. What is sent here must reach the client before any event of the
    /// channel.
    ///
    /// # Panics
    /// If nothing of the kind was asked for.
    pub fn joined(&mut self, channel: &ChannelName, joined: Joined<S>, out: &mut Vec<Output<S>>) {
        let subscription =
            self.subscriptions.get_mut(channel).expect("a join is answered while it is wanted");
        subscription.seat = Some(joined.seat);
        if channel.needs_auth() {
            self.authorize_by = None;
        }
        out.push(Output::Send(ServerFrame::SubscriptionSucceeded {
            channel: channel.clone(),
            members: joined.members,
        }));
        match joined.last_event {
            LastEvent::NotKept => {}
            LastEvent::Miss => out.push(Output::Send(ServerFrame::CacheMiss { channel: channel.clone() })),
            LastEvent::Hit(text) => out.push(Output::Send(ServerFrame::Replay(text))),
        }
    }

    /// A [`Output::Join`] could not be carried out.
    pub fn refused(&mut self, channel: &ChannelName, full: RosterFull, out: &mut Vec<Output<S>>) {
        self.subscriptions.remove(channel);
        Self::subscription_error(channel.as_str(), &SubscribeError::Full(full), out);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next, unless something happens before.
    #[must_use]
    pub fn next_timeout(&self) -> Instant {
        let activity = match self.pinged {
            Some(pinged) => pinged + self.timing.pong_timeout,
            None => self.last_seen + self.timing.activity_timeout,
        };
        self.authorize_by.map_or(activity, |by| by.min(activity))
    }

    /// The time may have come for something; too early does no harm.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Vec<Output<S>>) {
        if self.authorize_by.is_some_and(|by| now >= by) {
            out.push(Output::Close(Close::NotAuthorizedInTime));
            return;
        }
        match self.pinged {
            Some(pinged) if now >= pinged + self.timing.pong_timeout => {
                out.push(Output::Close(Close::PongTimeout));
            }
            None if now >= self.last_seen + self.timing.activity_timeout => {
                self.pinged = Some(now);
                out.push(Output::Ping);
            }
            _ => {}
        }
    }

    /// The socket is gone: what it leaves.
    pub fn leave_all(&mut self) -> impl Iterator<Item = Leave<S>> + use<S> {
        std::mem::take(&mut self.subscriptions).into_iter().filter_map(|(channel, subscription)| {
            Some(Leave { channel, user_id: subscription.user_id, seat: subscription.seat? })
        })
    }

    fn subscribe(&mut self, subscribe: &Subscribe, out: &mut Vec<Output<S>>) {
        match self.check_subscribe(subscribe) {
            Ok(join) => {
                let user_id = join.member.as_ref().map(|member| member.user_id.clone());
                self.subscriptions.insert(join.channel.clone(), Subscription { user_id, seat: None });
                out.push(Output::Join(join));
            }
            Err(error) => Self::subscription_error(&subscribe.channel, &error, out),
        }
    }

    /// Name, duplicate, signature, presence data: in this order, so that the first mistake is the one told.
    fn check_subscribe(&self, subscribe: &Subscribe) -> Result<Join, SubscribeError> {
        let channel = ChannelName::parse(&subscribe.channel)
            .map_err(|error| SubscribeError::Invalid(error.to_string()))?;
        if self.subscriptions.contains_key(&channel) {
            return Err(SubscribeError::Existing);
        }
        let most = self.app.limits.channels_per_connection.max().unwrap_or(CHANNELS_MAX).min(CHANNELS_MAX);
        if self.subscriptions.len() >= most as usize {
            return Err(SubscribeError::TooMany { most });
        }
        let (auth, data) = (subscribe.auth.as_deref(), subscribe.channel_data.as_deref());
        let member = match channel.kind() {
            ChannelKind::Public => None,
            ChannelKind::User => {
                if self.user_id().map(AsRef::as_ref) != channel.user_id() {
                    return Err(SubscribeError::NotThatUser);
                }
                None
            }
            ChannelKind::Private | ChannelKind::Encrypted => {
                auth::channel::check(&self.app, self.socket_id, &channel, auth, data)?;
                None
            }
            ChannelKind::Presence => {
                auth::channel::check(&self.app, self.socket_id, &channel, auth, data)?;
                Some(self.member(data)?)
            }
        };
        Ok(Join { channel, member })
    }

    /// Who joins a presence channel: as `channel_data` says, failing that the signed-in user.
    fn member(&self, channel_data: Option<&str>) -> Result<Member, MemberError> {
        let bytes = self.app.limits.presence_member_bytes;
        match (channel_data, &self.user) {
            (Some(data), _) => Member::parse(data, bytes),
            (None, Some(user)) => Member::new(&user.id, user.info.as_deref(), bytes),
            (None, None) => Err(MemberError::Missing),
        }
    }

    fn unsubscribe(&mut self, name: &str, now: Instant, out: &mut Vec<Output<S>>) {
        let held =
            ChannelName::parse(name).ok().and_then(|channel| self.subscriptions.remove_entry(&channel));
        match held {
            Some((channel, Subscription { user_id, seat: Some(seat) })) => {
                out.push(Output::Leave(Leave { channel, user_id, seat }));
            }
            Some((channel, joining)) => {
                self.subscriptions.insert(channel, joining);
                self.error(NotSubscribed(name), now, out);
            }
            None => self.error(NotSubscribed(name), now, out),
        }
    }

    fn sign_in(&mut self, signin: &Signin, out: &mut Vec<Output<S>>) -> Result<(), SigninError> {
        if !self.app.features.user_authentication {
            return Err(SigninError::Off);
        }
        let auth = signin.auth.as_deref().ok_or(SigninError::Missing("auth"))?;
        let user_data = signin.user_data.as_deref().ok_or(SigninError::Missing("user_data"))?;
        auth::user::check(&self.app, self.socket_id, auth, user_data)?;
        let mut user = User::parse(user_data)?;
        if self.user.as_ref().is_some_and(|known| known.id != user.id) {
            return Err(SigninError::AnotherUser);
        }
        out.push(Output::Send(ServerFrame::SigninSuccess { user_data: user_data.to_owned() }));
        if !self.app.features.watchlist_events {
            user.watchlist.clear();
        } else if user.watchlist_cut {
            let message =
                format!("The watchlist is too long: only the first {WATCHLIST_MAX} users are watched");
            out.push(Output::Send(ServerFrame::Error { code: Some(4302), message }));
        }
        self.authorize_by = None;
        if self.user.is_none() {
            self.user = Some(Box::new(user.clone()));
            out.push(Output::SignIn(user));
        }
        Ok(())
    }

    fn client_event(&mut self, event: ClientEvent, now: Instant) -> Result<Publication, ClientEventError> {
        if !self.app.features.client_events {
            return Err(ClientEventError::Off);
        }
        let not_subscribed = || ClientEventError::NotSubscribed(event.channel.clone());
        let channel = ChannelName::parse(&event.channel).map_err(|_| not_subscribed())?;
        if !channel.needs_auth() {
            return Err(ClientEventError::PublicChannel);
        }
        let subscription =
            self.subscriptions.get(&channel).filter(|subscription| subscription.seat.is_some());
        let user_id = subscription.ok_or_else(not_subscribed)?.user_id.clone();
        let name_len = event.event.chars().count();
        if name_len > EVENT_NAME_MAX {
            return Err(ClientEventError::NameTooLong(name_len));
        }
        let limits = &self.app.limits;
        if let (Some(max), Some(len)) = (limits.event_bytes.max(), event.data.over(limits.event_bytes)) {
            return Err(ClientEventError::TooLarge { len, max });
        }
        if !self.client_events.take(limits.client_events_per_second, now) {
            return Err(ClientEventError::TooMany(limits.client_events_per_second));
        }
        let (event, data) = (event.event.into(), event.data);
        let frame = ServerFrame::Event { event, channel: channel.clone(), data, user_id };
        Ok(Publication { channel, frame, except: Some(self.socket_id), origin: Origin::Socket })
    }

    /// A refusal that pusher-js shows on the channel, and one for those who know only errors. Each is told: a channel
    /// that hears nothing stays pending in the client.
    fn subscription_error(channel: &str, error: &SubscribeError, out: &mut Vec<Output<S>>) {
        let message = match error {
            SubscribeError::Existing => format!("Existing subscription to channel {channel}"),
            error => error.to_string(),
        };
        if let Some(kind) = error.kind() {
            let (channel, message) = (channel.to_owned(), message.clone());
            out.push(Output::Send(ServerFrame::SubscriptionError { channel, kind, message }));
        }
        out.push(Output::Send(ServerFrame::Error { code: None, message }));
    }

    fn error(&mut self, error: impl Into<Told>, now: Instant, out: &mut Vec<Output<S>>) {
        if self.errors.take(ERRORS_PER_SECOND, now) {
            let Told { code, message } = error.into();
            out.push(Output::Send(ServerFrame::Error { code, message }));
        }
    }
}

/// What a `pusher:error` tells.
struct Told {
    code: Option<u16>,
    message: String,
}

struct NotSubscribed<'a>(&'a str);

impl From<NotSubscribed<'_>> for Told {
    fn from(NotSubscribed(channel): NotSubscribed<'_>) -> Self {
        let message = format!("No current subscription to channel {channel}, or subscription in progress");
        Told { code: None, message }
    }
}

impl From<FrameError> for Told {
    fn from(error: FrameError) -> Self {
        Told { code: None, message: error.to_string() }
    }
}

#[derive(Debug, thiserror::Error)]
enum SubscribeError {
    #[error("{0}")]
    Invalid(String),
    #[error("Existing subscription")]
    Existing,
    #[error("Too many channels: {most} are the most of one connection")]
    TooMany { most: u32 },
    #[error("Not signed in as the user of this channel")]
    NotThatUser,
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error(transparent)]
    Member(#[from] MemberError),
    #[error(transparent)]
    Full(RosterFull),
}

impl SubscribeError {
    /// How it is shown on the channel; a channel that is subscribed already has no error.
    fn kind(&self) -> Option<SubscriptionErrorKind> {
        match self {
            SubscribeError::Existing => None,
            SubscribeError::NotThatUser => Some(SubscriptionErrorKind::NotThatUser),
            SubscribeError::Auth(_) => Some(SubscriptionErrorKind::Auth),
            SubscribeError::Invalid(_) => Some(SubscriptionErrorKind::Name),
            SubscribeError::Member(MemberError::InfoTooBig { .. }) => Some(SubscriptionErrorKind::TooLarge),
            SubscribeError::Member(MemberError::Missing) => Some(SubscriptionErrorKind::NoMember),
            SubscribeError::Member(_) => Some(SubscriptionErrorKind::Member),
            SubscribeError::Full(_) => Some(SubscriptionErrorKind::Full),
            SubscribeError::TooMany { .. } => Some(SubscriptionErrorKind::TooManyChannels),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum SigninError {
    #[error("User authentication is not enabled for this app")]
    Off,
    #[error("Missing parameter: data.{0}")]
    Missing(&'static str),
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error(transparent)]
    User(#[from] crate::user::UserError),
    #[error("The connection is signed in as another user")]
    AnotherUser,
}

impl From<SigninError> for Told {
    fn from(error: SigninError) -> Self {
        Told { code: None, message: error.to_string() }
    }
}

#[derive(Debug, thiserror::Error)]
enum ClientEventError {
    #[error("To send client events, you must enable this feature in the Settings page of your dashboard.")]
    Off,
    #[error("Client event rejected - only supported on private and presence channels")]
    PublicChannel,
    #[error("Cannot broadcast client event (connection not subscribed to channel {0})")]
    NotSubscribed(String),
    #[error("Invalid client event: the name has {0} characters, the most is {EVENT_NAME_MAX}")]
    NameTooLong(usize),
    #[error("Invalid client event: the data has {len} bytes, the most is {max}")]
    TooLarge { len: usize, max: u32 },
    #[error("Client event rejected - over the rate limit of {} per second", .0.max().unwrap_or(0))]
    TooMany(Limit),
}

impl From<ClientEventError> for Told {
    fn from(error: ClientEventError) -> Self {
        let code = matches!(error, ClientEventError::TooMany(_)).then_some(4301);
        Told { code, message: error.to_string() }
    }
}
