//! A session of HTTP requests that stands in for a websocket's connection.
//!
//! What the socket writes is kept as lines until a receiving request carries them away; what sending requests bring
//! is kept until the socket's task reads it. Both are bounded: the socket's outbox keeps what does not fit, and a
//! sending request waits.

use std::{
    collections::{BTreeSet, VecDeque},
    io::{self, IoSlice},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use dashmap::DashMap;
use futures_util::task::AtomicWaker;
use tidings_protocol::{
    Close,
    frame::{fallback, server::ServerFrame},
};
use tokio::sync::{Notify, Semaphore};

use super::{
    connection::{MESSAGE_MAX, message_max},
    frame::Content,
};
use crate::{apps::LiveApp, clock::Clock, lock, node::give_back};

/// Silence on a receiving request after which a heartbeat is sent: proxies end what is idle.
const HEARTBEAT: Duration = Duration::from_secs(25);
/// A client whose receiving request was answered to its end asks again within this.
const LOST: Duration = Duration::from_secs(5);
/// A client that wants a new stream in the place of a long one asks for it within this.
const RENEWED: Duration = Duration::from_secs(5);
/// What a client takes of one stream, in UTF-16 units. pusher-js then asks for a new one and forgets what comes
/// after on the old: so nothing does.
const STREAM_UNITS: usize = 256 * 1024;
/// With so many bytes of lines waiting, the socket's outbox keeps the rest.
const LINES_BYTES: usize = 64 * 1024;
/// What may have been sent and not be read yet, in bytes. Enough that sending requests do not wait for long: a browser
/// has six connections, and needs one of them to receive.
const SENT_BYTES: usize = 1024 * 1024;
/// What a message, or a body without any, counts at least.
const MESSAGE_BYTES: usize = 1024;
/// A sending request waits this long for one that was sent before it and may be on a slower connection. Often it is in
/// vain where a page has several connections of pusher-js, which count all their requests together.
const OVERTAKEN: Duration = Duration::from_millis(250);
/// It waits this long for one that the browser has asked about already.
const PROMISED: Duration = Duration::from_secs(1);
/// The most of those that are kept in mind.
const PROMISED_MAX: usize = 64;
/// The most that wait for their turn; others are answered when these have had it. A browser has six connections.
const WAITING_MAX: usize = 64;
/// The most sessions that have no receiving request at the moment, and so cost their client nothing.
const UNATTENDED_MAX: usize = 16 * 1024;

/// The sessions of this server, by their path: who knows that may use it.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    by_path: DashMap<String, Arc<Session>>,
    unattended: Arc<AtomicUsize>,
}

/// Two sides of a wire: the socket's task and its writers have one, HTTP requests the other.
#[derive(Debug)]
pub(crate) struct Session {
    path: String,
    clock: Clock,
    state: Mutex<State>,
    /// The task that serves it.
    task: AtomicWaker,
    /// Bytes that may still be sent.
    room: Semaphore,
    /// Told when a sending request's turn may have come.
    turn: Notify,
    /// How many more may wait for their turn.
    turns: Semaphore,
    /// Whose connection it is, once that is known.
    live: OnceLock<Arc<LiveApp>>,
    unattended: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct State {
    /// What no receiving request has carried away yet.
    lines: String,
    receiver: Option<Attached>,
    /// Receiving requests so far.
    receivers: u64,
    /// When the receiving request came, went, or last carried something away.
    since: Instant,
    sent: VecDeque<Waiting>,
    /// Something was sent that is too long to be read.
    too_long: bool,
    order: Order,
    news: Option<News>,
    /// Somebody waits until more can be written.
    awaited: bool,
    end: End,
}

/// The receiving request of the moment.
#[derive(Debug)]
struct Attached {
    number: u64,
    kind: Receiving,
    /// What it has carried away, in UTF-16 units.
    units: usize,
    waker: Option<Waker>,
}

/// In which order sending requests were sent; they come on several connections.
#[derive(Debug)]
struct Order {
    /// The client's requests before this one have come, or are not waited for any more.
    next: u64,
    /// The last receiving request, if some before it are still waited for.
    ahead: Option<u64>,
    /// Sending requests that browsers have asked about and that have not come.
    promised: BTreeSet<u64>,
    /// Sending requests that have come and whose turn it is not yet.
    waiting: BTreeSet<u64>,
}

/// How a receiving request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receiving {
    /// `xhr_streaming`: with all that comes, until the client wants a new stream.
    Stream,
    /// `xhr`: with what is there, or comes first.
    Poll,
    /// `eventsource`: with all that comes, up to a length; browsers then come again by themselves.
    EventSource,
}

