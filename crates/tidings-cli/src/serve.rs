//! `tidings serve`

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, mpsc},
    time::Duration,
};

use clap::Args;
use tidings_protocol::App;
use tidings_store::{SharedStore, Store};
use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc as orders,
};

use super::{
    ConfigArgs, Exit, apps, brands,
    certificates::CertificateWatch,
    control::Control,
    error::CliError,
    known, log, print,
    screen::{Screen, Start},
    target::Target,
    watch::{InUse, Sources, Watch, served},
};
use tidings_server::{
    Clock, Drain, InboxParts, Server, ServerConfig, WebhookParts,
    config::{Config, Environment, Flags, Loaded, MetricsAddress, parse_host},
    tls,
};

/// A server whose store is broken has so long to take leave of its sockets.
const LEAVE: Duration = Duration::from_secs(15);

#[derive(Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The address to listen on [default: 127.0.0.1]
    #[arg(long, value_name = "HOST", value_parser = parse_host)]
    host: Option<IpAddr>,
    /// The port to listen on; 0 is any that is free [default: 6001]
    #[arg(long)]
    port: Option<u16>,
}

impl ServeArgs {
    pub(super) fn flags(&self) -> Flags {
        let mut flags = self.config.flags();
        flags.server.host = self.host;
        flags.server.port = self.port;
        flags
    }
}

pub(super) fn run(args: &ServeArgs, environment: &Environment) -> Result<Exit, CliError> {
    log::start(environment)?;
    let Loaded { config, warnings, notes, .. } = Config::load(&args.flags(), environment)?;
    for note in notes {
        tracing::info!(variable = %note.place, "{}", note.kind);
    }
    for warning in warnings {
        tracing::warn!(place = %warning.place, "{}", warning.kind);
    }
    let store = Store::open(&config.data_dir)?;
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit of open files cannot be raised; each connection is one");
    }
    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::Runtime)?;
    let sources = Sources { flags: args.flags(), environment: environment.clone() };
    runtime.block_on(serve(config, store, sources, &args.config))?;
    Ok(Exit::Done)
}

async fn serve(config: Config, store: Store, sources: Sources, flags: &ConfigArgs) -> Result<(), CliError> {
    let signals = Signals::listen().map_err(CliError::Runtime)?;
    // Before the apps are read, so that no change falls between.
    let seen = store.data_version()?;
    let mut apps = served(&config.apps, &store.apps()?);
    let certificate = config.tls.clone().map(CertificateWatch::start).transpose()?;
    let believing = tls::believing(&config.outbound.authorities()?);
    let mut server = bind(config.server, apps.clone())?;
    let tls_address = match &certificate {
        Some(certificate) => speak_tls(&mut server, config.server.host, certificate)?,
        None => None,
    };
    serve_metrics(&mut server, config.metrics)?;
    if config.soketi_names {
        server.tell_soketi_names();
    }
    let mut start = Start::Again;
    let mut has_demo_brand = false;
    // Only now, so that the one time its secret is shown is not lost to a port that is in use.
    if apps.is_empty() && store.add_first_app(&apps::random(&Clock::system()))? {
        start = Start::First;
        apps = served(&config.apps, &store.apps()?);
        // Anybody may be its test user: nothing for a server that others reach.
        if let Some(app) = apps.first().filter(|_| config.server.host.is_loopback()) {
            has_demo_brand = brands::add_demo(&store, &app.id)?;
        }
    }
    let brands = Arc::new(known::configured_brands(&config.brands));
    let mut in_use = InUse { apps: server.apps(), brands, config: config.clone(), stored: None };
    in_use.refresh(&store)?;
    let (shared, announcements) = SharedStore::serve(&config.data_dir)?;
    let broken = shared.broken();
    let settings = config.outbound.settings.clone();
    let webhooks = WebhookParts { store: shared.clone(), settings, tls: believing.clone() };
    let brands = in_use.brands.clone();
    let parts = InboxParts { store: shared, announcements, brands, tls: believing };
    server.open_inbox(parts);
    server.tell_backends(webhooks);
    let bound = server.local_addr();
    let target = Target::of(&config).at(bound.port());
    let scheme = if target.is_tls() { "https" } else { "http" };
    let mut addresses = vec![format!("{scheme}://{bound}")];
    addresses.extend(tls_address.map(|address| format!("https://{address}")));
    // Not on the path of someone who has just built it.
    let program = std::env::args_os().next().map_or_else(|| "tidings".into(), PathBuf::from);
    let program = &program;
    let screen = Screen {
        addresses: &addresses,
        target,
        apps: &apps,
        start,
        store: store.path(),
        has_demo_brand,
        flags,
        program,
    };
    let (orders, given) = orders::channel(1);
    // Before the screen, at which others know that there is a server to drain.
    let control = match Control::listen(&config.data_dir).await {
        Ok(control) => Some(tokio::spawn(control.pass_on(config.drain, orders.clone()))),
        Err(error) => {
            tracing::warn!(%error, "`tidings drain` will not reach this server");
            None
        }
    };
    print(&screen.text())?;
    tracing::info!(addresses = addresses.join(" "), apps = apps.len(), "listening");
    let watch = Watch::start(sources, store, seen, in_use, certificate);
    let reloading = tokio::spawn(reload_on(signals.hangup, watch.reloader()));
    let breaking = tokio::spawn(leave_without_store(broken, orders.clone()));
    tokio::spawn(signals.end.pass_on(config.drain, orders));
    server.run(given).await;
    let is_broken = breaking.is_finished();
    breaking.abort();
    reloading.abort();
    // With it the last who could wake the watch is gone.
    let _ = reloading.await;
    watch.stop();
    if let Some(control) = control {
        control.abort();
        // Its file is removed with it.
        let _ = control.await;
    }
    if is_broken {
        return Err(CliError::Broken);
    }
    tracing::info!("the server has ended");
    Ok(())
}

