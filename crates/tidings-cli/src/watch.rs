//! What a running server takes from a changed file and a changed store, without a restart.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use tidings_inbox::Brands;
use tidings_protocol::App;
use tidings_store::{BrandsAndKeys, Store, StoredApp};

use super::{certificates::CertificateWatch, error::CliError, known};
use tidings_server::{
    AppsHandle,
    config::{Config, Environment, Flags, Loaded},
};

/// How often file and store are looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// What the server was started with, to read it again.
pub(super) struct Sources {
    pub(super) flags: Flags,
    pub(super) environment: Environment,
}

/// A thread that passes on to the server what changes.
pub(super) struct Watch {
    wake: mpsc::SyncSender<()>,
    thread: thread::JoinHandle<()>,
}

struct Watcher {
    sources: Sources,
    file: Option<Seen>,
    store: Store,
    store_version: u32,
    in_use: InUse,
    certificate: Option<CertificateWatch>,
}

/// What is known of the file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FileIs {
    /// It is to be read again, whatever it looks like.
    Changed,
    /// It is to be looked at.
    Unknown,
}

/// A file as it was when it was looked at.
struct Seen {
    stamp: Option<Stamp>,
    /// It was another the time before: somebody may be writing it.
    is_fresh: bool,
}

/// Tells one state of a file from another.
#[derive(PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl Watch {
    /// Starts it. `store_version` is that from before what is in use was read.
    pub(super) fn start(
        sources: Sources,
        store: Store,
        store_version: u32,
        in_use: InUse,
        certificate: Option<CertificateWatch>,
    ) -> Self {
        let file = sources.path().map(|path| Seen { stamp: Stamp::of(path), is_fresh: false });
        let mut watcher = Watcher { sources, file, store, store_version, in_use, certificate };
        let (wake, woken) = mpsc::sync_channel(1);
        let thread = thread::spawn(move || {
            loop {
                match woken.recv_timeout(INTERVAL) {
                    Ok(()) => watcher.look(FileIs::Changed),
                    Err(mpsc::RecvTimeoutError::Timeout) => watcher.look(FileIs::Unknown),
                    Err(mpsc::RecvTimeoutError::Disconnected) => return,
                }
            }
        });
        Watch { wake, thread }
    }

    /// What has the file read again at once.
    pub(super) fn reloader(&self) -> mpsc::SyncSender<()> {
        self.wake.clone()
    }

    /// Ends the thread, and with it the store's connection. Every [`reloader`](Self::reloader) is to be gone.
    pub(super) fn stop(self) {
        drop(self.wake);
        // A thread that panicked has said so.
        let _ = self.thread.join();
    }
}

impl Sources {
    /// The configuration file, if there is one.
    fn path(&self) -> Option<&Path> {
        self.flags.config.as_deref().or_else(|| self.environment.config_file())
    }
}

impl Watcher {
    fn look(&mut self, file: FileIs) {
        let passed =
            if file == FileIs::Changed || self.file_has_changed() { self.reload() } else { self.pass_on() };
        match (&mut self.certificate, file) {
            (Some(certificate), FileIs::Changed) => certificate.reload(),
            (Some(certificate), FileIs::Unknown) => certificate.look(),
            (None, _) => {}
        }
        self.in_use.apps.set_store_fails(passed.is_err());
        if let Err(error) = passed {
            tracing::error!(%error, "the apps and brands of the store cannot be read; those of before are used");
        }
    }

    /// Whether the file is another than when it was read, and the same as a moment ago.
    fn file_has_changed(&mut self) -> bool {
        let (Some(path), Some(seen)) = (self.sources.path(), &mut self.file) else { return false };
        let stamp = Stamp::of(path);
        let changed = stamp != seen.stamp;
        seen.stamp = stamp;
        std::mem::replace(&mut seen.is_fresh, changed) && !changed
    }

    /// Reads the file and the variables again. With a mistake in them nothing changes.
    fn reload(&mut self) -> Result<(), CliError> {
        if let (Some(path), Some(seen)) = (self.sources.path(), &mut self.file) {
            *seen = Seen { stamp: Stamp::of(path), is_fresh: false };
        }
        match Config::load(&self.sources.flags, &self.sources.environment) {
            Ok(Loaded { config, warnings, .. }) => {
                for warning in warnings {
                    tracing::warn!(place = %warning.place, "{}", warning.kind);
                }
                for key in config.needs_restart(&self.in_use.config) {
                    tracing::warn!(key, "the new value counts from the next start on");
                }
                self.in_use.reconfigure(config);
                self.in_use.refresh(&self.store)?;
                tracing::info!("the configuration was read again");
            }
            Err(errors) => {
                for mistake in errors.mistakes {
                    tracing::error!(place = %mistake.place, "{}", mistake.kind);
                }
                tracing::error!(
                    "the configuration was not taken, nothing has changed; correct it, and it is read again"
                );
            }
        }
        Ok(())
    }

    /// Passes on what the store has, if it has changed since it was passed on.
    fn pass_on(&mut self) -> Result<(), CliError> {
        let version = self.store.data_version()?;
        if self.store_version != version || self.in_use.stored.is_none() {
            self.in_use.refresh(&self.store)?;
            self.store_version = version;
        }
        Ok(())
    }
}

impl Stamp {
    pub(super) fn of(path: &Path) -> Option<Self> {
        let file = fs::metadata(path).ok()?;
        Some(Stamp { inode: file.ino(), length: file.len(), modified: (file.mtime(), file.mtime_nsec()) })
    }
}

/// The apps to serve.
pub(super) fn served(configured: &[App], stored: &[StoredApp]) -> Vec<App> {
    for app in stored.iter().filter(|app| known::is_hidden(configured, app)) {
        tracing::warn!(
            app_id = app.id,
            "the configuration has an app of this id or key; that of the store is not used"
        );
    }
    known::merge(configured, stored)
}

/// What is replaced when the file or the store changes.
pub(super) struct InUse {
    pub(super) apps: AppsHandle,
    pub(super) brands: Arc<Brands>,
    pub(super) config: Config,
    /// What the store had when it was last looked at.
    pub(super) stored: Option<(Vec<StoredApp>, BrandsAndKeys)>,
}

impl InUse {
    /// Takes the apps of another configuration, from the next [`refresh`](Self::refresh) on. What needs a restart stays
    /// as it is.
    fn reconfigure(&mut self, config: Config) {
        self.config.apps = config.apps;
        self.stored = None;
    }

    /// Takes what the store has, unless it is what it had: notifications change the store all the time.
    pub(super) fn refresh(&mut self, store: &Store) -> Result<(), CliError> {
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
