//! The store as a server's many tasks use it.

use std::{
    fs::{File, TryLockError},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    thread::available_parallelism,
};

use rusqlite::Connection;
use tokio::{
    sync::{Semaphore, mpsc},
    task,
};

use super::{
    Store, announcements, report,
    room::{Held, Room},
    writer::{Teller, Work, Writer},
};
use crate::{
    Announcement, StoreError,
    metrics::{StoreMetrics, timed},
};

/// So many read at a time at least, and one for each core, each on a connection and a thread of its own.
const READERS_MIN: usize = 2;
/// How many may read or wait for it; more are refused, so that a flood is told to come later.
const READS: usize = 1024;
/// So many bytes of large lists are in memory at a time.
const LISTS: u32 = 64 * 1024 * 1024;
/// How many announcements may wait to be told; beyond it the writer waits.
const ANNOUNCEMENTS: usize = 1024;

/// A store that many use at once: what is written is committed in groups, what is read does not wait for that.
#[derive(Clone, Debug)]
pub struct SharedStore {
    pub(super) path: Arc<Path>,
    writer: Writer,
    readers: Arc<Readers>,
    metrics: Arc<StoreMetrics>,
}

/// What has been committed and is to be told, in the order of commits; the server's side of the store.
#[derive(Debug)]
pub struct Announcements {
    waiting: mpsc::Receiver<Announcement>,
    told: Arc<AtomicI64>,
    /// While it is held, no other process is given announcements.
    _lock: File,
}

#[derive(Debug)]
struct Readers {
    free: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
    places: Semaphore,
    lists: Room,
}

impl SharedStore {
    /// Opens the store in the directory for a server, which is given all announcements, those too that an earlier
    /// process left.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn serve(data_dir: &Path) -> Result<(Self, Announcements), StoreError> {
        let (sender, waiting) = mpsc::channel(ANNOUNCEMENTS);
        let told = Arc::new(AtomicI64::new(0));
        let teller = Teller { announcements: sender, told: told.clone() };
        let store = Self::open(data_dir, Some(teller))?;
        let lock = lock(data_dir)?;
        Ok((store, Announcements { waiting, told, _lock: lock }))
    }

    /// Opens the store in the directory beside a server that may be running; it makes the announcements.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn beside(data_dir: &Path) -> Result<Self, StoreError> {
        Self::open(data_dir, None)
    }

    fn open(data_dir: &Path, teller: Option<Teller>) -> Result<Self, StoreError> {
        let Store { path, connection } = Store::open(data_dir)?;
        let metrics = Arc::new(StoreMetrics::new());
        let writer = Writer::start(path.clone(), connection, teller, metrics.clone());
        let readers = available_parallelism().map_or(READERS_MIN, |cores| cores.get().max(READERS_MIN));
        let readers = Readers {
            free: Mutex::default(),
            permits: Arc::new(Semaphore::new(readers)),
            places: Semaphore::new(READS),
            lists: Room::new(LISTS),
        };
        Ok(SharedStore { path: path.into(), writer, readers: Arc::new(readers), metrics })
    }

    /// What is counted of its work, by whatever clone of it.
    #[must_use]
    pub fn metrics(&self) -> &Arc<StoreMetrics> {
        &self.metrics
    }

    /// Whether all that is committed has been told, and that is committed too.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn is_all_told(&self) -> Result<bool, StoreError> {
        self.read(announcements::is_empty).await
    }

    /// Returns when the writer has panicked; never, if it does not. Nothing can be written any more then, and what the
    /// bug has left of the connection is not to be trusted: the process should end.
    pub fn broken(&self) -> impl Future<Output = ()> + Send + use<> {
        self.writer.broken()
    }

    /// Does the work in the next commit; returns when that is safe on disk.
    pub(super) async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Work<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        self.writer.write(0, work).await
    }

    /// The same, for work that holds as many bytes as a sender likes.
    pub(super) async fn write_long<T, F>(&self, bytes: usize, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Work<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        self.writer.write(bytes, work).await
    }

    /// The room for large lists.
    pub(super) fn enter_lists(&self) -> Held {
        self.readers.lists.enter()
    }

    /// Reads what is committed.
    pub(super) async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let _place = self.readers.places.try_acquire().map_err(|_| StoreError::Overloaded)?;
        let permit = self.readers.permits.clone().acquire_owned().await.map_err(|_| StoreError::Stopped)?;
        let (path, readers, metrics) = (self.path.clone(), self.readers.clone(), self.metrics.clone());
        let read = move || {
            // Kept to the end, also when nobody waits for the answer any more.
            let _permit = permit;
            let free = readers.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = match free {
                Some(connection) => connection,
                None => super::connect(&path)?,
            };
            let (done, took) = timed(|| work(&connection));
            readers.free.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            metrics.read(took);
            done.map_err(|error| report(&path, error))
        };
        task::spawn_blocking(read).await.unwrap_or(Err(StoreError::Stopped))
    }
}

/// The file that one serving process at a time has locked; it is empty.
const LOCK: &str = "serving.lock";

fn lock(data_dir: &Path) -> Result<File, StoreError> {
    let path = data_dir.join(LOCK);
    let cannot_open = |_| StoreError::Open { path: path.clone() };
    let file = File::options().create(true).append(true).open(&path).map_err(cannot_open)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Served { data_dir: data_dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(cannot_open(error)),
    }
}

impl Announcements {
    /// The next announcement; nothing when the store has been closed.
    pub async fn next(&mut self) -> Option<Announcement> {
        self.waiting.recv().await
    }

    /// Says that this announcement, and all before it, have been told: no later process tells them again.
    pub fn told(&self, seq: i64) {
        self.told.fetch_max(seq, Ordering::Release);
    }
}