/// Has the server leave when its store is broken, and sees to it that it ends: whoever supervises it starts another.
async fn leave_without_store(broken: impl Future<Output = ()>, orders: orders::Sender<Drain>) {
    broken.await;
    tracing::error!("the store's writer has panicked; the server ends");
    // If an order waits already, it leaves anyway.
    let _ = orders.try_send(Drain::AT_ONCE);
    tokio::spawn(async {
        tokio::time::sleep(LEAVE).await;
        // As `Exit::Failed`.
        std::process::exit(1);
    });
}

fn bind(config: ServerConfig, apps: Vec<App>) -> Result<Server, CliError> {
    let address = SocketAddr::new(config.host, config.port);
    Server::bind(config, apps, Clock::system()).map_err(|source| CliError::Bind { address, source })
}

/// Has the server speak TLS where it is configured to. Returns the address, if it is another than the server's own.
fn speak_tls(
    server: &mut Server,
    host: IpAddr,
    certificate: &CertificateWatch,
) -> Result<Option<SocketAddr>, CliError> {
    let certificates = certificate.certificates().clone();
    let Some(port) = certificate.port() else {
        server.set_tls(certificates);
        return Ok(None);
    };
    let address = SocketAddr::new(host, port);
    let bound = server.bind_tls(address, certificates);
    bound.map(Some).map_err(|source| CliError::BindTls { address, source })
}

/// Has metrics served where they were chosen to be, or where it can be if nobody has chosen.
fn serve_metrics(server: &mut Server, at: MetricsAddress) -> Result<(), CliError> {
    let (MetricsAddress::Default(address) | MetricsAddress::Chosen(address)) = at;
    match (server.bind_for_operators(address), at) {
        (Ok(bound), _) => tracing::info!(address = %bound, "metrics are served at /metrics"),
        (Err(error), MetricsAddress::Default(_)) => {
            tracing::warn!(%address, %error, "metrics are not served; choose a port as [metrics] port");
        }
        (Err(source), MetricsAddress::Chosen(_)) => return Err(CliError::BindMetrics { address, source }),
    }
    Ok(())
}

/// What people and process managers send.
struct Signals {
    hangup: Signal,
    end: EndSignals,
}

struct EndSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        let end = EndSignals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        };
        Ok(Signals { hangup: signal(SignalKind::hangup())?, end })
    }
}

/// Has the configuration read again at each signal.
async fn reload_on(mut hangup: Signal, reload: mpsc::SyncSender<()>) {
    while hangup.recv().await.is_some() {
        // One that waits already will see what this one would.
        let _ = reload.try_send(());
    }
}

impl EndSignals {
    /// The first has the server leave as configured, the second hastens it, the third ends the process.
    async fn pass_on(mut self, configured: Drain, orders: orders::Sender<Drain>) {
        let order = self.next().await;
        tracing::info!(order, "leaving; a second signal hastens it");
        // A server that takes no orders any more is about to end.
        let _ = orders.send(configured).await;
        self.next().await;
        tracing::info!("leaving at once; a third signal ends the process");
        let _ = orders.send(Drain::AT_ONCE).await;
        self.next().await;
        std::process::exit(130);
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}
