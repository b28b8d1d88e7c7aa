//! The courier: a worker for each target of the apps, and what is to be done now and then.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rustls::ClientConfig;
use tidings_protocol::{App, webhook::Webhook};
use tidings_store::{
    SharedStore, StoreError,
    deliveries::{Backlog, Target, TargetId},
    metrics::Histogram,
    time::Timestamp,
};
use tokio::{
    sync::{Notify, watch},
    task::{JoinHandle, JoinSet},
    time::{Instant, interval, interval_at},
};

use crate::{
    Settings,
    client::Client,
    pace,
    pace::Pace,
    target::{Worker, host},
};

/// How often it is looked whether the apps have other webhooks now.
const LOOK: Duration = Duration::from_secs(1);
/// How often what waits is counted.
const COUNT: Duration = Duration::from_secs(10);
/// How often what is too old is looked for.
pub(crate) const SWEEP: Duration = Duration::from_mins(1);
/// So long a dead letter is kept.
const KEEP_DEAD: Duration = Duration::from_hours(30 * 24);

/// What the courier asks of the server.
#[derive(Clone)]
pub struct Outside {
    /// The apps at present.
    pub apps: Arc<dyn Fn() -> Vec<Arc<App>> + Send + Sync>,
    /// The time.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Chance, to spread what would come at once.
    pub random: fn() -> u32,
}

/// Makes deliveries.
#[derive(Debug)]
pub struct Courier {
    doors: Arc<Doors>,
    stop: watch::Sender<()>,
    running: JoinHandle<()>,
}

/// What has become of deliveries since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// Those that were taken.
    pub taken: AtomicU64,
    /// Attempts that were not, and are made again.
    pub failed: AtomicU64,
    /// Those that became dead letters.
    pub dead: AtomicU64,
    /// How many wait, as of some seconds ago.
    pub waiting: AtomicU64,
    /// How long it took until a request was taken, in seconds.
    pub taken_seconds: Mutex<Histogram>,
    /// How long it took until it was known that a request was not taken, in seconds.
    pub failed_seconds: Mutex<Histogram>,
}

/// To whom a worker delivers: it may change while the worker runs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Recipient {
    pub(crate) app: Arc<App>,
    pub(crate) webhook: Webhook,
}

/// What all workers share.
#[derive(Clone)]
pub(crate) struct Means {
    pub(crate) store: SharedStore,
    pub(crate) client: Client,
    pub(crate) outside: Outside,
    pub(crate) retry_for: Duration,
    pub(crate) lanes: Pace,
    pub(crate) targets: Pace,
    pub(crate) counts: Arc<Counts>,
}

type Doors = Mutex<HashMap<Target, Arc<Notify>>>;

impl Courier {
    /// Starts it; call it within the runtime. What `tls` believes of receivers is believed.
    #[must_use]
    pub fn start(
        store: SharedStore,
        settings: &Settings,
        tls: ClientConfig,
        outside: Outside,
        counts: Arc<Counts>,
    ) -> Self {
        Self::start_with(Means {
            store,
            client: Client::new(settings, tls),
            outside,
            retry_for: settings.retry_for,
            lanes: pace::LANES,
            targets: pace::TARGETS,
            counts,
        })
    }

    pub(crate) fn start_with(means: Means) -> Self {
        let doors = Arc::new(Doors::default());
        let (stop, stopped) = watch::channel(());
        let running = tokio::spawn(run(means, doors.clone(), stopped));
        Courier { doors, stop, running }
    }

    /// Says that there is something new for these targets.
    pub fn wake<'a>(&self, targets: impl IntoIterator<Item = &'a Target>) {
        let doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        for door in targets.into_iter().filter_map(|target| doors.get(target)) {
            door.notify_one();
        }
    }

    /// Takes nothing new, and returns when all requests under way have been answered and that is noted.
    pub async fn stop(self) {
        drop(self.stop);
        // A task that panicked has said so.
        let _ = self.running.await;
    }
}

struct Workers {
    means: Means,
    doors: Arc<Doors>,
    recipients: HashMap<Target, watch::Sender<Recipient>>,
    running: JoinSet<()>,
    /// The webhooks when it was last told what waits for others.
    told: Option<HashSet<Target>>,
}

