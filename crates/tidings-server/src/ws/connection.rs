//! The task of one socket: between its bytes, its [`Connection`] and the [`Node`].

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tidings_protocol::{
    Close, Connection,
    app::Limits,
    connection::{Leave, Output},
    frame::server::{ServerFrame, SubscriptionErrorKind},
    limit::{Limit, Rate},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};

use super::{
    frame::Frame,
    reader::{Message, Next, Reader},
    session::{News, Sent, Session},
    socket::{Calls, Socket},
    wire::{self, Arrival, Reading, Writing},
};
use crate::{
    apps::LiveApp,
    hub::Seat,
    metrics::EndedBy,
    node::{Node, frame},
    random,
    stream::Stream,
};

/// The peer has this long to read what waits for it, once the kernel takes no more.
const STALLED_AFTER: Duration = Duration::from_secs(30);
/// The peer has this long to answer a close frame.
const CLOSE_REPLY: Duration = Duration::from_secs(5);
/// A message may be this long, and six times an event's data where that is more: JSON may escape every byte.
pub(super) const MESSAGE_MAX: usize = 128 * 1024;
/// Where an app has no limit for an event's data, messages still have one.
const UNLIMITED_MESSAGE_MAX: usize = 16 * 1024 * 1024;

/// The code of an error about the rate of client events.
const CLIENT_EVENT_RATE: u16 = 4301;
/// Refused subscriptions of one connection that go into the log, each second: a flood of them is not to fill it.
const REFUSALS_PER_SECOND: Limit = Limit::new(10);

/// What a socket may do before others have their turn.
const TURNS_PER_POLL: usize = 4;

/// Channels that are left before others have their turn.
const LEAVES_PER_POLL: usize = 128;

const READ_BYTES: usize = 16 * 1024;

