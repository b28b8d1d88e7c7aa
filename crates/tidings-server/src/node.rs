//! The one road for everything that is published, joined and left.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

use dashmap::DashMap;
use tidings_protocol::{
    App, Close, Connection, Publication, SocketId,
    connection::{Join, Joined, Leave, Output, Timing},
    roster::RosterFull,
};
use tidings_store::metrics::Histogram;

use crate::{
    apps::{Apps, LiveApp},
    clock::Clock,
    cores::Cores,
    drain::Phase,
    hub::{Seat, fanout::Fanout},
    lock,
    metrics::{Metrics, Traffic},
    tls::Certificates,
    webhooks::Happenings,
    wheel::Wheel,
    ws::{
        frame::Frame,
        session::Sessions,
        socket::{Calls, Socket},
    },
};

/// This server: holds the parts.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) apps: Apps,
    pub(crate) clock: Clock,
    pub(crate) timing: Arc<Timing>,
    pub(crate) metrics: Metrics,
    pub(crate) wheel: Wheel,
    /// Only this machine reaches the server.
    pub(crate) is_local: bool,
    /// When it was made, since 1970.
    pub(crate) started_unix: Duration,
    pub(crate) sessions: Sessions,
    sockets: DashMap<SocketId, Arc<Socket>>,
    /// What was sent to sockets that are gone, by app.
    sent_before: Mutex<HashMap<Arc<str>, Traffic>>,
    phase: watch::Sender<Phase>,
    /// The store could not be read when it was last looked at.
    store_fails: AtomicBool,
    fanout: Arc<Fanout>,
    /// Where TLS is spoken.
    certificates: OnceLock<Arc<Certificates>>,
    pub(crate) happenings: Arc<Happenings>,
}

/// Why a server is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unready {
    #[error("leaving: the server has been told to stop")]
    Leaving,
    #[error("store: the apps of the data directory cannot be read")]
    Store,
}

impl Node {
    /// Starts the workers.
    pub(crate) fn new(apps: Vec<App>, clock: Clock, timing: Timing, cores: &Cores, is_local: bool) -> Self {
        let fanout = Fanout::start(cores, clock.clone());
        let happenings = Arc::<Happenings>::default();
        Node {
            apps: Apps::new(apps, fanout.clone(), happenings.clone()),
            wheel: Wheel::new(clock.now()),
            started_unix: clock.unix(),
            clock,
            timing: Arc::new(timing),
            is_local,
            metrics: Metrics::default(),
            sessions: Sessions::default(),
            sockets: DashMap::new(),
            sent_before: Mutex::default(),
            phase: watch::Sender::new(Phase::Serving),
            store_fails: AtomicBool::new(false),
            fanout,
            certificates: OnceLock::new(),
            happenings,
        }
    }

    /// Publishes events. To be followed by [`room`](Self::room) before the next, once nothing is locked.
    pub(crate) fn publish(&self, live: &LiveApp, publications: impl IntoIterator<Item = Publication>) {
        live.hub.deliver(publications, self.clock.now());
    }

    /// Publishes a client's event, which the app's backend may want to know of.
    pub(crate) fn publish_client_event(&self, live: &LiveApp, app: &App, publication: Publication) {
        let now = self.clock.now();
        live.hub.tell_client_event(&publication, LiveApp::rules(app), now);
        live.hub.deliver([publication], now);
    }

    /// Whether publishers are to wait for [`room`](Self::room).
    pub(crate) fn is_crowded(&self) -> bool {
        self.fanout.is_crowded() || self.happenings.is_crowded()
    }

    /// How long events took from when they were accepted until they were written to the last socket, in seconds.
    pub(crate) fn broadcast_seconds(&self) -> Histogram {
        self.fanout.seconds()
    }

    /// Returns when there is room for more events.
    pub(crate) async fn room(&self) {
        self.fanout.room().await;
        self.happenings.room().await;
    }

    /// Subscribes a socket; what its connection has to say to that is sent before any event of the channel.
    pub(crate) fn join(
        &self,
        live: &LiveApp,
        socket: &Arc<Socket>,
        connection: &mut Connection<Seat>,
        join: Join,
    ) -> Result<(), RosterFull> {
        let rules = LiveApp::rules(connection.app());
        let channel = join.channel.clone();
        let enter = |joined: Joined<Seat>| {
            let mut outputs = Vec::new();
            connection.joined(&channel, joined, &mut outputs);
            outputs.into_iter().filter_map(|output| frame(&output)).collect()
        };
        live.hub.join(socket, join, rules, self.clock.now(), enter)
    }

    /// Unsubscribes a socket.
    pub(crate) fn leave(&self, live: &LiveApp, socket: &Arc<Socket>, app: &App, leave: Leave<Seat>) {
        live.hub.leave(socket, leave, LiveApp::rules(app), self.clock.now());
    }

