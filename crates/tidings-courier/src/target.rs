//! The worker of one target: reads what is due, sends it, notes what came of it.

use std::{
    iter,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, StatusCode, Uri, header};
use tidings_protocol::{
    auth::webhook::{KEY_HEADER, SIGNATURE_HEADER, sign},
    webhook::{Batching, payload},
};
use tidings_store::{
    StoreError,
    deliveries::{Delivery, Failed, First, Lane, Portion, Settled, TargetId, Then},
    time::Timestamp,
};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::Instant,
};

use crate::{
    client::PostError,
    courier::{self, Means, Recipient},
    pace::{Breaker, May, Trouble},
};

/// Requests under way at a time.
const REQUESTS: usize = 8;
/// Deliveries that are read of a lane at a time.
const RUN: u32 = 32;
/// What was taken is noted after so long, though more of the lane has been read.
const RUN_TIME: Duration = Duration::from_millis(500);
/// Lanes that may share a request where requests may carry several events.
const BATCH_LANES: usize = 64;
/// Events of a request at most.
const BATCH: usize = 128;
/// Bytes that are read at a time, and so of a request.
const BYTES: usize = 512 * 1024;
/// Without being woken it is looked so often: the command line may have replayed something.
const IDLE: Duration = Duration::from_secs(2);
/// After an error of the store it is tried again.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// The longest that a target may ask to be left alone.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);
const USER_AGENT: &str = concat!("Tidings/", env!("CARGO_PKG_VERSION"));

/// The worker.
pub(crate) struct Worker {
    means: Means,
    id: TargetId,
    recipient: watch::Receiver<Recipient>,
    door: Arc<Notify>,
    breaker: Breaker,
    trouble: Trouble,
    /// Requests under way, and the lanes that they are of.
    sending: JoinSet<Report>,
    served: Vec<String>,
}

/// What is sent together, or one after the other.
#[derive(Debug)]
enum Parcel {
    /// A request for each delivery of one lane.
    OneByOne(Lane),
    /// One request.
    Together(Vec<Lane>),
}

/// What came of a parcel, noted already.
struct Report {
    lanes: Vec<String>,
    /// It has what had failed before.
    is_retry: bool,
    failure: Option<Failure>,
    /// When what was not taken is due again, unless it is a dead letter.
    again: Option<Timestamp>,
}

#[derive(Clone, Debug)]
struct Failure {
    error: String,
    /// The target is gone for good.
    is_final: bool,
    /// Until when the target asks to be left alone.
    asked: Option<Timestamp>,
}

impl Worker {
    pub(crate) fn new(
        means: Means,
        id: TargetId,
        recipient: watch::Receiver<Recipient>,
        door: Arc<Notify>,
    ) -> Self {
        let (breaker, trouble) = (Breaker::default(), Trouble::default());
        let (sending, served) = (JoinSet::new(), Vec::new());
        Worker { means, id, recipient, door, breaker, trouble, sending, served }
    }

    /// Works until nobody says any more to whom; then finishes what is under way.
    pub(crate) async fn run(mut self) {
        loop {
            let pause = self.begin().await.unwrap_or_else(|error| {
                tracing::error!(%error, "webhooks that are due cannot be read; it is tried again");
                STORE_PAUSE
            });
            tokio::select! {
                Some(done) = self.sending.join_next() => self.note(done.ok()).await,
                () = self.door.notified() => {}
                changed = self.recipient.changed() => if changed.is_err() { break },
                () = tokio::time::sleep(pause) => {}
            }
        }
        while let Some(done) = self.sending.join_next().await {
            self.note(done.ok()).await;
        }
    }

    /// Sends what is due, as far as there is room for; how long to rest then.
    async fn begin(&mut self) -> Result<Duration, StoreError> {
        let now = (self.means.outside.now)();
        let (room, first) = match self.breaker.may(now) {
            May::Send => (REQUESTS.saturating_sub(self.sending.len()), First::LongestDue),
            May::Probe => (1_usize.saturating_sub(self.sending.len()), First::LeastTried),
            May::Rest(until) => return Ok(span(now, until)),
        };
        if room == 0 {
            return Ok(IDLE);
        }
        let batching = self.recipient.borrow().webhook.batching;
        let lanes = match (batching, first) {
            (Batching::Several, First::LongestDue) => BATCH_LANES,
            (Batching::Several, First::LeastTried) | (Batching::Single, _) => room,
        };
        let portion = Portion { lanes, per_lane: RUN, bytes: BYTES };
        let due = self.means.store.due_deliveries(self.id, self.served.clone(), first, portion, now).await?;
        for parcel in parcels(due.lanes, batching).into_iter().take(room) {
            self.served.extend(parcel.lanes().map(|lane| lane.name.clone()));
            let recipient = self.recipient.borrow().clone();
            self.sending.spawn(Errand { means: self.means.clone(), id: self.id, recipient }.run(parcel));
        }
        Ok(due.next.map_or(IDLE, |next| span(now, next)).min(IDLE))
    }

