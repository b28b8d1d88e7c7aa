//! From what happens in channels to what backends are told of it.
//!
//! The hubs note what happens, under their channels' locks and without waiting. One task takes it from there: it leaves
//! out short absences, finds the webhooks that are concerned, puts the events in the store's queue, many with one
//! commit, and wakes the courier.

use std::{
    collections::{HashSet, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use data_encoding::HEXLOWER;
use rustls::ClientConfig;
use tidings_courier::{Courier, Outside, Settings};
use tidings_protocol::{
    App, ChannelName,
    webhook::{ABSENCE, Absences, WebhookEvent, WebhookKind},
};
use tidings_store::{
    SharedStore, StoreError,
    deliveries::{NewDeliveries, NewDelivery, Target, Told, ToldChange},
    time::Timestamp,
};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};

use crate::{clock::Clock, drain::Phase, lock, node::Node, random};

/// Happenings that may wait before whoever causes them does.
const CROWDED: usize = 4096;
/// How many one commit takes.
const GROUP: usize = 512;
/// After a start clients have so long to come back: those who do have not been away.
const RETURN: Duration = Duration::from_secs(30);
/// After an error of the store it is tried again.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// The longest sleep while somebody is away.
const TICK: Duration = Duration::from_secs(1);

/// What webhooks live on.
#[derive(Debug)]
pub struct WebhookParts {
    /// Where the queue is.
    pub store: SharedStore,
    /// How they are sent.
    pub settings: Settings,
    /// Whose certificates are believed.
    pub tls: ClientConfig,
}

/// What has happened in channels and is still to be seen to.
#[derive(Debug, Default)]
pub(crate) struct Happenings {
    /// Somebody sees to it.
    open: AtomicBool,
    waiting: Mutex<VecDeque<Happening>>,
    /// How many wait, to be asked without the lock.
    count: AtomicUsize,
    arrived: Notify,
    room: Notify,
}

#[derive(Debug)]
struct Happening {
    app_id: Arc<str>,
    at: Instant,
    event: WebhookEvent,
}

/// One app's backend: where its hub says what happens.
#[derive(Debug)]
pub(crate) struct Backend {
    app_id: Arc<str>,
    happenings: Arc<Happenings>,
}

impl Backend {
    pub(crate) fn new(app_id: Arc<str>, happenings: Arc<Happenings>) -> Self {
        Backend { app_id, happenings }
    }

    /// Notes what has happened. Never waits; whoever has caused it waits afterwards, by [`Happenings::room`].
    pub(crate) fn tell(&self, at: Instant, event: WebhookEvent) {
        let happenings = &self.happenings;
        if happenings.open.load(Ordering::Relaxed) {
            let mut waiting = lock(&happenings.waiting);
            waiting.push_back(Happening { app_id: self.app_id.clone(), at, event });
            happenings.count.store(waiting.len(), Ordering::Relaxed);
            drop(waiting);
            happenings.arrived.notify_one();
        }
    }
}

impl Happenings {
    /// Whether more wait than may.
    pub(crate) fn is_crowded(&self) -> bool {
        self.count.load(Ordering::Relaxed) > CROWDED
    }

    /// Returns when no more wait than may: at once, most of the time.
    pub(crate) async fn room(&self) {
        while self.is_crowded() {
            let room = self.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            if self.is_crowded() {
                room.await;
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    fn take(&self) -> Vec<Happening> {
        let mut waiting = lock(&self.waiting);
        let count = waiting.len().min(GROUP);
        let taken = waiting.drain(..count).collect();
        self.count.store(waiting.len(), Ordering::Relaxed);
        drop(waiting);
        self.room.notify_waiters();
        taken
    }
}

/// The task that tells backends, and the courier.
#[derive(Debug)]
pub(crate) struct Webhooks {
    stop: watch::Sender<()>,
    running: JoinHandle<()>,
}

impl Webhooks {
    /// Starts both; call it within a runtime.
    pub(crate) fn start(node: &Arc<Node>, parts: WebhookParts) -> Self {
        let WebhookParts { store, settings, tls } = parts;
        node.metrics.follow(&store);
        node.happenings.open.store(true, Ordering::Relaxed);
        let courier =
            Courier::start(store.clone(), &settings, tls, outside(node), node.metrics.webhooks.clone());
        let (stop, stopped) = watch::channel(());
        let end = node.clock.now() + RETURN;
        let teller = Teller { node: node.clone(), store, courier, absences: Absences::default() };
        Webhooks { stop, running: tokio::spawn(teller.run(end, stopped)) }
    }

    /// Returns when all that has happened is in the store's queue, and what is being sent has been answered.
    pub(crate) async fn stop(self) {
        drop(self.stop);
        // A task that panicked has said so.
        let _ = self.running.await;
    }
}

fn outside(node: &Arc<Node>) -> Outside {
    let (apps, clock) = (node.clone(), node.clock.clone());
    Outside {
        apps: Arc::new(move || apps.apps.all().iter().map(|live| live.app()).collect()),
        now: Arc::new(move || now(&clock)),
        random: || u32::from_ne_bytes(random::bytes()),
    }
}

fn now(clock: &Clock) -> Timestamp {
    Timestamp::from_unix(clock.unix())
}

struct Teller {
    node: Arc<Node>,
    store: SharedStore,
    courier: Courier,
    absences: Absences<Told>,
}

impl Teller {
    /// Tells, until the server stops; who is not back at `end` has not come back from the last time.
    async fn run(mut self, end: Instant, mut stopped: watch::Receiver<()>) {
        if self.expect_back(end, &mut stopped).await {
            while self.turn().await && self.wait(&mut stopped).await {}
        }
        self.courier.stop().await;
    }

    /// Takes what has happened up to now; false if the store is no more.
    async fn turn(&mut self) -> bool {
        loop {
            // Before the happenings are taken: of what was noted before now, none is missed.
            let now = self.node.clock.now();
            let happenings = self.node.happenings.take();
            let is_all = happenings.len() < GROUP;
            let mut new = NewDeliveries::default();
            for happening in happenings {
                if !self.end_absences(happening.at, &mut new).await {
                    return false;
                }
                self.take(happening, &mut new);
            }
            if is_all && !self.end_absences(now, &mut new).await {
                return false;
            }
            let is_put = self.put(new).await;
            if is_all || !is_put {
                return is_put;
            }
        }
    }

    /// Of whom an earlier process has told that they are there: they are away from then on, unless they come back
    /// before `end`. False if the server stops.
    async fn expect_back(&mut self, end: Instant, stopped: &mut watch::Receiver<()>) -> bool {
        loop {
            match self.store.told().await {
                Ok(told) => {
                    for who in told {
                        self.absences.went(who, end);
                    }
                    return true;
                }
                Err(error) => {
                    tracing::error!(%error, "what backends were told cannot be read; it is tried again");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(STORE_PAUSE) => {}
                _ = stopped.changed() => return false,
            }
        }
    }

    /// Returns when there is something to do; false once the server stops and all is done.
    async fn wait(&self, stopped: &mut watch::Receiver<()>) -> bool {
        let happenings = &self.node.happenings;
        if stopped.has_changed().is_err() {
            return !happenings.is_empty();
        }
        let absence_ends = async {
            match self.absences.next() {
                Some(end) if !self.is_closing() => {
                    let pause = end.saturating_duration_since(self.node.clock.now());
                    self.node.clock.tick(pause.min(TICK)).await;
                }
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            () = happenings.arrived.notified() => {}
            () = absence_ends => {}
            _ = stopped.changed() => {}
        }
        true
    }

    /// Takes one thing that has happened.
    fn take(&mut self, Happening { app_id, at, event }: Happening, new: &mut NewDeliveries) {
        let Some(app) = self.app(&app_id) else { return };
        if !is_of_concern(&app, &event) {
            return;
        }
        match &event {
            WebhookEvent::ChannelOccupied { .. } | WebhookEvent::MemberAdded { .. } => {
                let who = told(&app_id, &event);
                if !self.absences.back(&who) {
                    tell(&app, &event, new);
                    new.told.push(ToldChange::Came(who));
                }
            }
            WebhookEvent::ChannelVacated { .. } | WebhookEvent::MemberRemoved { .. } => {
                self.absences.went(told(&app_id, &event), at + ABSENCE);
            }
            WebhookEvent::ClientEvent { .. }
            | WebhookEvent::CacheMiss { .. }
            | WebhookEvent::SubscriptionCount { .. } => tell(&app, &event, new),
        }
    }

    fn app(&self, id: &str) -> Option<Arc<App>> {
        self.node.apps.by_id(id).map(|live| live.app())
    }

    /// Whether nobody can come back here: who goes is told gone by the next start, unless it sees them come back.
    fn is_closing(&self) -> bool {
        self.node.phase() >= Phase::Closing
    }

    /// Tells of those who were away for too long, of not too many with one commit; false if the store is no more.
    async fn end_absences(&mut self, now: Instant, new: &mut NewDeliveries) -> bool {
        if self.is_closing() {
            return true;
        }
        while let Some(who) = self.absences.over(now) {
            if let Some((app_id, event)) = gone(&who)
                && let Some(app) = self.app(&app_id)
            {
                tell(&app, &event, new);
            }
            new.told.push(ToldChange::Went(who));
            if new.told.len() >= GROUP && !self.put(std::mem::take(new)).await {
                return false;
            }
        }
        true
    }

    /// Puts it in the queue, however long the store takes; false if that is no more.
    async fn put(&self, new: NewDeliveries) -> bool {
        if new.events.is_empty() && new.told.is_empty() {
            return true;
        }
        let new = Arc::new(new);
        loop {
            match self.store.add_deliveries(new.clone(), now(&self.node.clock)).await {
                Ok(()) => break,
                Err(StoreError::Stopped) => return false,
                Err(error) => {
                    tracing::error!(%error, "webhooks cannot be stored; what causes them waits");
                    tokio::time::sleep(STORE_PAUSE).await;
                }
            }
        }
        let targets: HashSet<&Target> = new.events.iter().map(|event| &event.target).collect();
        self.courier.wake(targets);
        true
    }
}

/// Whether one of the app's webhooks wants it, or what belongs to it.
fn is_of_concern(app: &App, event: &WebhookEvent) -> bool {
    let (kind, channel) = (event.kind(), event.channel());
    let counterpart = counterpart(kind);
    app.webhooks.iter().any(|webhook| webhook.wants(kind, channel) || webhook.wants(counterpart, channel))
}

/// Adds what is to be sent of an event.
fn tell(app: &App, event: &WebhookEvent, new: &mut NewDeliveries) {
    let (kind, channel) = (event.kind(), event.channel());
    let event_id = HEXLOWER.encode(&random::bytes::<16>());
    for webhook in app.webhooks.iter().filter(|webhook| webhook.wants(kind, channel)) {
        new.events.push(NewDelivery {
            target: Target { app_id: app.id.as_str().into(), url: webhook.url.clone() },
            lane: channel.to_string(),
            event_id: event_id.clone(),
            event: kind.name(),
            body: event.encode(&event_id),
        });
    }
}

/// Whom an event that comes in pairs is about.
fn told(app_id: &Arc<str>, event: &WebhookEvent) -> Told {
    let (app_id, channel) = (app_id.clone(), event.channel().to_string());
    match event {
        WebhookEvent::MemberAdded { user_id, .. } | WebhookEvent::MemberRemoved { user_id, .. } => {
            Told::Member { app_id, channel, user_id: user_id.clone() }
        }
        WebhookEvent::ChannelOccupied { .. }
        | WebhookEvent::ChannelVacated { .. }
        | WebhookEvent::ClientEvent { .. }
        | WebhookEvent::CacheMiss { .. }
        | WebhookEvent::SubscriptionCount { .. } => Told::Channel { app_id, channel },
    }
}

/// The app, and what it is told of somebody who is gone.
fn gone(who: &Told) -> Option<(Arc<str>, WebhookEvent)> {
    Some(match who {
        Told::Channel { app_id, channel } => {
            (app_id.clone(), WebhookEvent::ChannelVacated { channel: ChannelName::parse(channel).ok()? })
        }
        Told::Member { app_id, channel, user_id } => {
            let (channel, user_id) = (ChannelName::parse(channel).ok()?, user_id.clone());
            (app_id.clone(), WebhookEvent::MemberRemoved { channel, user_id })
        }
    })
}

/// The other kind of a pair; itself, where there is none.
fn counterpart(kind: WebhookKind) -> WebhookKind {
    match kind {
        WebhookKind::ChannelOccupied => WebhookKind::ChannelVacated,
        WebhookKind::ChannelVacated => WebhookKind::ChannelOccupied,
        WebhookKind::MemberAdded => WebhookKind::MemberRemoved,
        WebhookKind::MemberRemoved => WebhookKind::MemberAdded,
        WebhookKind::ClientEvent | WebhookKind::CacheMiss | WebhookKind::SubscriptionCount => kind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    async fn whoever_causes_too_much_waits_and_nothing_is_lost() {
        let happenings = Arc::<Happenings>::default();
        let backend = Backend::new("1".into(), happenings.clone());
        let tell = |count: usize| {
            for _ in 0..count {
                let channel = ChannelName::parse("room").expect("a name");
                backend.tell(Instant::now(), WebhookEvent::CacheMiss { channel });
            }
        };
        tell(1);
        assert!(happenings.take().is_empty(), "nobody sees to it");
        happenings.open.store(true, Ordering::Relaxed);
        tell(CROWDED);
        happenings.room().await;
        tell(1);
        assert!(happenings.is_crowded());
        let waiting = tokio::spawn({
            let happenings = happenings.clone();
            async move { happenings.room().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        let mut taken = happenings.take().len();
        waiting.await.expect("there is room");
        while !happenings.is_empty() {
            taken += happenings.take().len();
        }
        assert_eq!(taken, CROWDED + 1);
    }
}
