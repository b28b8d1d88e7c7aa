//! A whole server with a hand-moved clock, the clients that are connected to it, and the way to know that it has
//! nothing more to say.
//!
//! # How a runner knows that nothing more comes
//!
//! Not by sleeping, and not by a frame from the client under test: that would be a sign of life. Instead
//! [`World::settle`] brings the whole process to rest. Server and test share one thread and its runtime, which reports
//! when it has no task left to run ([`Idle`]). That is the fan-out's workers too, and sockets that were told the time:
//! an event that was accepted has been handed out and written by then. What is left is the kernel. A control client,
//! of an app of its own, sends a PING and waits for the PONG: loopback is a queue, so what anybody wrote before has
//! arrived before, and the server, which reads all that is there before it rests, has seen it. Two such rounds, in
//! which no client has received anything, are rest: whatever a client did has been read in the first, and what the
//! server wrote because of it has been received in the second.
//!
//! Two more things do not rest on that argument. What is missing is waited for (up to [`LATE`]), so a slow machine
//! makes no failure. And what is received is compared frame by frame in order, so a frame too many that came too late
//! for its own step fails the next, or at the end of a scenario the last look: there every socket does send a
//! PING, which nothing can follow any more, and what came before the PONG is all there was.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use tidings_protocol::App;
use tidings_server::{AppsHandle, Clock, Drain, Server, ServerConfig};
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    sync::{Notify, mpsc},
};

use super::{
    app,
    client::Client,
    format::{self, Connect, HttpRequest},
};
use crate::harness::read_response;

/// The server's wall clock at the beginning of every scenario, in seconds since 1970: as in Pusher's examples.
pub(crate) const WALL: Duration = Duration::from_secs(1_353_088_179);
/// What a step expects may come this much later than the process seemed at rest.
pub(crate) const LATE: Duration = Duration::from_secs(1);

/// Becomes ready whenever the runtime has no task left to run.
#[derive(Clone, Default)]
pub(crate) struct Idle(Arc<Notify>);

impl Idle {
    /// A runtime of one thread, and its rest.
    pub(crate) fn runtime() -> (tokio::runtime::Runtime, Idle) {
        let idle = Idle::default();
        let notified = idle.clone();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        // Called when the queue of tasks is empty, before the thread would wait for the kernel.
        runtime.enable_all().on_thread_park(move || notified.0.notify_waiters());
        (runtime.build().expect("a runtime"), idle)
    }

    async fn next(&self) {
        self.0.notified().await;
    }
}

/// A server and its clients.
pub(crate) struct World {
    idle: Idle,
    address: SocketAddr,
    clock: Clock,
    apps: AppsHandle,
    stop: mpsc::Sender<Drain>,
    /// How far the clock has moved.
    elapsed: Duration,
    key: String,
    control: Client,
    rounds: u64,
    /// The clients under test by their names.
    pub(crate) clients: BTreeMap<String, Client>,
    socket_ids: BTreeMap<String, String>,
    crowd: Vec<Client>,
}

impl World {
    /// Starts a server with these apps, of which the first is the one under test.
    pub(crate) async fn start(mut apps: Vec<App>, unix: Duration, idle: Idle) -> Self {
        let key = apps[0].key.clone();
        apps.push(app::control());
        let clock = Clock::manual_at(unix);
        let config =
            ServerConfig { host: [127, 0, 0, 1].into(), port: 0, activity_timeout: Duration::from_mins(2) };
        let server = Server::bind_here(config, apps, clock.clone()).expect("a free port");
        let (address, apps) = (server.local_addr(), server.apps());
        let (stop, stopped) = mpsc::channel(1);
        // It ends with the runtime.
        tokio::spawn(server.run(stopped));
        let target = format!("/app/{}", app::control().key);
        let control = Client::open(address, &target, None, true, async || idle.next().await);
        let control = control.await.expect("the control client is taken");
        World {
            idle,
            address,
            clock,
            apps,
            stop,
            elapsed: Duration::ZERO,
            key,
            control,
            rounds: 0,
            clients: BTreeMap::new(),
            socket_ids: BTreeMap::new(),
            crowd: Vec::new(),
        }
    }

    /// The wall clock in seconds.
    pub(crate) fn now_s(&self) -> u64 {
        self.clock.unix().as_secs()
    }

    pub(crate) fn apps(&self) -> &AppsHandle {
        &self.apps
    }

    /// The socket ids by the clients' names.
    pub(crate) fn socket_ids(&self) -> &BTreeMap<String, String> {
        &self.socket_ids
    }