    /// Takes note of a parcel's end; without a report its task has panicked, and no lane is served any more.
    async fn note(&mut self, report: Option<Report>) {
        let Some(Report { lanes, is_retry, failure, again }) = report else {
            self.sending.shutdown().await;
            self.served.clear();
            return;
        };
        self.served.retain(|lane| !lanes.contains(lane));
        let now = (self.means.outside.now)();
        let noted = match failure {
            None => self.succeeded(is_retry, now).await,
            Some(failure) => self.failed(&failure, again, now).await,
        };
        if let Err(error) = noted {
            // It is due in its own time.
            tracing::error!(%error, "the queue of webhooks cannot be written");
        }
    }

    async fn succeeded(&mut self, is_retry: bool, now: Timestamp) -> Result<(), StoreError> {
        let has_rested = self.breaker.succeeded();
        // What is new says nothing of a channel that is stuck.
        if (has_rested || is_retry) && self.trouble.ends() {
            tracing::info!(app_id = self.app_id(), host = self.host(), "a receiver takes webhooks again");
        }
        if has_rested { self.means.store.hurry_deliveries(self.id, now).await } else { Ok(()) }
    }

    async fn failed(
        &mut self,
        failure: &Failure,
        again: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let draw = (self.means.outside.random)();
        self.breaker.failed(now, failure.asked, self.means.targets, draw);
        let rest = match self.breaker.may(now) {
            May::Rest(until) => Some(until),
            May::Send | May::Probe => None,
        };
        if self.trouble.begins(now) {
            tracing::warn!(
                app_id = self.app_id(),
                host = self.host(),
                error = failure.error,
                again_at = again.max(again.and(rest)).map(tracing::field::display),
                "a receiver does not take webhooks"
            );
        }
        if again.is_none() && rest.is_none() {
            // What was not taken is no more: nothing of it will say that the trouble is over.
            self.trouble.ends();
        }
        if rest.is_some() {
            // It has taken nothing for a while: what is too old is not asked for one by one.
            let before = now.before(self.means.retry_for);
            courier::bury(&self.means, self.id, before, "the receiver took nothing for too long", now)
                .await?;
        }
        Ok(())
    }

    fn app_id(&self) -> String {
        self.recipient.borrow().app.id.clone()
    }

    fn host(&self) -> String {
        host(&self.recipient.borrow().webhook.url)
    }
}

