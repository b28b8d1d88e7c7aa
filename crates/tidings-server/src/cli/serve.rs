//! `tidings serve`

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::mpsc,
    thread,
    time::Duration,
};

use clap::Args;
use tidings_protocol::App;
use tidings_store::Store;
use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc as orders,
};

use super::{
    ConfigArgs, Exit, apps,
    control::Control,
    error::CliError,
    known, log, print,
    screen::{Screen, Start},
    target::Target,
};
use crate::{
    AppsHandle, Clock, Drain, Server, ServerConfig,
    config::{Config, Environment, Flags, Loaded, parse_host},
};

/// How often the store is asked whether the command line has changed something.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

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
    let Loaded { config, warnings } = Config::load(&args.flags(), environment)?;
    for warning in warnings {
        tracing::warn!(place = %warning.place, "{}", warning.kind);
    }
    let store = Store::open(&config.data_dir)?;
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit of open files cannot be raised; each connection is one");
    }
    let runtime = runtime::Builder::new_multi_thread().enable_all().build().map_err(CliError::Runtime)?;
    runtime.block_on(serve(config, store, &args.config))?;
    Ok(Exit::Done)
}

async fn serve(config: Config, store: Store, flags: &ConfigArgs) -> Result<(), CliError> {
    let signals = Signals::listen().map_err(CliError::Runtime)?;
    // Before the apps are read, so that no change falls between.
    let seen = store.data_version()?;
    let mut apps = served(&config.apps, &store)?;
    let server = bind(config.server, apps.clone())?;
    let mut start = Start::Again;
    // Only now, so that the one time its secret is shown is not lost to a port that is in use.
    if apps.is_empty() && store.add_first_app(&apps::random(&Clock::system()))? {
        start = Start::First;
        apps = served(&config.apps, &store)?;
        server.apps().replace(apps.clone());
    }
    let bound = server.local_addr();
    let target = Target::of(&ServerConfig { port: bound.port(), ..config.server });
    // Not on the path of someone who has just built it.
    let program = std::env::args_os().next().map_or_else(|| "tidings".into(), PathBuf::from);
    let program = &program;
    let screen = Screen {
        address: bound.to_string(),
        target,
        apps: &apps,
        start,
        store: store.path(),
        flags,
        program,
    };
    print(&screen.text())?;
    tracing::info!(address = %bound, apps = apps.len(), "listening");
    let (orders, given) = orders::channel(1);
    let control = match Control::listen(&config.data_dir).await {
        Ok(control) => Some(tokio::spawn(control.pass_on(config.drain, orders.clone()))),
        Err(error) => {
            tracing::warn!(%error, "`tidings drain` will not reach this server");
            None
        }
    };
    tokio::spawn(signals.pass_on(config.drain, orders));
    let watch = Watch::start(store, seen, config.apps, server.apps());
    server.run(given).await;
    watch.stop();
    if let Some(control) = control {
        control.abort();
        // Its file is removed with it.
        let _ = control.await;
    }
    Ok(())
}

fn bind(config: ServerConfig, apps: Vec<App>) -> Result<Server, CliError> {
    let address = SocketAddr::new(config.host, config.port);
    Server::bind(config, apps, Clock::system()).map_err(|source| CliError::Bind { address, source })
}

/// The apps to serve.
fn served(configured: &[App], store: &Store) -> Result<Vec<App>, CliError> {
    let stored = store.apps()?;
    for app in stored.iter().filter(|app| known::is_hidden(configured, app)) {
        tracing::warn!(
            app_id = app.id,
            "the configuration has an app of this id or key; that of the store is not used"
        );
    }
    Ok(known::merge(configured, &stored))
}

/// A thread that passes on to the server what the command line changes in the store.
struct Watch {
    stop: mpsc::SyncSender<()>,
    thread: thread::JoinHandle<()>,
}

impl Watch {
    fn start(store: Store, mut seen: u32, configured: Vec<App>, apps: AppsHandle) -> Self {
        let (stop, stopped) = mpsc::sync_channel(0);
        let thread = thread::spawn(move || {
            while stopped.recv_timeout(WATCH_INTERVAL) == Err(mpsc::RecvTimeoutError::Timeout) {
                let passed = pass_on(&store, &configured, &apps, &mut seen);
                apps.set_store_fails(passed.is_err());
                if let Err(error) = passed {
                    tracing::error!(%error, "the apps of the store cannot be read; those of before are used");
                }
            }
        });
        Watch { stop, thread }
    }

    /// Ends the thread, and with it the store's connection.
    fn stop(self) {
        drop(self.stop);
        // A thread that panicked has said so.
        let _ = self.thread.join();
    }
}

/// Replaces the server's apps if the store has changed since it was last seen.
fn pass_on(store: &Store, configured: &[App], apps: &AppsHandle, seen: &mut u32) -> Result<(), CliError> {
    let version = store.data_version()?;
    if *seen != version {
        *seen = version;
        apps.replace(served(configured, store)?);
    }
    Ok(())
}

/// Ctrl-C and what process managers send.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The first has the server leave as configured, the second hastens it, the third ends the process.
    async fn pass_on(mut self, configured: Drain, orders: orders::Sender<Drain>) {
        self.next().await;
        tracing::info!("leaving; a second signal hastens it");
        // A server that takes no orders any more is about to end.
        let _ = orders.send(configured).await;
        self.next().await;
        tracing::info!("leaving at once; a third signal ends the process");
        let _ = orders.send(Drain::AT_ONCE).await;
        self.next().await;
        std::process::exit(130);
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