/// A message that waits to be read, and the room that is free when it was.
#[derive(Debug)]
struct Waiting {
    text: String,
    cost: u32,
}

/// What a sending request has brought.
#[derive(Debug)]
pub(crate) enum Sent {
    Text(String),
    TooLong,
}

/// What has happened on the side of the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// A receiving request was answered to its end, or as far as its client reads.
    Left,
    /// The client has broken off a receiving request, as it does when it leaves. It may not have seen all of what was
    /// sent, so it does not come back to this session.
    BrokenOff,
    /// The client has been heard of.
    Life,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    /// The line that tells of the close is among `lines`, or was carried away.
    Told,
    /// Nobody serves it any more.
    Over,
}

impl Sessions {
    pub(crate) fn get(&self, path: &str) -> Option<Arc<Session>> {
        self.by_path.get(path).map(|session| session.clone())
    }

    /// A new session, or the one that has come to this path meanwhile. `None` if too many are unattended.
    pub(crate) fn open(&self, path: &str, clock: &Clock) -> Option<(Arc<Session>, Opened)> {
        if self.unattended.load(Ordering::Relaxed) >= UNATTENDED_MAX {
            return None;
        }
        match self.by_path.entry(path.to_owned()) {
            dashmap::Entry::Occupied(there) => Some((there.get().clone(), Opened::Before)),
            dashmap::Entry::Vacant(free) => {
                let session = Arc::new(Session::new(path, clock, self.unattended.clone()));
                free.insert(session.clone());
                Some((session, Opened::Now))
            }
        }
    }

    /// The session is over.
    pub(crate) fn end(&self, session: &Arc<Session>) {
        session.end();
        self.by_path.remove_if(&session.path, |_, there| Arc::ptr_eq(there, session));
    }

    /// Gives memory back, once a second.
    pub(crate) fn tick(&self) {
        give_back(&self.by_path);
    }
}

/// Whether a session is a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    Now,
    Before,
}

/// The side of the HTTP requests.
impl Session {
    fn new(path: &str, clock: &Clock, unattended: Arc<AtomicUsize>) -> Self {
        unattended.fetch_add(1, Ordering::Relaxed);
        Session {
            path: path.to_owned(),
            clock: clock.clone(),
            state: Mutex::new(State {
                lines: fallback::OPEN.to_owned(),
                receiver: None,
                receivers: 0,
                since: clock.now(),
                sent: VecDeque::new(),
                too_long: false,
                order: Order { next: 0, ahead: None, promised: BTreeSet::new(), waiting: BTreeSet::new() },
                news: None,
                awaited: false,
                end: End::Open,
            }),
            task: AtomicWaker::new(),
            room: Semaphore::new(SENT_BYTES),
            turn: Notify::new(),
            turns: Semaphore::new(WAITING_MAX),
            live: OnceLock::new(),
            unattended,
        }
    }