/// A URL without its path, which may hold a secret; the port, where it is not the scheme's own.
pub(crate) fn host(url: &str) -> String {
    let Ok(uri) = url.parse::<Uri>() else { return String::new() };
    let own = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    let host = uri.host().unwrap_or_default();
    match uri.port_u16().filter(|port| *port != own) {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

impl Parcel {
    fn lanes(&self) -> impl Iterator<Item = &Lane> {
        match self {
            Parcel::OneByOne(lane) => std::slice::from_ref(lane).iter(),
            Parcel::Together(lanes) => lanes.iter(),
        }
    }
}

/// How lanes are sent. What failed in company is sent alone: one bad event holds up its own lane.
fn parcels(lanes: Vec<Lane>, batching: Batching) -> Vec<Parcel> {
    if batching == Batching::Single {
        return lanes.into_iter().map(Parcel::OneByOne).collect();
    }
    let (fresh, tried): (Vec<_>, Vec<_>) =
        lanes.into_iter().partition(|lane| lane.deliveries[0].attempts == 0);
    let mut room = BATCH;
    let mut together = Vec::new();
    for mut lane in fresh {
        if room == 0 {
            break;
        }
        lane.deliveries.truncate(room);
        room -= lane.deliveries.len();
        together.push(lane);
    }
    let tried = tried.into_iter().map(|lane| Parcel::Together(vec![lane]));
    iter::once(Parcel::Together(together))
        .filter(|parcel| parcel.lanes().next().is_some())
        .chain(tried)
        .collect()
}

/// A parcel on its way.
struct Errand {
    means: Means,
    id: TargetId,
    recipient: Recipient,
}

impl Errand {
    async fn run(self, parcel: Parcel) -> Report {
        let lanes = parcel.lanes().map(|lane| lane.name.clone()).collect();
        let is_retry =
            parcel.lanes().any(|lane| lane.deliveries.first().is_some_and(|first| first.attempts > 0));
        let (settled, failure) = match parcel {
            Parcel::OneByOne(lane) => {
                let (settled, failure) = self.one_by_one(lane).await;
                (vec![settled], failure)
            }
            Parcel::Together(lanes) => self.together(lanes).await,
        };
        let again = settled.iter().filter_map(|lane| match lane.failed.as_ref()?.then {
            Then::Retry { at } => Some(at),
            Then::Die => None,
        });
        let again = again.min();
        self.settle(settled).await;
        Report { lanes, is_retry, failure, again }
    }

    async fn one_by_one(&self, lane: Lane) -> (Settled, Option<Failure>) {
        let end = Instant::now() + RUN_TIME;
        let mut settled = Settled { lane: lane.name, taken: Vec::new(), failed: None };
        for delivery in lane.deliveries {
            if let Err(failure) = self.post(&[&delivery.body]).await {
                settled.failed = Some(self.fate(&delivery, &failure));
                return (settled, Some(failure));
            }
            settled.taken.push(delivery.id);
            if Instant::now() >= end {
                break;
            }
        }
        (settled, None)
    }

    async fn together(&self, lanes: Vec<Lane>) -> (Vec<Settled>, Option<Failure>) {
        let bodies: Vec<&str> =
            lanes.iter().flat_map(|lane| &lane.deliveries).map(|delivery| delivery.body.as_str()).collect();
        let failure = self.post(&bodies).await.err();
        let settled = lanes.into_iter().map(|Lane { name, deliveries }| match &failure {
            None => {
                let taken = deliveries.iter().map(|delivery| delivery.id).collect();
                Settled { lane: name, taken, failed: None }
            }
            Some(failure) => {
                let failed = deliveries.first().map(|delivery| self.fate(delivery, failure));
                Settled { lane: name, taken: Vec::new(), failed }
            }
        });
        (settled.collect(), failure)
    }

    async fn post(&self, events: &[&str]) -> Result<(), Failure> {
        let Recipient { app, webhook } = &self.recipient;
        // The libraries refuse what was signed long ago.
        let body = payload((self.means.outside.now)().ms(), events.iter().copied());
        let mut request = Request::post(&*webhook.url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, USER_AGENT)
            .header(KEY_HEADER, &app.key)
            .header(SIGNATURE_HEADER, sign(app, &body));
        for (name, value) in &webhook.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(body)));
        let request = request.map_err(|error| PostError::Unreachable(error.to_string()));
        let sent = match request {
            Ok(request) => self.send(request).await,
            Err(error) => Err(error),
        };
        sent.map_err(|error| self.failure(&error))
    }

    /// Sends it, and counts how long that took.
    async fn send(&self, request: Request<Full<Bytes>>) -> Result<(), PostError> {
        let started = Instant::now();
        let sent = self.means.client.send(request).await;
        let counts = &self.means.counts;
        let seconds = if sent.is_ok() { &counts.taken_seconds } else { &counts.failed_seconds };
        seconds.lock().unwrap_or_else(PoisonError::into_inner).add(started.elapsed().as_secs_f64());
        sent
    }

    fn failure(&self, error: &PostError) -> Failure {
        let (is_final, asked) = match error {
            PostError::Status { status, retry_after } => {
                let asked = retry_after.as_deref().and_then(|text| self.asked(text));
                (*status == StatusCode::GONE, asked)
            }
            PostError::Forbidden(_)
            | PostError::Unreachable(_)
            | PostError::Untrusted
            | PostError::Late(_) => (false, None),
        };
        Failure { error: error.to_string(), is_final, asked }
    }

    /// The time that a `Retry-After` means, in seconds or as a date.
    fn asked(&self, text: &str) -> Option<Timestamp> {
        let now = (self.means.outside.now)();
        let at = if let Ok(seconds) = text.trim().parse() {
            now.after(Duration::from_secs(seconds))
        } else {
            let date = httpdate::parse_http_date(text).ok()?;
            Timestamp::from_unix(date.duration_since(SystemTime::UNIX_EPOCH).ok()?)
        };
        (at > now).then(|| at.min(now.after(RETRY_AFTER_MAX.min(self.means.retry_for))))
    }

    /// What becomes of a delivery that was not taken.
    fn fate(&self, delivery: &Delivery, failure: &Failure) -> Failed {
        let now = (self.means.outside.now)();
        let is_old = delivery.queued_at.after(self.means.retry_for) <= now;
        let then = if is_old || failure.is_final {
            tracing::warn!(
                app_id = self.recipient.app.id,
                delivery = delivery.id,
                error = failure.error,
                "a webhook has become a dead letter; `tidings webhooks replay` sends it again"
            );
            Then::Die
        } else {
            let wait = self.means.lanes.after(delivery.attempts + 1, (self.means.outside.random)());
            Then::Retry { at: now.after(wait).max(failure.asked.unwrap_or(now)) }
        };
        Failed { id: delivery.id, error: failure.error.clone(), then }
    }

    /// Notes what has become of it, however long the store takes: else it would be sent again.
    async fn settle(&self, settled: Vec<Settled>) {
        loop {
            let now = (self.means.outside.now)();
            match self.means.store.settle_deliveries(self.id, settled.clone(), now).await {
                Ok(()) => return self.count(&settled),
                Err(StoreError::Stopped) => return,
                Err(error) => {
                    tracing::error!(%error, "what has become of webhooks cannot be written; it is tried again");
                    tokio::time::sleep(STORE_PAUSE).await;
                }
            }
        }
    }

    fn count(&self, settled: &[Settled]) {
        let counts = &self.means.counts;
        for lane in settled {
            counts.taken.fetch_add(lane.taken.len() as u64, Ordering::Relaxed);
            if let Some(failed) = &lane.failed {
                let count = match failed.then {
                    Then::Retry { .. } => &counts.failed,
                    Then::Die => &counts.dead,
                };
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn span(from: Timestamp, to: Timestamp) -> Duration {
    Duration::from_millis((to.ms() - from.ms()).max(0).unsigned_abs())
}
