//! The listener, and the life of the server from bind to shutdown.

use std::{
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tidings_inbox::{Entrance, Inbox};
use tidings_protocol::{App, connection::Timing};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
};

use crate::{
    Clock, Drain, InboxParts,
    cores::Cores,
    drain::{self, Phase},
    http, inbox,
    linger::Lingering,
    metrics::{self, Metrics},
    node::Node,
    stream::Stream,
    tls::{Certificates, TlsStream},
    webhooks::{WebhookParts, Webhooks},
    wheel,
};

/// Where and how the server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// The address.
    pub host: IpAddr,
    /// The port; 0 takes a free one.
    pub port: u16,
    /// Silence after which clients and server ping each other.
    pub activity_timeout: Duration,
}

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    /// One for each core, all of the same address: whichever core has time takes the next connection.
    listeners: Vec<TcpListener>,
    for_operators: Option<TcpListener>,
    tls: Tls,
    cores: Cores,
    node: Arc<Node>,
    inbox: Option<Arc<Inbox>>,
    webhooks: Option<Webhooks>,
}

/// Where TLS is spoken.
#[derive(Debug)]
enum Tls {
    Nowhere,
    /// At the one address there is.
    Everywhere(Arc<Certificates>),
    /// At an address beside the plain one.
    Beside(Vec<TcpListener>, Arc<Certificates>),
}

/// The apps of a running server, to be replaced when they change.
#[derive(Clone, Debug)]
pub struct AppsHandle(Arc<Node>);

/// Connections that may wait to be accepted: after a restart all clients come at once.
const BACKLOG: i32 = 4096;
/// The kernel holds so much that is not yet sent to a peer; what waits beyond it is ours to count. Without this it holds
/// megabytes for each peer that does not read.
#[cfg(target_os = "linux")]
const UNSENT_MAX: u32 = 128 * 1024;
/// A request's head has this long to arrive, and a connection may be idle as long.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// A request's head may be this long.
const HEAD_MAX: usize = 16 * 1024;
/// Without free file descriptors the listener rests this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Before sockets are closed, what is committed has this long to reach open pages.
const SETTLE: Duration = Duration::from_secs(1);
/// At shutdown, requests of webhooks that are under way have this long to be answered.
const SETTLE_WEBHOOKS: Duration = Duration::from_secs(5);

impl Server {
    /// Listens, and starts the threads that serve.
    ///
    /// # Errors
    /// If the address cannot be had, or no threads.
    pub fn bind(config: ServerConfig, apps: Vec<App>, clock: Clock) -> io::Result<Server> {
        Self::bind_on(Cores::start()?, config, apps, clock)
    }

    /// Listens, and serves on the runtime that this is called in: when that has nothing to do, the server has not.
    ///
    /// # Errors
    /// If the address cannot be had.
    pub fn bind_here(config: ServerConfig, apps: Vec<App>, clock: Clock) -> io::Result<Server> {
        Self::bind_on(Cores::of_caller(), config, apps, clock)
    }

    fn bind_on(cores: Cores, config: ServerConfig, apps: Vec<App>, clock: Clock) -> io::Result<Server> {
        let listener = listen(SocketAddr::new(config.host, config.port))?;
        let timing = Timing { activity_timeout: config.activity_timeout, ..Timing::default() };
        let listeners = listen_on(&cores, &listener)?;
        let node = Node::new(apps, clock, timing, &cores, config.host.is_loopback());
        let (tls, for_operators) = (Tls::Nowhere, None);
        Ok(Server { listeners, tls, for_operators, cores, node: Arc::new(node), inbox: None, webhooks: None })
    }

    /// Has an inbox as well; call it within a runtime.
    pub fn open_inbox(&mut self, parts: InboxParts) {
        self.inbox = Some(inbox::start(&self.node, parts));
    }

    /// Speaks TLS, and nothing else, at its address.
    pub fn set_tls(&mut self, certificates: Arc<Certificates>) {
        self.node.shows(&certificates);
        self.tls = Tls::Everywhere(certificates);
    }