async fn run(means: Means, doors: Arc<Doors>, mut stopped: watch::Receiver<()>) {
    let mut workers =
        Workers { means, doors, recipients: HashMap::new(), running: JoinSet::new(), told: None };
    let (mut look, mut count) = (interval(LOOK), interval(COUNT));
    let mut sweep = interval_at(Instant::now() + SWEEP, SWEEP);
    loop {
        let done = tokio::select! {
            _ = stopped.changed() => break,
            _ = look.tick() => workers.follow().await,
            _ = count.tick() => workers.count().await,
            _ = sweep.tick() => workers.sweep().await,
        };
        if let Err(error) = done {
            tracing::error!(%error, "the queue of webhooks cannot be used; it is tried again");
        }
        // Workers whose webhook is gone, or that a bug has ended.
        while let Some(ended) = workers.running.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "what sends webhooks to a receiver has ended; another takes over");
            }
        }
    }
    workers.recipients.clear();
    while workers.running.join_next().await.is_some() {}
}

impl Workers {
    /// Has a worker for each webhook that there is now, and no other.
    async fn follow(&mut self) -> Result<(), StoreError> {
        let wanted = recipients(&(self.means.outside.apps)());
        let is_other = |known: &HashSet<Target>| {
            known.len() != wanted.len() || !wanted.keys().all(|target| known.contains(target))
        };
        let is_news = self.told.as_ref().is_none_or(is_other);
        // One whose worker has ended by itself gets another.
        self.recipients.retain(|target, sender| wanted.contains_key(target) && !sender.is_closed());
        self.doors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|target, _| wanted.contains_key(target));
        for (target, recipient) in wanted {
            if let Some(sender) = self.recipients.get(&target) {
                sender.send_if_modified(|known| {
                    let is_other = *known != recipient;
                    *known = recipient;
                    is_other
                });
            } else {
                self.add(target, recipient).await?;
            }
        }
        if is_news {
            self.tell_of_orphans().await?;
            self.told = Some(self.recipients.keys().cloned().collect());
        }
        Ok(())
    }

    /// Says what waits for URLs that no webhook names now: nobody sends it, until a webhook names them again.
    async fn tell_of_orphans(&self) -> Result<(), StoreError> {
        let backlogs = self.means.store.backlogs().await?.into_iter();
        for Backlog { target, waiting, dead: _ } in
            backlogs.filter(|backlog| backlog.waiting > 0 && !self.recipients.contains_key(&backlog.target))
        {
            tracing::warn!(
                app_id = &*target.app_id,
                host = host(&target.url),
                waiting,
                "webhooks wait for a URL that no webhook names now; they become dead letters in their time"
            );
        }
        Ok(())
    }

    async fn add(&mut self, target: Target, recipient: Recipient) -> Result<(), StoreError> {
        let id = self.means.store.target(target.clone()).await?;
        let (sender, receiver) = watch::channel(recipient);
        let door = Arc::new(Notify::new());
        self.doors.lock().unwrap_or_else(PoisonError::into_inner).insert(target.clone(), door.clone());
        self.running.spawn(Worker::new(self.means.clone(), id, receiver, door).run());
        self.recipients.insert(target, sender);
        Ok(())
    }

    async fn count(&self) -> Result<(), StoreError> {
        let waiting = self.means.store.waiting_deliveries().await?;
        self.means.counts.waiting.store(waiting, Ordering::Relaxed);
        Ok(())
    }

    /// Forgets old dead letters, and makes some of what nobody is to be sent any more.
    async fn sweep(&mut self) -> Result<(), StoreError> {
        let now = (self.means.outside.now)();
        let store = &self.means.store;
        store.forget_dead_letters(now.before(KEEP_DEAD)).await?;
        let orphans = store.targets().await?.into_iter();
        for (id, _) in orphans.filter(|(_, target)| !self.recipients.contains_key(target)) {
            bury(&self.means, id, now.before(self.means.retry_for), "no webhook has this URL any more", now)
                .await?;
        }
        Ok(())
    }
}

fn recipients(apps: &[Arc<App>]) -> HashMap<Target, Recipient> {
    let mut recipients = HashMap::new();
    for app in apps {
        for webhook in app.webhooks.iter() {
            let target = Target { app_id: app.id.as_str().into(), url: webhook.url.clone() };
            recipients.insert(target, Recipient { app: app.clone(), webhook: webhook.clone() });
        }
    }
    recipients
}

/// Makes dead letters of all that is older.
pub(crate) async fn bury(
    Means { store, counts, .. }: &Means,
    target: TargetId,
    before: Timestamp,
    reason: &'static str,
    now: Timestamp,
) -> Result<(), StoreError> {
    loop {
        let buried = store.bury_deliveries(target, before, reason, now).await?;
        if buried == 0 {
            return Ok(());
        }
        counts.dead.fetch_add(buried as u64, Ordering::Relaxed);
    }
}