    /// Takes these apps and no others; the connections of those that may no longer be used are closed.
    pub(crate) fn replace_apps(&self, apps: Vec<App>) {
        let closed = self.apps.replace(apps);
        if closed.is_empty() {
            return;
        }
        self.close_where(&Close::AppDisabled, |socket| closed.iter().any(|id| id == socket.app_id()));
    }

    /// How far it is on its way out.
    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// The phase for one who waits for it, and is waited for by [`requests_done`](Self::requests_done).
    pub(crate) fn follow_phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    /// Returns when nobody [follows the phase](Self::follow_phase) any more.
    pub(crate) async fn requests_done(&self) {
        self.phase.closed().await;
    }

    pub(crate) fn set_store_fails(&self, fails: bool) {
        self.store_fails.store(fails, Ordering::Relaxed);
    }

    /// Why nobody is to be sent here; nothing if all is well.
    pub(crate) fn unready(&self) -> Vec<Unready> {
        let leaving = (self.phase() > Phase::Serving).then_some(Unready::Leaving);
        let store = self.store_fails.load(Ordering::Relaxed).then_some(Unready::Store);
        leaving.into_iter().chain(store).collect()
    }

    /// Every socket that is open; those that come later are closed at once if the server is [closing](Phase::Closing).
    pub(crate) fn all_sockets(&self) -> Vec<Arc<Socket>> {
        self.sockets.iter().map(|socket| socket.clone()).collect()
    }

    /// Has the metrics tell of these certificates.
    pub(crate) fn shows(&self, certificates: &Arc<Certificates>) {
        self.certificates.get_or_init(|| certificates.clone());
    }

    /// How long after 1970 began the certificate that is shown ends to be valid.
    pub(crate) fn certificate_expires(&self) -> Option<Duration> {
        self.certificates.get()?.expires()
    }

    /// How many sockets are open.
    pub(crate) fn open_sockets(&self) -> usize {
        self.sockets.len()
    }

    /// Notes an open socket, or, with false, that its id is taken: draw another.
    pub(crate) fn opened(&self, socket: &Arc<Socket>) -> bool {
        match self.sockets.entry(socket.id()) {
            dashmap::Entry::Occupied(_) => false,
            dashmap::Entry::Vacant(free) => {
                free.insert(socket.clone());
                if self.phase() >= Phase::Closing {
                    socket.want_close(Close::Restart);
                }
                true
            }
        }
    }

    pub(crate) fn closed(&self, socket: &Socket) {
        // Under the lock, so that what was sent to it is counted once by whoever adds it up.
        let mut sent_before = lock(&self.sent_before);
        self.sockets.remove(&socket.id());
        let (sent, _) = socket.outbox().sent();
        sent_before.entry(socket.app_id().clone()).or_default().add(sent);
    }

    /// What was sent since the start, by app; and the bytes that wait to be sent.
    pub(crate) fn sent(&self) -> (HashMap<Arc<str>, Traffic>, usize) {
        let sent_before = lock(&self.sent_before);
        let mut by_app = sent_before.clone();
        let mut queued = 0;
        for socket in self.all_sockets() {
            let (sent, waiting) = socket.outbox().sent();
            by_app.entry(socket.app_id().clone()).or_default().add(sent);
            queued += waiting;
        }
        (by_app, queued)
    }

    /// Does what is due, once a second.
    pub(crate) fn tick(&self) {
        let now = self.clock.now();
        for id in self.wheel.due(now) {
            let socket = self.sockets.get(&id).map(|socket| socket.clone());
            if let Some(socket) = socket {
                socket.call(Calls::TIME);
            }
        }
        for live in self.apps.all() {
            live.hub.tick(LiveApp::rules(&live.app()), now);
        }
        give_back(&self.sockets);
        self.sessions.tick();
    }

    fn close_where(&self, close: &Close, wanted: impl Fn(&Socket) -> bool) {
        let sockets: Vec<Arc<Socket>> =
            self.sockets.iter().filter(|socket| wanted(socket)).map(|socket| socket.clone()).collect();
        for socket in sockets {
            socket.want_close(close.clone());
        }
    }
}

/// The websocket frame that an output asks to be sent, if it asks for one.
pub(crate) fn frame<S>(output: &Output<S>) -> Option<Frame> {
    match output {
        Output::Send(frame) => Some(Frame::text(&frame.encode())),
        Output::Ping => Some(Frame::ping()),
        Output::Join(_)
        | Output::Leave(_)
        | Output::Publish(_)
        | Output::SignIn(_)
        | Output::SigninRefused
        | Output::Close(_) => None,
    }
}

/// Gives back the memory of a map that has become much emptier.
pub(crate) fn give_back<K: Eq + Hash, V>(map: &DashMap<K, V>) {
    const SMALL: usize = 1024;
    if map.capacity() > SMALL.max(8 * map.len()) {
        map.shrink_to_fit();
    }
}