    /// Speaks TLS at a second address. Returns it, with the port that was taken.
    ///
    /// # Errors
    /// If the address cannot be had.
    pub fn bind_tls(
        &mut self,
        address: SocketAddr,
        certificates: Arc<Certificates>,
    ) -> io::Result<SocketAddr> {
        let listeners = listen_on(&self.cores, &listen(address)?)?;
        let address = listeners[0].local_addr()?;
        self.node.shows(&certificates);
        self.tls = Tls::Beside(listeners, certificates);
        Ok(address)
    }

    /// Listens at a second address too, for `/metrics` and the probes alone. Returns the address, with the port that was
    /// taken.
    ///
    /// # Errors
    /// If the address cannot be had.
    pub fn bind_for_operators(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        let _entered = self.cores.enter(0);
        let listener = TcpListener::from_std(listen(address)?.into())?;
        let address = listener.local_addr()?;
        self.for_operators = Some(listener);
        Ok(address)
    }

    /// Tells its metrics under soketi's names as well.
    pub fn tell_soketi_names(&mut self) {
        self.node.metrics.tell_soketi_names(self.local_addr().port());
    }

    /// Tells backends what they want to know as well; call it within a runtime.
    pub fn tell_backends(&mut self, parts: WebhookParts) {
        self.webhooks = Some(Webhooks::start(&self.node, parts));
    }

    /// The address, with the port that was taken.
    ///
    /// # Panics
    /// Never: the listener is bound.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.listeners[0].local_addr().expect("the listener is bound")
    }

    /// The apps, for whoever notices that they have changed.
    #[must_use]
    pub fn apps(&self) -> AppsHandle {
        AppsHandle(self.node.clone())
    }

    /// Serves until it is told how to leave; then tells every client to come back, and returns when all have been
    /// told and what was under way is finished or safe in the store. A later order replaces what is left of an earlier
    /// one; without anybody who could give orders it leaves at once.
    ///
    /// It is boxed so that all that it runs is compiled with this crate, for speed, and not with the program, for size.
    pub fn run(self, orders: mpsc::Receiver<Drain>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(self.serve(orders))
    }

    async fn serve(self, mut orders: mpsc::Receiver<Drain>) {
        let Server { listeners, tls, for_operators, cores, node, inbox, webhooks } = self;
        let ticking = tokio::spawn(tick(node.clone()));
        let mut accepting = Vec::new();
        for (listeners, entrance, certificates) in entrances(listeners, tls) {
            let door = Door::Public { inbox: inbox.clone(), entrance, certificates };
            for (core, listener) in (0..).zip(listeners) {
                accepting.push(cores.spawn(core, accept(listener, node.clone(), door.clone())));
            }
        }
        let for_operators =
            for_operators.map(|listener| cores.spawn(0, accept(listener, node.clone(), Door::Operators)));
        let drain = drain::wait(&node, &mut orders).await;
        settle(inbox.as_deref()).await;
        drain::close_sockets(&node, drain, &mut orders).await;
        for task in accepting {
            task.abort();
            // The listener is gone when the task is.
            let _ = task.await;
        }
        settle(inbox.as_deref()).await;
        drain::farewell(&node).await;
        if let Some(accepting) = for_operators {
            accepting.abort();
        }
        if let Some(webhooks) = webhooks
            && tokio::time::timeout(SETTLE_WEBHOOKS, webhooks.stop()).await.is_err()
        {
            tracing::warn!("webhooks are still being sent; the next start sends them again");
        }
        ticking.abort();
    }
}

impl AppsHandle {
    /// Takes these apps and no others, without a restart. The connections of apps that may no longer be used are
    /// closed with 4003; all others stay.
    pub fn replace(&self, apps: Vec<App>) {
        self.0.replace_apps(apps);
    }

    /// Says whether what the apps are read from can be read; a server whose store fails is not ready.
    pub fn set_store_fails(&self, fails: bool) {
        self.0.set_store_fails(fails);
    }

    /// All metrics, as Prometheus reads them.
    #[must_use]
    pub fn metrics_text(&self) -> String {
        metrics::scrape::text(&self.0)
    }

    /// What the server counts.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }
}

