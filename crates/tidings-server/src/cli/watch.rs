//! What a running server takes from a changed file and a changed store, without a restart.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path, sync::mpsc, thread, time::Duration};

use tidings_protocol::App;
use tidings_store::Store;

use super::{error::CliError, known};
use crate::{
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
    /// As it was read last; what of it needs a restart is as it was at the start.
    config: Config,
    file: Option<Seen>,
    store: Store,
    store_version: u32,
    apps: AppsHandle,
}

/// A file as it was when it was looked at.
struct Seen {
    stamp: Option<Stamp>,
    /// It was another the time before: somebody may be writing it.
    is_fresh: bool,
}

/// Tells one state of a file from another.
#[derive(PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl Watch {
    /// Starts it. `store_version` is that from before `config`'s and the store's apps were read.
    pub(super) fn start(
        sources: Sources,
        config: Config,
        store: Store,
        store_version: u32,
        apps: AppsHandle,
    ) -> Self {
        let file = sources.path().map(|path| Seen { stamp: Stamp::of(path), is_fresh: false });
        let mut watcher = Watcher { sources, config, file, store, store_version, apps };
        let (wake, woken) = mpsc::sync_channel(1);
        let thread = thread::spawn(move || {
            loop {
                match woken.recv_timeout(INTERVAL) {
                    Ok(()) => watcher.reload(),
                    Err(mpsc::RecvTimeoutError::Timeout) => watcher.look(),
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
    fn look(&mut self) {
        if self.file_has_changed() {
            self.reload();
        } else {
            self.pass_on(PassOn::IfStoreChanged);
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
    fn reload(&mut self) {
        if let (Some(path), Some(seen)) = (self.sources.path(), &mut self.file) {
            *seen = Seen { stamp: Stamp::of(path), is_fresh: false };
        }
        match Config::load(&self.sources.flags, &self.sources.environment) {
            Ok(Loaded { config, warnings, .. }) => {
                for warning in warnings {
                    tracing::warn!(place = %warning.place, "{}", warning.kind);
                }
                for key in config.needs_restart(&self.config) {
                    tracing::warn!(key, "the new value counts from the next start on");
                }
                self.config.apps = config.apps;
                self.pass_on(PassOn::Always);
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
    }

    fn pass_on(&mut self, when: PassOn) {
        let passed = self.try_pass_on(when);
        self.apps.set_store_fails(passed.is_err());
        if let Err(error) = passed {
            tracing::error!(%error, "the apps of the store cannot be read; those of before are used");
        }
    }

    fn try_pass_on(&mut self, when: PassOn) -> Result<(), CliError> {
        let version = self.store.data_version()?;
        if when == PassOn::Always || self.store_version != version {
            let apps = served(&self.config.apps, &self.store)?;
            self.store_version = version;
            tracing::info!(apps = apps.len(), "apps taken anew");
            self.apps.replace(apps);
        }
        Ok(())
    }
}

/// When the apps are passed on to the server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PassOn {
    IfStoreChanged,
    Always,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let file = fs::metadata(path).ok()?;
        Some(Stamp { inode: file.ino(), length: file.len(), modified: (file.mtime(), file.mtime_nsec()) })
    }
}

/// The apps to serve.
pub(super) fn served(configured: &[App], store: &Store) -> Result<Vec<App>, CliError> {
    let stored = store.apps()?;
    for app in stored.iter().filter(|app| known::is_hidden(configured, app)) {
        tracing::warn!(
            app_id = app.id,
            "the configuration has an app of this id or key; that of the store is not used"
        );
    }
    Ok(known::merge(configured, &stored))
}