thread_local! {
    /// What a thread reads into, whichever socket it serves: an idle socket has no buffer.
    static READ_BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// Serves a connection from its first frame to its last. `early` is what came right behind the handshake.
///
/// The task is spawned as it stands: an idle socket costs its fields and nothing of how it was opened.
pub(crate) fn serve(node: Arc<Node>, live: Arc<LiveApp>, stream: Stream, early: &[u8]) {
    if live.connected(live.app().limits.connections) {
        let mut task = Task::open(node, live, wire::websocket(stream));
        task.read(&mut early.to_vec());
        task.settle();
        tokio::spawn(task);
    } else {
        node.metrics.connection_refused(&Close::OverConnections);
        tokio::spawn(refuse(stream, Close::OverConnections));
    }
}

/// Serves a session of HTTP requests as a connection.
///
/// # Errors
/// If the app has no room for it.
pub(crate) fn serve_session(
    node: &Arc<Node>,
    live: Arc<LiveApp>,
    session: &Arc<Session>,
) -> Result<(), Close> {
    if !live.connected(live.app().limits.connections) {
        return Err(Close::OverConnections);
    }
    session.belongs_to(&live);
    let mut task = Task::open(node.clone(), live, wire::session(session));
    task.settle();
    tokio::spawn(task);
    Ok(())
}

/// How long a message may be.
pub(super) fn message_max(limits: &Limits) -> usize {
    match limits.event_bytes.max() {
        Some(max) => MESSAGE_MAX.max(6 * max as usize),
        None => UNLIMITED_MESSAGE_MAX,
    }
}

/// Says why a connection is not taken, and closes it.
pub(crate) async fn refuse(mut stream: Stream, close: Close) {
    log_refused(&close);
    let mut farewell = Vec::new();
    if let Some(error) = ServerFrame::before_close(&close) {
        farewell.extend_from_slice(&Frame::text(&error.encode()));
    }
    farewell.extend_from_slice(&Frame::close(&close));
    // A peer that is gone needs no farewell.
    let _ = tokio::time::timeout(CLOSE_REPLY, async {
        stream.write_all(&farewell).await?;
        await_close(&mut stream).await?;
        stream.shutdown().await
    })
    .await;
}

/// The line in the log for a connection that is not taken.
pub(crate) fn log_refused(close: &Close) {
    tracing::info!(code = close.code(), reason = %close.message(), "connection refused");
}

/// Reads until the peer's close frame: to end before could lose ours.
async fn await_close(stream: &mut Stream) -> io::Result<()> {
    let mut reader = Reader::default();
    let mut bytes = [0; 512];
    let mut answered = false;
    while !answered {
        let count = stream.read(&mut bytes).await?;
        let read = reader.feed(&mut bytes[..count], MESSAGE_MAX, |message| {
            answered |= matches!(message, Message::Close(_));
            Next::Go
        });
        answered |= count == 0 || read.is_err();
    }
    Ok(())
}

struct Task {
    node: Arc<Node>,
    live: Arc<LiveApp>,
    socket: Arc<Socket>,
    reading: Reading,
    connection: Connection<Seat>,
    /// When the wheel will tell the time next.
    told_at: Option<Instant>,
    /// The kernel takes no more for now.
    blocked: bool,
    /// Waits until there is room for more events, after one was published when there was none.
    room: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// How many refused subscriptions may go into the log.
    refusals: Rate,
    /// Channels that are still to be left, of a connection that has ended.
    leaving: Vec<Leave<Seat>>,
    end: End,
}

/// Why a subscription is refused, in the log's words: what its client is told may hold what a member says of itself.
fn refusal(kind: SubscriptionErrorKind) -> &'static str {
    match kind {
        SubscriptionErrorKind::Auth => {
            "its auth is missing or wrong; `tidings explain-auth` says what is to be signed"
        }
        SubscriptionErrorKind::NotThatUser => "its connection is not signed in as the user of this channel",
        SubscriptionErrorKind::Name => "its name is not valid",
        SubscriptionErrorKind::Member => "its channel_data is not valid",
        SubscriptionErrorKind::NoMember => "it has no channel_data, and its connection is not signed in",
        SubscriptionErrorKind::TooLarge => "its user_info is over the app's limit presence_member_bytes",
        SubscriptionErrorKind::Full => "the app's limit presence_members is reached",
        SubscriptionErrorKind::TooManyChannels => "the app's limit channels_per_connection is reached",
    }
}

/// As much of what a client has made up as a line of the log holds.
fn beginning(text: &str) -> &str {
    const MAX: usize = 512;
    &text[..text.floor_char_boundary(MAX)]
}

/// How far the connection's end has come.
enum End {
    Open,
    /// Our close frame is on its way; the peer has until then to answer.
    Closing {
        until: Instant,
    },
    /// The peer's close frame has come; what waits still goes out.
    Answered {
        until: Instant,
    },
    Over,
}

impl Future for Task {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let task = self.get_mut();
        for _ in 0..TURNS_PER_POLL {
            ready!(task.poll_leave(cx));
            if let End::Over = task.end {
                return Poll::Ready(());
            }
            ready!(task.turn(cx));
            task.settle();
        }
        // There is more to do, but others have been waiting.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Task {
    fn open(node: Arc<Node>, live: Arc<LiveApp>, (reading, writing): (Reading, Writing)) -> Self {
        let app = live.app();
        let mut writing = Some(writing);
        let socket = loop {
            let id = random::socket_id();
            let taken = writing.take().expect("the wire is put back where the id was taken");
            let socket = Arc::new(Socket::new(id, live.id().clone(), node.clock.clone(), taken));
            if node.opened(&socket) {
                break socket;
            }
            writing = Arc::into_inner(socket).map(Socket::into_writing);
        };
        let mut outputs = Vec::new();
        let connection =
            Connection::open(app, socket.id(), node.timing.clone(), node.clock.now(), &mut outputs);
        let mut task = Task {
            node,
            live,
            socket,
            reading,
            connection,
            told_at: None,
            blocked: false,
            room: None,
            refusals: Rate::default(),
            leaving: Vec::new(),
            end: End::Open,
        };
        task.carry_out(outputs);
        // The app may have been switched off since the handshake, when this socket was not there to be closed.
        if !task.live.app().enabled {
            task.close(&Close::AppDisabled);
        }
        task
    }