fn listen(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // Accepted sockets inherit it.
    #[cfg(target_os = "linux")]
    socket.set_tcp_notsent_lowat(UNSENT_MAX)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// The listener once for each core.
fn listen_on(cores: &Cores, listener: &Socket) -> io::Result<Vec<TcpListener>> {
    let on_core = |core| {
        let _entered = cores.enter(core);
        TcpListener::from_std(listener.try_clone()?.into())
    };
    (0..cores.len()).map(on_core).collect()
}

async fn tick(node: Arc<Node>) {
    loop {
        node.clock.tick(wheel::TICK).await;
        node.tick();
    }
}

/// Waits until open pages have been told what is committed.
async fn settle(inbox: Option<&Inbox>) {
    if let Some(inbox) = inbox
        && tokio::time::timeout(SETTLE, inbox.settle()).await.is_err()
    {
        tracing::warn!("senders went on; pages may be told again of what came last");
    }
}

/// Whom a listener is for, and what is spoken there.
#[derive(Clone, Debug)]
enum Door {
    Public {
        inbox: Option<Arc<Inbox>>,
        entrance: Entrance,
        /// Where it is TLS.
        certificates: Option<Arc<Certificates>>,
    },
    Operators,
}

/// The public listeners, each with what is spoken there.
fn entrances(
    listeners: Vec<TcpListener>,
    tls: Tls,
) -> Vec<(Vec<TcpListener>, Entrance, Option<Arc<Certificates>>)> {
    let port = |listeners: &[TcpListener]| listeners[0].local_addr().map(|address| address.port()).ok();
    match tls {
        Tls::Nowhere => vec![(listeners, Entrance::Plain { tls_port: None }, None)],
        Tls::Everywhere(certificates) => {
            vec![(listeners, Entrance::Tls { plain_port: None }, Some(certificates))]
        }
        Tls::Beside(beside, certificates) => {
            let plain = Entrance::Plain { tls_port: port(&beside) };
            let under_tls = Entrance::Tls { plain_port: port(&listeners) };
            vec![(listeners, plain, None), (beside, under_tls, Some(certificates))]
        }
    }
}

async fn accept(listener: TcpListener, node: Arc<Node>, door: Door) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(serve(stream, node.clone(), door.clone()));
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whether a failed accept says something about that peer alone.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

async fn serve(stream: TcpStream, node: Arc<Node>, door: Door) {
    // A socket that refuses this is slower, not wrong.
    let _ = stream.set_nodelay(true);
    let stream = match &door {
        Door::Public { certificates: Some(certificates), .. } => match certificates.accept(stream) {
            Ok(tls) => match shake_hands(tls).await {
                Some(stream) => stream,
                None => return,
            },
            Err(error) => return tracing::error!(%error, "TLS cannot be spoken"),
        },
        Door::Public { certificates: None, .. } | Door::Operators => Stream::Plain(stream),
    };
    let mut phase = node.follow_phase();
    let service = service_fn(move |request| {
        let (node, door) = (node.clone(), door.clone());
        async move {
            match door {
                Door::Public { inbox, entrance, .. } => http::answer(node, inbox, entrance, request).await,
                Door::Operators => Ok(http::answer_operator(&node, &request)),
            }
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .writev(false)
        .max_buf_size(HEAD_MAX)
        .serve_connection(TokioIo::new(Lingering::new(stream)), service)
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = ending(&mut phase) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

/// The stream once both sides agree on TLS, or nothing: a client that does not trust the certificate says no more than that
/// to anybody else.
async fn shake_hands(tls: Arc<TlsStream>) -> Option<Stream> {
    let shaken = tokio::time::timeout(HEAD_TIMEOUT, poll_fn(|cx| tls.poll_handshake(cx))).await;
    let reason = match shaken {
        Ok(Ok(())) => return Some(Stream::Tls(tls)),
        // Whoever only looks whether the port is open says nothing.
        Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("it was not done in time".to_owned()),
    };
    if let Some(reason) = reason {
        tracing::info!(reason, "TLS handshake failed");
    }
    // The peer is to read the alert that tells it why.
    let _ = Lingering::new(Stream::Tls(tls)).shutdown().await;
    None
}

async fn ending(phase: &mut watch::Receiver<Phase>) {
    // Without a node to tell the phase there is nothing to wait for.
    let _ = phase.wait_for(|phase| *phase == Phase::Ending).await;
}