    /// A receiving request has come, the client's `request`th if it counts them: from now on lines go to this one.
    /// `None` if the session is over.
    pub(crate) fn receive(self: &Arc<Self>, kind: Receiving, request: Option<u64>) -> Option<Receiver> {
        let mut state = lock(&self.state);
        if state.end == End::Over {
            return None;
        }
        state.receivers += 1;
        let number = state.receivers;
        if kind == Receiving::Stream {
            let prelude = "h".repeat(fallback::PRELUDE_BYTES) + "\n";
            state.lines.insert_str(0, &prelude);
        }
        state.since = self.clock.now();
        state.news = Some(News::Life);
        let before = state.receiver.replace(Attached { number, kind, units: 0, waker: None });
        if let Some(request) = request {
            state.order.receiving(request);
        }
        drop(state);
        match before {
            // Its answer ends.
            Some(before) => before.waker.into_iter().for_each(Waker::wake),
            None => {
                self.unattended.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.turn.notify_waiters();
        self.task.wake();
        Some(Receiver { session: self.clone(), number })
    }

    /// Takes in what a sending request has sent, to be read after what the client has sent before it. False if the
    /// session is over.
    ///
    /// Returns when there is room, not when it is its turn: a browser has few connections, and what is waited for may
    /// need this one.
    pub(crate) async fn send(self: &Arc<Self>, request: Option<u64>, texts: Vec<String>) -> bool {
        let cost = texts
            .iter()
            .map(|text| text.len().max(MESSAGE_BYTES))
            .sum::<usize>()
            .clamp(MESSAGE_BYTES, SENT_BYTES);
        let cost = u32::try_from(cost).expect("at most what there is room for");
        let Ok(room) = self.room.acquire_many(cost).await else { return false };
        let Some(request) = request else {
            room.forget();
            return self.arrive(texts, cost);
        };
        let Ok(waiting) = self.turns.acquire().await else { return false };
        room.forget();
        waiting.forget();
        let turn = Turn::of(self.clone(), request);
        tokio::spawn(async move {
            turn.come().await;
            turn.session.arrive(texts, cost);
        });
        true
    }

    /// What was sent is there to be read; `cost` is the room that it takes until then.
    fn arrive(&self, texts: Vec<String>, cost: u32) -> bool {
        let mut state = lock(&self.state);
        if state.end == End::Over {
            return false;
        }
        let waker = if texts.is_empty() { state.pong() } else { None };
        state.sent.extend(texts.into_iter().map(|text| Waiting { text, cost: 0 }));
        match state.sent.back_mut() {
            Some(last) => last.cost += cost,
            None => self.room.add_permits(cost as usize),
        }
        state.news.get_or_insert(News::Life);
        drop(state);
        self.task.wake();
        waker.into_iter().for_each(Waker::wake);
        true
    }

    /// A browser has asked whether the page may send its `request`th request.
    pub(crate) fn promise(&self, request: u64) {
        lock(&self.state).order.promise(request);
    }

    /// Something was sent that is too long to be read.
    pub(crate) fn send_too_long(&self) {
        lock(&self.state).too_long = true;
        self.task.wake();
    }

    /// A sending request may be this long: a message with every second byte escaped.
    pub(crate) fn body_max(&self) -> usize {
        2 * self.live.get().map_or(MESSAGE_MAX, |live| message_max(&live.app().limits))
    }

    /// What a receiving request carries away next; `None` when its answer ends.
    fn poll_lines(&self, number: u64, cx: &Context<'_>) -> Poll<Option<String>> {
        let mut state = lock(&self.state);
        let State { lines, receiver, end, since, awaited, news, .. } = &mut *state;
        let Some(receiver) = receiver.as_mut().filter(|receiver| receiver.number == number) else {
            return Poll::Ready(None);
        };
        if receiver.is_done() || lines.is_empty() && *end != End::Open {
            return Poll::Ready(None);
        }
        if lines.is_empty() || receiver.is_full() {
            receiver.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let carried = receiver.carry(lines);
        *since = self.clock.now();
        let full = receiver.is_full();
        if full {
            // Its end comes sooner than the heartbeat that the task waits for.
            news.get_or_insert(News::Left);
        }
        let wake = std::mem::take(awaited) || full;
        drop(state);
        if wake {
            self.task.wake();
        }
        Poll::Ready(Some(carried))
    }

    /// A receiving request is over, or its client has gone.
    fn leave(&self, number: u64) {
        let mut state = lock(&self.state);
        let Some(receiver) = state.receiver.take_if(|receiver| receiver.number == number) else { return };
        let answered =
            receiver.is_done() || receiver.is_full() || state.end != End::Open && state.lines.is_empty();
        state.since = self.clock.now();
        if !answered {
            state.news = Some(News::BrokenOff);
        } else if state.news.is_none() {
            state.news = Some(News::Left);
        }
        drop(state);
        self.unattended.fetch_add(1, Ordering::Relaxed);
        self.task.wake();
    }
}

/// The side of the socket.
impl Session {
    /// Whose connection it has become.
    pub(super) fn belongs_to(&self, live: &Arc<LiveApp>) {
        // Asked once: a session is served once.
        let _ = self.live.set(live.clone());
    }

    /// Takes whole websocket frames, as many as there is room for; returns how many bytes they were. Nothing is always
    /// taken: it keeps nothing back that a further write would have to push.
    pub(super) fn write(&self, frames: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = lock(&self.state);
        if state.end == End::Over {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut taken = 0;
        for frame in frames {
            if !state.has_room() {
                break;
            }
            state.push(Content::of(frame));
            taken += frame.len();
        }
        if taken == 0 && !frames.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let waker = state.receiver.as_mut().and_then(|receiver| receiver.waker.take());
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        Ok(taken)
    }

    /// Whether more can be written.
    pub(super) fn poll_writable(&self, cx: &Context<'_>) -> Poll<()> {
        self.task.register(cx.waker());
        let mut state = lock(&self.state);
        state.awaited = !state.has_room() && state.end != End::Over;
        if state.awaited { Poll::Pending } else { Poll::Ready(()) }
    }

    /// What has happened since it was last asked.
    pub(super) fn poll_news(&self, cx: &Context<'_>) -> Poll<News> {
        self.task.register(cx.waker());
        lock(&self.state).news.take().map_or(Poll::Pending, Poll::Ready)
    }

    /// The next that was sent.
    pub(crate) fn poll_sent(&self, cx: &Context<'_>) -> Poll<Sent> {
        self.task.register(cx.waker());
        let mut state = lock(&self.state);
        if std::mem::take(&mut state.too_long) {
            return Poll::Ready(Sent::TooLong);
        }
        let Some(Waiting { text, cost }) = state.sent.pop_front() else { return Poll::Pending };
        drop(state);
        self.room.add_permits(cost as usize);
        Poll::Ready(Sent::Text(text))
    }

    /// When [`handle_time`](Self::handle_time) has something to do, as things are.
    pub(super) fn deadline(&self) -> Instant {
        let state = lock(&self.state);
        state.since + state.patience()
    }

    /// Sends a heartbeat, or ends a stream, if it is time; false if the client is not heard of any more.
    pub(super) fn handle_time(&self) -> bool {
        let now = self.clock.now();
        let mut state = lock(&self.state);
        if now < state.since + state.patience() {
            return true;
        }
        let Some(receiver) = &mut state.receiver else { return false };
        let waker = receiver.waker.take();
        if receiver.is_full() {
            // No client of ours, or a slow one: it sees the end and comes again.
            state.receiver = None;
            self.unattended.fetch_add(1, Ordering::Relaxed);
        } else if state.lines.is_empty() {
            state.lines.push_str(fallback::HEARTBEAT);
        }
        state.since = now;
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        true
    }

    /// Tells the client why it is refused: nothing else was said.
    pub(crate) fn refuse(&self, close: &Close) {
        let mut state = lock(&self.state);
        state.lines.push_str(&refusal(close));
        state.end = End::Told;
        let waker = state.receiver.as_mut().and_then(|receiver| receiver.waker.take());
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Whether the client has been told of the close.
    pub(crate) fn has_been_told(&self) -> bool {
        let state = lock(&self.state);
        state.end == End::Told && state.lines.is_empty() && state.receiver.is_none()
    }

    /// Returns when the client has been told of the close.
    pub(crate) fn poll_told(&self, cx: &Context<'_>) -> Poll<()> {
        self.task.register(cx.waker());
        if self.has_been_told() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn end(&self) {
        let mut state = lock(&self.state);
        state.end = End::Over;
        state.sent.clear();
        let waker = state.receiver.as_mut().and_then(|receiver| receiver.waker.take());
        drop(state);
        self.room.close();
        self.turns.close();
        self.turn.notify_waiters();
        waker.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if lock(&self.state).receiver.is_none() {
            self.unattended.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl State {
    /// Whether the receiving request will carry away what is written now.
    fn has_room(&self) -> bool {
        self.lines.len() < LINES_BYTES
            && self.receiver.as_ref().is_some_and(|receiver| !receiver.is_done() && !receiver.is_full())
    }

    /// How long things may stay as they are.
    fn patience(&self) -> Duration {
        match &self.receiver {
            None => LOST,
            Some(receiver) if receiver.is_full() => RENEWED,
            Some(_) => HEARTBEAT,
        }
    }

    /// Shows the client that the server lives, if nothing else is about to.
    fn pong(&mut self) -> Option<Waker> {
        let receiver =
            self.receiver.as_mut().filter(|receiver| !receiver.is_done() && !receiver.is_full())?;
        if !self.lines.is_empty() {
            return None;
        }
        self.lines.push_str(fallback::PONG);
        receiver.waker.take()
    }

    fn push(&mut self, content: Content<'_>) {
        match content {
            Content::Text(text) => fallback::push_message(&mut self.lines, text),
            Content::Ping => self.lines.push_str(fallback::PING),
            Content::Close { code, reason } => {
                fallback::push_close(&mut self.lines, code, reason);
                self.end = End::Told;
            }
            // Nobody pings a session with a frame.
            Content::Pong => {}
        }
    }
}

/// For which request one waits that has overtaken it, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wait {
    next: u64,
    patience: Duration,
}

impl Order {
    /// A receiving request has come. The first is the session's first of all.
    fn receiving(&mut self, request: u64) {
        self.ahead = Some(request);
        self.advance(if self.next == 0 { request } else { self.next });
    }

    /// All before this request have come.
    fn advance(&mut self, request: u64) {
        self.next = self.next.max(request);
        if self.ahead == Some(self.next) {
            self.next = self.next.saturating_add(1);
        }
    }

    /// A sending request is about to come.
    fn promise(&mut self, request: u64) {
        if self.promised.len() < PROMISED_MAX {
            self.promised.insert(request);
        }
    }

    /// A sending request has come and waits for its turn.
    fn wait(&mut self, request: u64) {
        self.promised.remove(&request);
        self.waiting.insert(request);
    }

    /// What a request waits for; `None` if it is its turn.
    fn wait_of(&self, request: u64) -> Option<Wait> {
        let before = |requests: &BTreeSet<u64>| requests.first().is_some_and(|first| *first < request);
        let patience = if before(&self.promised) {
            PROMISED
        } else if request > self.next || before(&self.waiting) {
            OVERTAKEN
        } else {
            return None;
        };
        Some(Wait { next: self.next, patience })
    }

    /// A request has waited in vain: if it still waits for the same and is the first, what is missing before it is not
    /// waited for any more. Whether that is so.
    fn give_up_before(&mut self, request: u64, waited: Wait) -> bool {
        if self.waiting.first() != Some(&request) || self.wait_of(request) != Some(waited) {
            return false;
        }
        self.advance(request);
        self.promised = self.promised.split_off(&request);
        true
    }

    fn is_over(&mut self, request: u64) {
        self.waiting.remove(&request);
        self.advance(request.saturating_add(1));
    }
}

/// A sending request's turn; the next one's begins when it is dropped, however it ends.
struct Turn {
    session: Arc<Session>,
    request: u64,
}

impl Turn {
    fn of(session: Arc<Session>, request: u64) -> Self {
        lock(&session.state).order.wait(request);
        Turn { session, request }
    }

    /// Returns when all that the client has sent before has come, or is not waited for any more, or the session is over.
    async fn come(&self) {
        let Session { state, turn, .. } = &*self.session;
        let mut waited_for = None;
        let pause = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(pause);
        loop {
            let told = turn.notified();
            tokio::pin!(told);
            told.as_mut().enable();
            let wait = Some(lock(state)).filter(|state| state.end != End::Over);
            let Some(wait) = wait.and_then(|state| state.order.wait_of(self.request)) else { return };
            // Being told is no progress by itself: a client that polls would put off the end of patience for ever.
            if waited_for != Some(wait) {
                waited_for = Some(wait);
                pause.set(tokio::time::sleep(wait.patience));
            }
            tokio::select! {
                () = told => {}
                () = &mut pause => {
                    waited_for = None;
                    if lock(state).order.give_up_before(self.request, wait) {
                        turn.notify_waiters();
                    }
                }
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        lock(&self.session.state).order.is_over(self.request);
        self.session.turns.add_permits(1);
        self.session.turn.notify_waiters();
    }
}

impl Attached {
    /// Whether it carries nothing more, and its answer ends.
    fn is_done(&self) -> bool {
        match self.kind {
            Receiving::Stream => false,
            Receiving::Poll => self.units > 0,
            Receiving::EventSource => self.units > STREAM_UNITS,
        }
    }

    /// Whether the client is about to ask for a new stream.
    fn is_full(&self) -> bool {
        self.kind == Receiving::Stream && self.units > STREAM_UNITS
    }

    /// Takes lines: all of them, or on a stream no more than the client will read of it, to the line.
    fn carry(&mut self, waiting: &mut String) -> String {
        let mut end = 0;
        for line in waiting.split_inclusive('\n') {
            if self.kind != Receiving::Poll && self.units > STREAM_UNITS {
                break;
            }
            self.units += line.chars().map(char::len_utf16).sum::<usize>();
            end += line.len();
        }
        let rest = waiting.split_off(end);
        let lines = std::mem::replace(waiting, rest);
        match self.kind {
            Receiving::Stream | Receiving::Poll => lines,
            Receiving::EventSource => as_events(&lines),
        }
    }
}

/// The lines as SockJS has them in an event stream, percent signs escaped.
pub(crate) fn as_events(lines: &str) -> String {
    let mut events = String::new();
    for line in lines.lines() {
        events.push_str("data: ");
        events.push_str(&line.replace('%', "%25"));
        events.push_str("\r\n\r\n");
    }
    events
}

/// The lines that tell why a session is not begun, behind its opening.
pub(crate) fn refusal(close: &Close) -> String {
    let mut lines = String::new();
    if let Some(error) = ServerFrame::before_close(close) {
        fallback::push_message(&mut lines, &error.encode());
    }
    fallback::push_close(&mut lines, close.code(), &close.message());
    lines
}

/// The body of a receiving request's answer.
#[derive(Debug)]
pub(crate) struct Receiver {
    session: Arc<Session>,
    number: u64,
}

impl Receiver {
    /// The lines that come next, or none any more.
    pub(crate) fn poll_lines(&self, cx: &Context<'_>) -> Poll<Option<String>> {
        self.session.poll_lines(self.number, cx)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.session.leave(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_its_turn_is_bounded_and_ends_with_the_session() {
        let sessions = Sessions::default();
        let (session, _) = sessions.open("/app/key/session", &Clock::manual()).expect("there is room");
        let sending = tokio::spawn({
            let session = session.clone();
            async move {
                let mut sent: usize = 0;
                // Every second request never comes.
                while session.send(Some(2 * sent as u64 + 1), vec![sent.to_string()]).await {
                    sent += 1;
                }
                sent
            }
        });
        tokio::time::sleep(100 * OVERTAKEN).await;
        let (waiting, came) = {
            let state = lock(&session.state);
            (state.order.waiting.len(), state.sent.iter().map(|sent| sent.text.clone()).collect::<Vec<_>>())
        };
        assert_eq!(waiting, WAITING_MAX);
        assert!((90..=100).contains(&came.len()), "{} came", came.len());
        assert_eq!(came, (0..came.len()).map(|n| n.to_string()).collect::<Vec<_>>(), "in order");

        sessions.end(&session);
        let sent = sending.await.expect("it ends");
        assert_eq!(sent, came.len() + WAITING_MAX);
        tokio::task::yield_now().await;
        assert_eq!(Arc::strong_count(&session), 1, "nobody else keeps it");
    }
}