    /// Waits for the first of: a call, room in the kernel, bytes; and deals with it.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let calls = self.socket.calls(cx);
        if calls.any() {
            self.answer(calls);
            return Poll::Ready(());
        }
        if let Poll::Ready(news) = self.reading.poll_news(cx) {
            match news {
                News::Left => {}
                News::BrokenOff => self.gone("the peer closed the connection"),
                News::Life => self.connection.saw_life(self.node.clock.now()),
            }
            return Poll::Ready(());
        }
        if self.blocked {
            // Nothing is read of a peer that does not read.
            ready!(self.socket.poll_writable(cx));
            self.blocked = false;
            self.socket.resume();
            self.read(&mut []);
            return Poll::Ready(());
        }
        if self.room.is_some() {
            return self.poll_room(cx);
        }
        READ_BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            match ready!(self.reading.poll_read(cx, &mut buffer)) {
                Ok(Arrival::Sent(sent)) => self.read_sent(&sent),
                Ok(Arrival::Bytes) if buffer.filled().is_empty() => {
                    self.gone("the peer closed the connection");
                }
                Ok(Arrival::Bytes) => self.read(buffer.filled_mut()),
                Err(error) => self.gone(&error.to_string()),
            }
            Poll::Ready(())
        })
    }

    /// Waits until there is room, if it was asked for.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(room) = &mut self.room {
            ready!(room.as_mut().poll(cx));
            self.room = None;
            // What was read before has been waiting for that.
            self.read(&mut []);
        }
        Poll::Ready(())
    }

    /// After a turn: sends what it has brought, and sees to the next deadline.
    fn settle(&mut self) {
        self.socket.flush();
        let sent = self.socket.outbox().is_empty();
        let deadline = match self.end {
            End::Open => self.connection.next_timeout(),
            End::Answered { .. } if sent => {
                self.end = End::Over;
                return;
            }
            End::Closing { .. } if sent && self.reading.is_told() => {
                self.end = End::Over;
                return;
            }
            End::Closing { until } | End::Answered { until } => until,
            End::Over => return,
        };
        let deadline = self.reading.deadline().map_or(deadline, |at| deadline.min(at));
        let deadline =
            self.socket.blocked_since().map_or(deadline, |since| deadline.min(since + STALLED_AFTER));
        if self.told_at.is_none_or(|at| deadline < at) {
            self.told_at = Some(self.node.wheel.schedule(self.socket.id(), deadline));
        }
    }

    fn answer(&mut self, calls: Calls) {
        self.blocked |= calls.contain(Calls::BLOCKED);
        if calls.contain(Calls::CLOSE)
            && let Some(close) = self.socket.close_wanted()
        {
            self.close(&close);
        }
        if calls.contain(Calls::TIME) {
            // An earlier deadline's entry may still be in the wheel: it is not the one to be replaced.
            self.told_at.take_if(|at| *at <= self.node.clock.now());
            self.handle_time();
        }
    }

    fn handle_time(&mut self) {
        let now = self.node.clock.now();
        if !self.reading.handle_time() {
            self.gone("the client does not ask for its messages any more");
        }
        match self.end {
            End::Open if self.socket.blocked_since().is_some_and(|since| now >= since + STALLED_AFTER) => {
                self.close(&Close::SlowConsumer);
            }
            End::Open => {
                let mut outputs = Vec::new();
                self.connection.handle_timeout(now, &mut outputs);
                self.carry_out(outputs);
            }
            End::Closing { until } | End::Answered { until } if now >= until => self.end = End::Over,
            End::Closing { .. } | End::Answered { .. } | End::Over => {}
        }
    }

    /// Bytes have come; without any, those that were left.
    fn read(&mut self, bytes: &mut [u8]) {
        self.connection.follow(self.live.app());
        // What a session has brought waits there.
        let Reading::Websocket { reader, .. } = &mut self.reading else { return };
        let mut reader = std::mem::take(reader);
        let max = message_max(&self.connection.app().limits);
        let (mut messages, length) = (0, bytes.len());
        let read = reader.feed(bytes, max, |message| {
            messages += 1;
            self.handle(message)
        });
        self.live.received.add(messages, length);
        if let Reading::Websocket { reader: emptied, .. } = &mut self.reading {
            *emptied = reader;
        }
        if let (Err(close), End::Open) = (read, &self.end) {
            self.close(&close);
        }
        // After our close frame the rest of a bad message is thrown away, until the peer ends or its time is over.
    }

    /// A message has come by a sending request.
    fn read_sent(&mut self, sent: &Sent) {
        self.connection.follow(self.live.app());
        let max = message_max(&self.connection.app().limits);
        match sent {
            Sent::Text(text) if text.len() <= max => {
                self.live.received.add(1, text.len());
                // Whether the next has to wait is asked before it is taken.
                self.handle(Message::Text(text));
            }
            Sent::Text(_) | Sent::TooLong => self.close(&Close::TooBig),
        }
    }

    fn handle(&mut self, message: Message<'_>) -> Next {
        let now = self.node.clock.now();
        match (&self.end, message) {
            (End::Open, Message::Text(text)) => {
                let mut outputs = Vec::new();
                self.connection.handle_text(text, now, &mut outputs);
                self.carry_out(outputs);
            }
            (End::Open, Message::Ping(payload)) => {
                self.connection.saw_life(now);
                self.socket.push(&[Frame::pong(payload)]);
            }
            (End::Open, Message::Pong) => self.connection.saw_life(now),
            (End::Open, Message::Close(code)) => {
                self.note_closed(EndedBy::Peer, code, "closed by the peer");
                self.socket.outbox().close_reply(code);
                self.end = End::Answered { until: now + CLOSE_REPLY };
            }
            (End::Closing { until }, Message::Close(_)) => self.end = End::Answered { until: *until },
            (End::Closing { .. } | End::Answered { .. } | End::Over, _) => {}
        }
        match self.end {
            End::Open if self.must_wait() => Next::Pause,
            End::Open | End::Closing { .. } => Next::Go,
            End::Answered { .. } | End::Over => Next::Stop,
        }
    }

    /// Whether what the peer sends next has to wait: for room in fan-out, or for the peer to read.
    fn must_wait(&self) -> bool {
        if self.socket.outbox().is_heavy() {
            self.socket.flush();
        }
        self.room.is_some() || self.socket.blocked_since().is_some()
    }

    /// Waits for room before more is read, if there is none: joins and leaves are told to others like any event.
    fn ask_for_room(&mut self) {
        if self.room.is_none() && self.node.is_crowded() {
            let node = self.node.clone();
            self.room = Some(Box::pin(async move { node.room().await }));
        }
    }

    fn carry_out(&mut self, outputs: Vec<Output<Seat>>) {
        for output in outputs {
            match output {
                Output::Send(_) | Output::Ping => {
                    self.note_refusal(&output);
                    self.socket.push(frame(&output).as_slice());
                }
                Output::Join(join) => {
                    let channel = join.channel.clone();
                    if let Err(full) = self.node.join(&self.live, &self.socket, &mut self.connection, join) {
                        let mut outputs = Vec::new();
                        self.connection.refused(&channel, full, &mut outputs);
                        self.carry_out(outputs);
                    }
                    self.ask_for_room();
                }
                Output::Leave(leave) => {
                    self.node.leave(&self.live, &self.socket, self.connection.app(), leave);
                    self.ask_for_room();
                }
                Output::Publish(publication) => {
                    self.node.publish_client_event(&self.live, self.connection.app(), publication);
                    self.ask_for_room();
                }
                Output::SignIn(user) => {
                    self.live.sign_in(&self.socket, &user);
                    self.ask_for_room();
                }
                Output::SigninRefused => self.node.metrics.signin_refused(),
                Output::Close(close) => self.close(&close),
            }
        }
    }

    /// Notes refusals among what is sent.
    fn note_refusal(&mut self, output: &Output<Seat>) {
        match output {
            Output::Send(ServerFrame::SubscriptionError { channel, kind, message: _ }) => {
                if matches!(kind, SubscriptionErrorKind::Auth | SubscriptionErrorKind::NotThatUser) {
                    self.node.metrics.subscription_unauthorized();
                }
                if self.refusals.take(REFUSALS_PER_SECOND, self.node.clock.now()) {
                    let (app_id, socket_id) = (self.live.id(), self.socket.id());
                    let (channel, reason) = (beginning(channel), refusal(*kind));
                    tracing::info!(%app_id, %socket_id, channel, reason, "subscription refused");
                }
            }
            Output::Send(ServerFrame::Error { code: Some(CLIENT_EVENT_RATE), .. }) => {
                self.node.metrics.client_event_limited();
            }
            _ => {}
        }
    }

    /// Says why, and waits for the peer's close frame. What was published until then is delivered, and nothing any more.
    fn close(&mut self, close: &Close) {
        if !matches!(self.end, End::Open) {
            return;
        }
        let slow = *close == Close::SlowConsumer;
        if slow {
            self.node.metrics.slow_consumer_closed();
        }
        self.note_closed(EndedBy::Server(close), Some(close.code()), &close.message());
        self.leaving.extend(self.connection.leave_all());
        for leave in &self.leaving {
            leave.seat.hand_over(&self.socket);
        }
        self.socket.outbox().close(close, slow);
        // Who reads slowly has much to read before the close frame.
        let wait = if slow { STALLED_AFTER } else { CLOSE_REPLY };
        self.end = End::Closing { until: self.node.clock.now() + wait };
    }

    /// The socket is broken or at its end.
    fn gone(&mut self, reason: &str) {
        if let End::Open = self.end {
            self.note_closed(EndedBy::Nobody, None, reason);
        }
        self.end = End::Over;
    }

    /// Once the connection has ended: leaves its channels, some at a time, as long as there is room to tell others.
    fn poll_leave(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let End::Open = self.end {
            return Poll::Ready(());
        }
        ready!(self.poll_room(cx));
        self.leave(LEAVES_PER_POLL);
        if self.leaving.is_empty() {
            return Poll::Ready(());
        }
        self.ask_for_room();
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Signs out, and leaves at most so many channels.
    fn leave(&mut self, most: usize) {
        if let Some(user) = self.connection.sign_out() {
            self.live.sign_out(&self.socket, &user);
        }
        self.leaving.extend(self.connection.leave_all());
        // The rules of now: those of the last frame may be old.
        let app = self.live.app();
        let rest = self.leaving.len().saturating_sub(most);
        for leave in self.leaving.drain(rest..) {
            self.node.leave(&self.live, &self.socket, &app, leave);
        }
    }

    fn note_closed(&self, by: EndedBy<'_>, code: Option<u16>, reason: &str) {
        self.live.closed_connections.add(by.label());
        tracing::info!(app_id = %self.live.id(), socket_id = %self.socket.id(), code, reason, "connection closed");
    }
}

impl Drop for Task {
    /// However the task ends, nothing of its socket stays anywhere.
    fn drop(&mut self) {
        self.leave(usize::MAX);
        self.reading.end(&self.node);
        self.node.closed(&self.socket);
        self.live.disconnected();
    }
}