    /// Moves the clock second by second, as the server's own tick does, so that what falls due on the way happens
    /// at its time.
    pub(crate) async fn advance_to(&mut self, since_begin: Duration) {
        assert!(since_begin >= self.elapsed, "steps go forward in time");
        // The tick has to be waiting to notice that the clock moves.
        self.settle().await;
        while self.elapsed < since_begin {
            let next = Duration::from_secs(self.elapsed.as_secs() + 1).min(since_begin);
            self.clock.advance(next.saturating_sub(self.elapsed));
            self.elapsed = next;
            self.settle().await;
        }
    }

    /// Connects a client to the app under test; what it is told comes with [`settle`](Self::settle).
    pub(crate) async fn connect(&mut self, name: &str, connect: &Connect) {
        let key = connect.key.as_ref().unwrap_or(&self.key);
        let query = connect.query.as_deref().unwrap_or(format::QUERY);
        let target = format!("/app/{key}?{query}");
        let origin = connect.origin.as_deref();
        let client = self.open(&target, origin, connect.answers_pings).await.expect("an upgrade");
        self.socket_ids.remove(name);
        self.clients.insert(name.to_owned(), client);
    }

    /// Connects to any path; the client is the caller's.
    ///
    /// # Errors
    /// The answer's head, if it is no upgrade.
    pub(crate) async fn open(
        &self,
        target: &str,
        origin: Option<&str>,
        answers_pings: bool,
    ) -> Result<Client, String> {
        Client::open(self.address, target, origin, answers_pings, async || self.idle.next().await).await
    }

    /// A further client of a crowd comes and sends a frame.
    pub(crate) async fn join_crowd(&mut self, text: &str) {
        let target = format!("/app/{}?{}", self.key, format::QUERY);
        let mut client = self.open(&target, None, true).await.expect("an upgrade");
        client.text(text).await;
        self.crowd.push(client);
        self.settle().await;
    }

    /// The client of this name.
    pub(crate) fn client(&mut self, name: &str) -> &mut Client {
        self.clients.get_mut(name).unwrap_or_else(|| panic!("{name} has not connected"))
    }

    /// Sends a request on a connection of its own; status and body.
    pub(crate) async fn request(&self, request: &HttpRequest) -> (u16, String) {
        let HttpRequest { method, path, query, body } = request;
        let head = format!(
            "{method} {path}?{query} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut stream = TcpStream::connect(self.address).await.expect("the server listens");
        stream.write_all(head.as_bytes()).await.expect("the server reads");
        // Who is refused by the head alone may see the connection end meanwhile.
        let _ = stream.write_all(body.as_bytes()).await;
        read_response(&mut stream, &mut Vec::new()).await
    }

    /// Returns when nothing more comes; the module says how that is known.
    pub(crate) async fn settle(&mut self) {
        loop {
            let mut any = false;
            for _ in 0..2 {
                self.round().await;
                any |= self.read();
            }
            if !any {
                return;
            }
        }
    }

    /// A PING of each client that is open, after which nothing else is done: what came before the PONG is all.
    pub(crate) async fn last_look(&mut self) {
        for client in self.clients.values_mut().filter(|client| client.is_open()) {
            client.ping(LAST).await;
        }
        let answered = |client: &Client| !client.is_open() || client.pong == LAST.to_be_bytes();
        while !self.clients.values().all(answered) {
            self.round().await;
            self.read();
        }
    }

    /// Forgets what the clients have received.
    pub(crate) fn forget(&mut self) {
        for client in self.clients.values_mut() {
            client.frames.clear();
            client.pings = 0;
            client.closed = None;
        }
    }

    /// Stops the server, and returns when the client has been told.
    pub(crate) async fn stop(&mut self, name: &str) {
        self.stop.send(Drain::AT_ONCE).await.expect("the server runs");
        while self.client(name).is_open() {
            self.idle.next().await;
            self.read();
        }
    }

    async fn round(&mut self) {
        self.rounds += 1;
        self.control.ping(self.rounds).await;
        while self.control.pong != self.rounds.to_be_bytes() {
            assert!(self.control.is_open(), "the control client was closed: {:?}", self.control.closed);
            self.idle.next().await;
            self.control.read();
        }
    }

    /// Takes in what has arrived at the clients; whether there was anything.
    fn read(&mut self) -> bool {
        let mut any = false;
        for client in self.clients.values_mut().chain(&mut self.crowd) {
            any |= client.read();
        }
        for (name, client) in &self.clients {
            if !self.socket_ids.contains_key(name)
                && let Some(id) = client.frames.first().and_then(|greeting| socket_id(greeting))
            {
                self.socket_ids.insert(name.clone(), id);
            }
        }
        any
    }
}

/// No round of the control client has this number.
const LAST: u64 = u64::MAX;

/// The id in a greeting.
fn socket_id(greeting: &str) -> Option<String> {
    let greeting: serde_json::Value = serde_json::from_str(greeting).ok()?;
    let data: serde_json::Value = serde_json::from_str(greeting["data"].as_str()?).ok()?;
    Some(data["socket_id"].as_str()?.to_owned())
}
