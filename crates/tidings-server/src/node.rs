//! The one road for everything that is published, joined and left.

use std::{
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use dashmap::DashMap;
use tidings_protocol::{
    App, Close, Connection, Publication, SocketId,
    connection::{Join, Joined, Leave, Output, Timing},
    roster::RosterFull,
};

use crate::{
    apps::{Apps, LiveApp},
    clock::Clock,
    cores::Cores,
    hub::{Seat, fanout::Fanout},
    metrics::Metrics,
    wheel::Wheel,
    ws::{
        frame::Frame,
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
    sockets: DashMap<SocketId, Arc<Socket>>,
    /// Every connection is being closed, those that still come too.
    stopping: AtomicBool,
    fanout: Arc<Fanout>,
}

impl Node {
    /// Starts the workers.
    pub(crate) fn new(apps: Vec<App>, clock: Clock, timing: Timing, cores: &Cores, is_local: bool) -> Self {
        let fanout = Fanout::start(cores);
        Node {
            apps: Apps::new(apps, fanout.clone()),
            wheel: Wheel::new(clock.now()),
            clock,
            timing: Arc::new(timing),
            is_local,
            metrics: Metrics::default(),
            sockets: DashMap::new(),
            stopping: AtomicBool::new(false),
            fanout,
        }
    }

    /// Publishes events. To be followed by [`room`](Self::room) before the next, once nothing is locked.
    pub(crate) fn publish(&self, live: &LiveApp, publications: impl IntoIterator<Item = Publication>) {
        live.hub.deliver(publications, self.clock.now());
    }

    /// Whether publishers are to wait for [`room`](Self::room).
    pub(crate) fn is_crowded(&self) -> bool {
        self.fanout.is_crowded()
    }

    /// Returns when there is room for more events.
    pub(crate) async fn room(&self) {
        self.fanout.room().await;
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
        self.close_where(&Close::AppDisabled, |socket| closed.iter().any(|id| **id == *socket.app_id()));
    }

    /// Tells every connection to come back to whoever listens then, those too that are being opened.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.close_where(&Close::Restart, |_| true);
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
                if self.stopping.load(Ordering::SeqCst) {
                    socket.want_close(Close::Restart);
                }
                true
            }
        }
    }

    pub(crate) fn closed(&self, socket: &Socket) {
        self.sockets.remove(&socket.id());
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
            live.hub.tick(now);
        }
        give_back(&self.sockets);
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
        Output::Join(_) | Output::Leave(_) | Output::Publish(_) | Output::SignIn(_) | Output::Close(_) => {
            None
        }
    }
}

/// Gives back the memory of a map that has become much emptier.
pub(crate) fn give_back<K: Eq + Hash, V>(map: &DashMap<K, V>) {
    const SMALL: usize = 1024;
    if map.capacity() > SMALL.max(8 * map.len()) {
        map.shrink_to_fit();
    }
}
