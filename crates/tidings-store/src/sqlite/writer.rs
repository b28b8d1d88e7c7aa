//! The one writer of a process: a thread that commits in groups. Whatever waits when a commit begins is in it, so that
//! many share the cost of one that is safe on disk.

use std::{
    future,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use tokio::sync::{oneshot, watch};

use super::{
    announcements, report,
    room::{Held, Room},
};
use crate::{
    Announcement, StoreError,
    metrics::{StoreMetrics, timed},
};

/// How many jobs may wait.
const QUEUE: usize = 4096;
/// So many bytes may wait, of those jobs that are as long as a sender makes them.
const WAITING: u32 = 64 * 1024 * 1024;
/// How many jobs one commit takes.
const GROUP: usize = 512;
/// How often the writer looks round when nothing waits: what another process has announced, what has been told.
const IDLE: Duration = Duration::from_millis(500);

/// The way to the writer. The thread ends when the last of these is dropped and all that waited is done.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    path: Arc<Path>,
    queue: mpsc::SyncSender<Box<dyn Job>>,
    waiting: Room,
    /// True once the thread has panicked.
    broken: watch::Receiver<bool>,
}

/// Where the writer sends what it has committed.
#[derive(Debug)]
pub(super) struct Teller {
    pub(super) announcements: tokio::sync::mpsc::Sender<Announcement>,
    /// The last announcement that has been told.
    pub(super) told: Arc<AtomicI64>,
}

/// A transaction in which jobs do their work.
pub(super) struct Work<'c> {
    pub(super) connection: &'c Connection,
    /// The last notification's number.
    pub(super) last_id: i64,
    /// How many notifications it adds for users to see.
    created: u64,
    /// What is to be told once it is committed.
    announcements: Vec<Announcement>,
}

trait Job: Send {
    fn run(&mut self, work: &mut Work<'_>);
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Pending<T, F> {
    path: Arc<Path>,
    work: Option<F>,
    done: Option<Result<T, StoreError>>,
    answer: oneshot::Sender<Result<T, StoreError>>,
    _held: Held,
}

impl Writer {
    /// Starts the thread on a connection of its own. Without a teller, announcements are left to whoever serves.
    pub(super) fn start(
        path: PathBuf,
        connection: Connection,
        teller: Option<Teller>,
        metrics: Arc<StoreMetrics>,
    ) -> Self {
        let (queue, jobs) = mpsc::sync_channel(QUEUE);
        let (alarm, broken) = watch::channel(false);
        let path: Arc<Path> = path.into();
        let thread = Thread {
            path: path.clone(),
            connection,
            teller,
            metrics,
            has_begun: false,
            seen_seq: 0,
            deleted_seq: 0,
            data_version: None,
        };
        thread::Builder::new()
            .name("tidings-writer".to_owned())
            .spawn(move || {
                let _alarm = Alarm(alarm);
                thread.run(&jobs);
            })
            .expect("the system gives a thread");
        Writer { path, queue, waiting: Room::new(WAITING), broken }
    }

    /// Does the work, which holds so many bytes, in the next commit; returns when that is safe on disk.
    pub(super) async fn write<T, F>(&self, bytes: usize, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Work<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let mut held = self.waiting.enter();
        held.grow_to(bytes)?;
        let (answer, answered) = oneshot::channel();
        let job = Pending { path: self.path.clone(), work: Some(work), done: None, answer, _held: held };
        self.queue.try_send(Box::new(job)).map_err(|error| match error {
            mpsc::TrySendError::Full(_) => StoreError::Overloaded,
            mpsc::TrySendError::Disconnected(_) => StoreError::Stopped,
        })?;
        answered.await.unwrap_or(Err(StoreError::Stopped))
    }

    /// Returns when the thread has panicked; never, if it does not.
    pub(super) fn broken(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut broken = self.broken.clone();
        async move {
            if broken.wait_for(|is_broken| *is_broken).await.is_err() {
                future::pending::<()>().await;
            }
        }
    }
}

impl<T: Send, F: FnOnce(&mut Work<'_>) -> rusqlite::Result<T> + Send> Job for Pending<T, F> {
    fn run(&mut self, work: &mut Work<'_>) {
        let own = self.work.take().expect("a job is run once");
        self.done = Some(work.attempt(own).map_err(|error| report(&self.path, error)));
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let answer = match (self.done, committed) {
            // What went wrong with it alone says more.
            (Some(Err(error)), _) | (_, Err(error)) => Err(error),
            (Some(Ok(done)), Ok(())) => Ok(done),
            (None, Ok(())) => Err(StoreError::Stopped),
        };
        // Whoever asked may be gone; it is done all the same.
        let _ = self.answer.send(answer);
    }
}

impl Work<'_> {
    /// Does all of it or nothing; the rest of the transaction is as it was.
    pub(super) fn attempt<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        if self.connection.is_autocommit() {
            // An earlier error has undone the transaction.
            return Err(undone());
        }
        self.connection.prepare_cached("SAVEPOINT attempt")?.execute([])?;
        let (announced, created) = (self.announcements.len(), self.created);
        let done = work(self);
        if done.is_err() {
            self.announcements.truncate(announced);
            self.created = created;
            if !self.connection.is_autocommit() {
                self.connection.prepare_cached("ROLLBACK TO attempt")?.execute([])?;
            }
        }
        if !self.connection.is_autocommit() {
            self.connection.prepare_cached("RELEASE attempt")?.execute([])?;
        }
        done
    }

