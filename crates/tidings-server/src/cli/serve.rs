//! `tidings serve`

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use clap::Args;
use tidings_inbox::Brands;
use tidings_protocol::App;
use tidings_store::{BrandsAndKeys, SharedStore, Store, StoredApp};
use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
};

use super::{
    ConfigArgs, Exit, apps, brands,
    error::CliError,
    known, log, print,
    screen::{Screen, Start},
    target::Target,
};
use crate::{
    AppsHandle, Clock, InboxParts, Server, ServerConfig,
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
    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::Runtime)?;
    runtime.block_on(serve(config, store, &args.config))?;
    Ok(Exit::Done)
}

async fn serve(config: Config, store: Store, flags: &ConfigArgs) -> Result<(), CliError> {
    let signals = Signals::listen().map_err(CliError::Runtime)?;
    // Before the apps are read, so that no change falls between.
    let seen = store.data_version()?;
    let mut apps = served(&config.apps, &store.apps()?);
    let server = bind(config.server, apps.clone())?;
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
    let parts = InboxParts { store: shared, announcements, brands: in_use.brands.clone() };
    let server = server.with_inbox(parts);
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
        has_demo_brand,
        flags,
        program,
    };
    print(&screen.text())?;
    tracing::info!(address = %bound, apps = apps.len(), "listening");
    let watch = Watch::start(store, seen, in_use);
    server.run(signals.wait()).await;
    watch.stop();
    Ok(())
}

fn bind(config: ServerConfig, apps: Vec<App>) -> Result<Server, CliError> {
    let address = SocketAddr::new(config.host, config.port);
    Server::bind(config, apps, Clock::system()).map_err(|source| CliError::Bind { address, source })
}

/// The apps to serve.
fn served(configured: &[App], stored: &[StoredApp]) -> Vec<App> {
    for app in stored.iter().filter(|app| known::is_hidden(configured, app)) {
        tracing::warn!(
            app_id = app.id,
            "the configuration has an app of this id or key; that of the store is not used"
        );
    }
    known::merge(configured, stored)
}

/// What is replaced when the command line changes the store.
struct InUse {
    apps: AppsHandle,
    brands: Arc<Brands>,
    config: Config,
    /// What the store had when it was last looked at.
    stored: Option<(Vec<StoredApp>, BrandsAndKeys)>,
}

impl InUse {
    /// Takes what the store has, unless it is what it had: notifications change the store all the time.
    fn refresh(&mut self, store: &Store) -> Result<(), CliError> {
        let reading = self.brands.begin_reading();
        let stored = (store.apps()?, store.brands_and_keys()?);
        if self.stored.as_ref() != Some(&stored) {
            let apps = served(&self.config.apps, &stored.0);
            let brands = known::merge_brands(&self.config.brands, stored.1.0.clone());
            for brand in brands.iter().filter(|brand| apps.iter().all(|app| app.id != brand.app_id)) {
                tracing::warn!(brand = brand.name, app_id = brand.app_id, "the brand's app is not there");
            }
            self.apps.replace(apps);
            self.brands.take(reading, stored.1.clone());
            self.stored = Some(stored);
        }
        Ok(())
    }
}

/// A thread that passes on to the server what the command line changes in the store.
struct Watch {
    stop: mpsc::SyncSender<()>,
    thread: thread::JoinHandle<()>,
}

impl Watch {
    fn start(store: Store, mut seen: u32, mut in_use: InUse) -> Self {
        let (stop, stopped) = mpsc::sync_channel(0);
        let thread = thread::spawn(move || {
            while stopped.recv_timeout(WATCH_INTERVAL) == Err(mpsc::RecvTimeoutError::Timeout) {
                if let Err(error) = pass_on(&store, &mut in_use, &mut seen) {
                    tracing::error!(%error, "the apps and brands of the store cannot be read; those of before are used");
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

/// Replaces the server's apps and brands if the store has changed since it was last seen.
fn pass_on(store: &Store, in_use: &mut InUse, seen: &mut u32) -> Result<(), CliError> {
    let version = store.data_version()?;
    if *seen != version {
        *seen = version;
        in_use.refresh(store)?;
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

    /// Returns at the first; the second ends the process.
    async fn wait(mut self) {
        self.next().await;
        tracing::info!("shutting down; a second signal ends at once");
        tokio::spawn(async move {
            self.next().await;
            std::process::exit(130);
        });
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