    /// Counts a notification that a user will see.
    pub(super) fn count_created(&mut self) {
        self.created += 1;
    }

    /// Notes what is to be told; it is in the table already.
    pub(super) fn announce(&mut self, announcement: Announcement) {
        self.announcements.push(announcement);
    }
}

fn undone() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT_ROLLBACK),
        Some("an error of another change has undone the transaction".to_owned()),
    )
}

/// Rings when its thread panics.
struct Alarm(watch::Sender<bool>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.send_replace(true);
        }
    }
}

struct Thread {
    path: Arc<Path>,
    connection: Connection,
    teller: Option<Teller>,
    metrics: Arc<StoreMetrics>,
    /// Whether it has committed before; what was announced until then is left over.
    has_begun: bool,
    /// The last announcement that this thread knows of.
    seen_seq: i64,
    /// The last that has been told and deleted.
    deleted_seq: i64,
    /// Changes when another process commits.
    data_version: Option<u32>,
}

impl Thread {
    fn run(mut self, jobs: &mpsc::Receiver<Box<dyn Job>>) {
        self.commit(Vec::new(), jobs);
        loop {
            match jobs.recv_timeout(IDLE) {
                Ok(job) => {
                    let mut group = vec![job];
                    group.extend(jobs.try_iter().take(GROUP - 1));
                    self.commit(group, jobs);
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    if self.has_news() {
                        self.commit(Vec::new(), jobs);
                    }
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
        if self.has_news() {
            self.commit(Vec::new(), jobs);
        }
    }

    fn has_news(&mut self) -> bool {
        let Some(teller) = &self.teller else { return false };
        let version = super::data_version(&self.connection).ok();
        let changed = self.data_version != version;
        self.data_version = version;
        changed || teller.told.load(Ordering::Acquire) > self.deleted_seq
    }

    fn commit(&mut self, mut group: Vec<Box<dyn Job>>, jobs: &mpsc::Receiver<Box<dyn Job>>) {
        let (committed, took) = timed(|| self.transact(&mut group));
        if !group.is_empty() {
            match &committed {
                Ok((_, created)) => self.metrics.committed(group.len(), *created, took),
                Err(_) => self.metrics.commit_failed(took),
            }
        }
        match committed {
            Ok((announcements, _)) => {
                if let Some(teller) = &self.teller {
                    for announcement in announcements {
                        self.seen_seq = self.seen_seq.max(announcement.seq);
                        // Nobody listens any more when the server stops; the next start tells it.
                        let _ = teller.announcements.blocking_send(announcement);
                    }
                }
                for job in group {
                    job.answer(Ok(()));
                }
            }
            Err(error) => {
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) {
                    // Whoever came meanwhile has waited long enough, and would wait as long again.
                    group.extend(jobs.try_iter().take(QUEUE));
                }
                for job in group {
                    job.answer(Err(report(&self.path, copy(&error))));
                }
            }
        }
    }

    /// Returns what is to be told, and how many notifications were added.
    fn transact(&mut self, group: &mut [Box<dyn Job>]) -> rusqlite::Result<(Vec<Announcement>, u64)> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let last_id = transaction
            .prepare_cached("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'notifications'")?
            .query_row([], |row| row.get(0))?;
        let mut work = Work { connection: &transaction, last_id, created: 0, announcements: Vec::new() };
        let mut deleted = self.deleted_seq;
        if let Some(teller) = &self.teller {
            let told = teller.told.load(Ordering::Acquire);
            if told > deleted {
                announcements::forget(&transaction, told)?;
                deleted = told;
            }
            work.announcements = announcements::after(&transaction, self.seen_seq, !self.has_begun)?;
        }
        for job in group {
            job.run(&mut work);
        }
        let Work { announcements, created, .. } = work;
        transaction.commit()?;
        self.deleted_seq = deleted;
        self.has_begun = true;
        Ok((announcements, created))
    }
}

/// The same failure again: each job of a group is told.
fn copy(error: &rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqliteFailure(code, text) => rusqlite::Error::SqliteFailure(*code, text.clone()),
        other => rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ERROR),
            Some(other.to_string()),
        ),
    }
}
