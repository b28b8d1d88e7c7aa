//! The courier against receivers that are down, slow, broken or mean.

use std::{
    cell::Cell,
    convert::Infallible,
    env, fs,
    net::SocketAddr,
    path::PathBuf,
    process,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    HeaderMap, Request, Response,
    body::{Frame, Incoming},
    header,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tidings_protocol::{
    App,
    app::{AppSecret, Features, Limits},
    auth,
    origin::AllowedOrigins,
    webhook::{Batching, ChannelFilter, Interest, Webhook, WebhookKinds, Webhooks},
};
use tidings_store::{
    SharedStore,
    deliveries::{Backlog, DeliveryState, NewDeliveries, NewDelivery, Replay, StoredDelivery, Target},
    time::Timestamp,
};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle, time::timeout};

use crate::{Counts, Courier, Outside, Settings, client::Client, courier::Means, pace::Pace};

/// Whatever a test waits for comes within this, or the test has failed.
const DEADLINE: Duration = Duration::from_secs(20);

/// What a receiver does with a request.
#[derive(Clone, Debug)]
enum Manner {
    Answer(u16),
    RetryAfter(&'static str),
    Redirect(String),
    Hang,
    Endless,
}

/// Receivers here speak plain HTTP.
fn nobody_believed() -> ClientConfig {
    ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth()
}

type Manners = Arc<Mutex<Box<dyn FnMut(&str) -> Manner + Send>>>;

/// A receiver on a port of its own.
struct Receiver {
    address: SocketAddr,
    manners: Manners,
    requests: mpsc::Receiver<(HeaderMap, String)>,
    task: Option<JoinHandle<()>>,
    sender: mpsc::Sender<(HeaderMap, String)>,
}

impl Receiver {
    async fn start(manner: impl FnMut(&str) -> Manner + Send + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (sender, requests) = mpsc::channel(10_000);
        let manners: Manners = Arc::new(Mutex::new(Box::new(manner)));
        let task = Some(tokio::spawn(receive(listener, manners.clone(), sender.clone())));
        Receiver { address, manners, requests, task, sender }
    }

    fn behave(&self, manner: impl FnMut(&str) -> Manner + Send + 'static) {
        *self.manners.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(manner);
    }

    /// Nobody listens at its address any more.
    async fn down(&mut self) {
        let task = self.task.take().expect("it is up");
        task.abort();
        assert!(task.await.expect_err("it was aborted").is_cancelled());
    }

    async fn up(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("its port");
        self.task = Some(tokio::spawn(receive(listener, self.manners.clone(), self.sender.clone())));
    }

    async fn next(&mut self) -> (HeaderMap, String) {
        timeout(DEADLINE, self.requests.recv()).await.expect("a request in time").expect("the sender is here")
    }

    /// The names of the events of the next request.
    async fn events(&mut self) -> Vec<String> {
        let (_, body) = self.next().await;
        let (_, events) = body.split_once("\"events\":[").expect("events");
        events.split('"').filter(|part| part.starts_with('e')).map(str::to_owned).collect()
    }

    fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn receive(listener: TcpListener, manners: Manners, sender: mpsc::Sender<(HeaderMap, String)>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (manners, sender) = (manners.clone(), sender.clone());
        let service = service_fn(move |request| answer(request, manners.clone(), sender.clone()));
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(
    request: Request<Incoming>,
    manners: Manners,
    sender: mpsc::Sender<(HeaderMap, String)>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = String::from_utf8(body.collect().await?.to_bytes().into()).expect("UTF-8");
    let manner = (manners.lock().unwrap_or_else(PoisonError::into_inner))(&body);
    let _ = sender.send((head.headers, body)).await;
    let answer = match manner {
        Manner::Answer(status) => Response::builder().status(status),
        Manner::RetryAfter(text) => Response::builder().status(503).header(header::RETRY_AFTER, text),
        Manner::Redirect(to) => Response::builder().status(302).header(header::LOCATION, to),
        Manner::Hang => std::future::pending().await,
        Manner::Endless => {
            let (chunks, body) = mpsc::channel(1);
            tokio::spawn(async move {
                let chunk = Bytes::from(vec![b' '; 64 * 1024]);
                while chunks.send(Ok(Frame::data(chunk.clone()))).await.is_ok() {}
            });
            return Ok(Response::new(BodyExt::boxed(StreamBody::new(Chunks(body)))));
        }
    };
    Ok(answer.body(BodyExt::boxed(Full::default())).expect("an answer"))
}

struct Chunks(mpsc::Receiver<Result<Frame<Bytes>, Infallible>>);

impl futures_util::Stream for Chunks {
    type Item = Result<Frame<Bytes>, Infallible>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

/// A store of this test's own, and a courier on it.
struct House {
    directory: PathBuf,
    store: SharedStore,
    settings: Settings,
    pace: Pace,
    webhooks: Vec<Webhook>,
    /// What the courier is told that there is.
    apps: Arc<Mutex<Vec<Arc<App>>>>,
    courier: Option<Courier>,
    counts: Arc<Counts>,
}

impl House {
    fn new(name: &str, urls: &[&str]) -> Self {
        // Before anything is logged.
        LazyLock::force(&LOG);
        let directory = env::temp_dir().join(format!("tidings-courier-{}-{name}", process::id()));
        let _ = fs::remove_dir_all(&directory);
        let settings = Settings {
            allow: vec!["127.0.0.0/8".parse().expect("a network")],
            timeout: Duration::from_millis(300),
            ..Settings::default()
        };
        let webhook = |url: &&str| Webhook {
            url: (*url).into(),
            interests: vec![Interest { kinds: WebhookKinds::all(), channels: ChannelFilter::default() }],
            headers: vec![("X-Own".to_owned(), "yes".to_owned())],
            batching: Batching::Single,
        };
        let store = SharedStore::beside(&directory).expect("a store");
        House {
            directory,
            store,
            settings,
            pace: Pace { first: Duration::from_millis(20), most: Duration::from_millis(100) },
            webhooks: urls.iter().map(webhook).collect(),
            apps: Arc::default(),
            courier: None,
            counts: Arc::default(),
        }
    }

    fn batching(mut self) -> Self {
        self.webhooks.iter_mut().for_each(|webhook| webhook.batching = Batching::Several);
        self
    }

    fn start(&mut self) {
        *lock(&self.apps) = vec![Arc::new(app(self.webhooks.clone()))];
        let apps = self.apps.clone();
        self.courier = Some(Courier::start_with(Means {
            store: self.store.clone(),
            client: Client::new(&self.settings, nobody_believed()),
            outside: Outside {
                apps: Arc::new(move || lock(&apps).clone()),
                now: Arc::new(now),
                random: draw,
            },
            retry_for: self.settings.retry_for,
            lanes: self.pace,
            targets: self.pace,
            counts: self.counts.clone(),
        }));
    }

    /// Puts events for all targets in the queue, each as its lane and its name.
    async fn add(&self, events: &[(&str, &str)]) {
        let targets: Vec<Target> = self
            .webhooks
            .iter()
            .map(|webhook| Target { app_id: "1".into(), url: webhook.url.clone() })
            .collect();
        let new = events.iter().flat_map(|(lane, event)| {
            targets.iter().map(move |target| NewDelivery {
                target: target.clone(),
                lane: (*lane).to_owned(),
                event_id: String::new(),
                event: "client_event",
                body: format!("\"{event}\""),
            })
        });
        let new = NewDeliveries { events: new.collect(), told: Vec::new() };
        self.store.add_deliveries(Arc::new(new), now()).await.expect("added");
        if let Some(courier) = &self.courier {
            courier.wake(&targets);
        }
    }

    /// Waits until the queue is as it should be.
    async fn until(&self, is_so: impl Fn(&[Backlog]) -> bool) {
        let wait = async {
            while !is_so(&self.store.backlogs().await.expect("read")) {
                tokio::task::yield_now().await;
            }
        };
        timeout(DEADLINE, wait).await.expect("the queue changes in time");
    }

    async fn kept(&self, state: DeliveryState) -> Vec<StoredDelivery> {
        self.store.deliveries(state, None, None, 100).await.expect("read")
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn app(webhooks: Vec<Webhook>) -> App {
    App {
        id: "1".to_owned(),
        key: "key".to_owned(),
        secret: AppSecret::new("secret"),
        enabled: true,
        features: Features::default(),
        allowed_origins: AllowedOrigins::default(),
        limits: Limits::default(),
        webhooks: Webhooks::new(webhooks),
    }
}

fn now() -> Timestamp {
    Timestamp::from_unix(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_empty(backlogs: &[Backlog]) -> bool {
    backlogs.is_empty()
}

#[tokio::test]
async fn a_request_is_as_pushers() {
    let mut receiver = Receiver::start(|_| Manner::Answer(204)).await;
    let mut house = House::new("request", &[&receiver.url()]);
    house.start();
    house.add(&[("a", "e1")]).await;
    let (headers, body) = receiver.next().await;
    let header = |name: &str| headers.get(name).map(|value| value.to_str().expect("text").to_owned());
    assert_eq!(header("content-type").as_deref(), Some("application/json"));
    assert_eq!(header("x-pusher-key").as_deref(), Some("key"));
    assert_eq!(header("x-pusher-signature"), Some(auth::webhook::sign(&app(Vec::new()), &body)));
    assert_eq!(header("x-own").as_deref(), Some("yes"));
    assert!(body.starts_with("{\"time_ms\":") && body.ends_with(",\"events\":[\"e1\"]}"), "{body}");
    house.until(is_empty).await;
}

#[tokio::test]
async fn all_arrives_in_order_at_each_target() {
    let mut receivers =
        [Receiver::start(|_| Manner::Answer(200)).await, Receiver::start(|_| Manner::Answer(200)).await];
    let urls = receivers.each_ref().map(Receiver::url);
    let mut house = House::new("order", &urls.each_ref().map(String::as_str));
    let events: Vec<(String, String)> = (0..200).map(|n| (format!("c{}", n % 7), format!("e{n}"))).collect();
    let events: Vec<(&str, &str)> =
        events.iter().map(|(lane, event)| (lane.as_str(), event.as_str())).collect();
    house.add(&events).await;
    house.start();
    for receiver in &mut receivers {
        let mut last = [None; 7];
        for _ in 0..200 {
            let n: usize = receiver.events().await[0][1..].parse().expect("a number");
            assert!(last[n % 7] < Some(n), "e{n} after {last:?}");
            last[n % 7] = Some(n);
        }
    }
    house.until(is_empty).await;
}

#[tokio::test]
async fn a_receiver_that_was_down_gets_it_when_it_is_back() {
    let mut receiver = Receiver::start(|_| Manner::Answer(200)).await;
    receiver.down().await;
    let mut house = House::new("down", &[&receiver.url()]);
    house.start();
    house.add(&[("a", "e1"), ("a", "e2")]).await;
    let deadline = async {
        while house.kept(DeliveryState::Waiting).await.iter().all(|waiting| waiting.attempts < 6) {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, deadline).await.expect("it is tried again and again");
    receiver.up().await;
    assert_eq!([receiver.events().await, receiver.events().await], [["e1"], ["e2"]]);
    house.until(is_empty).await;
}

#[tokio::test]
async fn an_error_holds_up_its_channel_and_no_other() {
    let mut receiver =
        Receiver::start(|body| Manner::Answer(if body.contains("e-bad") { 500 } else { 200 })).await;
    let mut house = House::new("poison", &[&receiver.url()]);
    house.start();
    house.add(&[("bad", "e-bad"), ("bad", "e-behind"), ("good", "e1"), ("good", "e2")]).await;
    let mut seen = Vec::new();
    while !seen.contains(&"e2".to_owned()) {
        seen.extend(receiver.events().await);
    }
    assert!(!seen.contains(&"e-behind".to_owned()));
    receiver.behave(|_| Manner::Answer(200));
    while !seen.contains(&"e-behind".to_owned()) {
        seen.extend(receiver.events().await);
    }
    house.until(is_empty).await;
}

#[tokio::test]
async fn a_slow_receiver_holds_up_nobody_else() {
    let mut slow = Receiver::start(|_| Manner::Hang).await;
    let mut quick = Receiver::start(|_| Manner::Answer(200)).await;
    let mut house = House::new("slow", &[&slow.url(), &quick.url()]);
    house.settings.timeout = Duration::from_millis(500);
    house.start();
    let events: Vec<String> = (0..50).map(|n| format!("e{n}")).collect();
    let events: Vec<(&str, &str)> = events.iter().map(|event| (event.as_str(), event.as_str())).collect();
    house.add(&events).await;
    slow.next().await;
    for _ in 0..50 {
        quick.next().await;
    }
    house.until(|backlogs| backlogs.len() == 1 && backlogs[0].waiting == 50).await;
    slow.behave(|_| Manner::Answer(200));
    house.until(is_empty).await;
    let error = "no answer within 500 ms";
    assert_eq!(crate::client::PostError::Late(house.settings.timeout).to_string(), error);
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let canary = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let to = format!("http://{}/", canary.local_addr().expect("it is bound"));
    let mut receiver = Receiver::start(move |_| Manner::Redirect(to.clone())).await;
    let mut house = House::new("redirect", &[&receiver.url()]);
    house.start();
    house.add(&[("a", "e1")]).await;
    receiver.next().await;
    receiver.next().await;
    receiver.behave(|_| Manner::Answer(200));
    house.until(is_empty).await;
    assert!(timeout(Duration::ZERO, canary.accept()).await.is_err(), "nothing was fetched from there");
}

#[tokio::test]
async fn an_endless_answer_is_read_no_further() {
    let mut receiver = Receiver::start(|_| Manner::Endless).await;
    let mut house = House::new("endless", &[&receiver.url()]);
    house.start();
    house.add(&[("a", "e1"), ("a", "e2")]).await;
    assert_eq!([receiver.events().await, receiver.events().await], [["e1"], ["e2"]]);
    house.until(is_empty).await;
}

#[tokio::test]
async fn inner_addresses_are_not_connected_to() {
    let canary = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let port = canary.local_addr().expect("it is bound").port();
    let hosts = [
        "127.0.0.1",
        "localhost",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "0.0.0.0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
    ];
    let urls = hosts.map(|host| format!("http://{host}:{port}/"));
    let mut house = House::new("inner", &urls.each_ref().map(String::as_str));
    house.settings.allow.clear();
    house.start();
    house.add(&[("a", "e1")]).await;
    let tried = async {
        while house.kept(DeliveryState::Waiting).await.iter().any(|waiting| waiting.attempts < 2) {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, tried).await.expect("each is tried twice");
    for waiting in house.kept(DeliveryState::Waiting).await {
        let error = waiting.last_error.expect("an error");
        assert!(
            error.contains("[outbound] allow") || error.contains("lookup"),
            "{}: {error}",
            waiting.target.url
        );
    }
    assert!(timeout(Duration::ZERO, canary.accept()).await.is_err(), "nobody has connected");
}

thread_local! {
    /// Which of the next draws is a bug. A test's tasks are on its own thread.
    static BUG: Cell<Option<u32>> = const { Cell::new(None) };
}

fn draw() -> u32 {
    let left = BUG.get();
    BUG.set(left.and_then(|left| left.checked_sub(1)));
    assert_ne!(left, Some(0), "a bug");
    0
}

#[tokio::test]
async fn a_worker_that_a_bug_has_ended_is_followed_by_another() {
    let mut receiver = Receiver::start(|_| Manner::Answer(500)).await;
    let mut house = House::new("bug", &[&receiver.url()]);
    // The first draw is that of a request that was not taken, the second that of its worker.
    BUG.set(Some(1));
    house.start();
    house.add(&[("a", "e1")]).await;
    assert_eq!(receiver.events().await, ["e1"]);
    receiver.behave(|_| Manner::Answer(200));
    assert_eq!(receiver.events().await, ["e1"]);
    house.until(is_empty).await;
    assert_eq!(BUG.get(), None, "it has happened");
}

#[tokio::test]
async fn a_receiver_may_ask_for_time() {
    has_an_hour("asks-for-an-hour", |_| Manner::RetryAfter("3600")).await;
    has_an_hour("asks-for-ever", |_| Manner::RetryAfter("18446744073709551615")).await;
}

async fn has_an_hour(name: &str, manner: impl FnMut(&str) -> Manner + Send + 'static) {
    let mut receiver = Receiver::start(manner).await;
    let mut house = House::new(name, &[&receiver.url()]);
    house.start();
    house.add(&[("a", "e1")]).await;
    receiver.next().await;
    house.until(|backlogs| backlogs[0].waiting == 1).await;
    let noted = async {
        loop {
            if let Some(due_at) =
                house.kept(DeliveryState::Waiting).await[0].due_at.filter(|due| *due > now())
            {
                break due_at;
            }
        }
    };
    let due_at = timeout(DEADLINE, noted).await.expect("noted in time");
    let wait = due_at.ms() - now().ms();
    assert!((3_500_000..=3_600_000).contains(&wait), "{wait}");
}

#[tokio::test]
async fn what_is_gone_for_good_is_a_dead_letter_and_may_be_replayed() {
    let mut receiver = Receiver::start(|_| Manner::Answer(410)).await;
    let mut house = House::new("gone", &[&receiver.url()]);
    house.start();
    house.add(&[("a", "e1")]).await;
    house.until(|backlogs| backlogs[0].dead == 1).await;
    let dead = house.kept(DeliveryState::Dead).await;
    assert_eq!(dead[0].last_error.as_deref(), Some("it answered with status 410 Gone"));
    receiver.behave(|_| Manner::Answer(200));
    receiver.next().await;
    house.store.replay_dead_letters(Replay::All, now()).await.expect("replayed");
    assert_eq!(receiver.events().await, ["e1"]);
    house.until(is_empty).await;
}

#[tokio::test]
async fn what_was_tried_for_too_long_is_a_dead_letter() {
    let receiver = Receiver::start(|_| Manner::Answer(500)).await;
    let mut house = House::new("too-long", &[&receiver.url()]);
    house.settings.retry_for = Duration::from_millis(200);
    house.start();
    house.add(&[("a", "e1"), ("a", "e2"), ("b", "e3")]).await;
    house.until(|backlogs| backlogs[0].dead == 3 && backlogs[0].waiting == 0).await;
    timeout(DEADLINE, house.courier.take().expect("it runs").stop()).await.expect("it stops in time");
    let counted = [&house.counts.taken, &house.counts.dead].map(|count| count.load(Ordering::Relaxed));
    assert_eq!(counted, [0, 3]);
    assert!(house.counts.failed.load(Ordering::Relaxed) > 0);
}

#[tokio::test]
async fn a_batch_has_what_waits_and_what_failed_goes_alone() {
    let mut receiver =
        Receiver::start(|body| Manner::Answer(if body.contains("e-bad") { 500 } else { 200 })).await;
    let mut house = House::new("batch", &[&receiver.url()]).batching();
    house.add(&[("a", "e1"), ("b", "e-bad"), ("a", "e2"), ("c", "e3")]).await;
    house.start();
    assert_eq!(receiver.events().await, ["e1", "e2", "e-bad", "e3"]);
    let mut alone = Vec::new();
    while alone.len() < 2 {
        let events = receiver.events().await;
        if events != ["e-bad"] {
            alone.push(events);
        }
    }
    alone.sort();
    assert_eq!(alone, [vec!["e1", "e2"], vec!["e3"]]);
    receiver.behave(|_| Manner::Answer(200));
    house.until(is_empty).await;
}

#[tokio::test]
async fn a_courier_that_stops_leaves_the_rest_for_the_next() {
    let mut receiver = Receiver::start(|_| Manner::Answer(200)).await;
    let mut house = House::new("stop", &[&receiver.url()]);
    let events: Vec<String> = (0..300).map(|n| format!("e{n}")).collect();
    let events: Vec<(&str, &str)> = events.iter().map(|event| ("a", event.as_str())).collect();
    house.add(&events).await;
    house.start();
    receiver.next().await;
    timeout(DEADLINE, house.courier.take().expect("it runs").stop()).await.expect("it stops in time");
    let left = house.store.backlogs().await.expect("read").first().map_or(0, |backlog| backlog.waiting);
    let mut sent = 1;
    while receiver.requests.try_recv().is_ok() {
        sent += 1;
    }
    assert_eq!(sent + left, 300, "what was taken is noted, and nothing is sent twice");
    house.start();
    house.until(is_empty).await;
}

/// What all tests here log, a line of JSON each.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

static LOG: LazyLock<Log> = LazyLock::new(|| {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
    tracing::subscriber::set_global_default(subscriber).expect("the only one");
    log
});

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The fields of all lines that say this of a receiver.
fn told(receiver: &Receiver, message: &str) -> Vec<Value> {
    let text = String::from_utf8(LOG.0.lock().unwrap_or_else(PoisonError::into_inner).clone());
    let host = receiver.address.to_string();
    let fields = |line: &str| serde_json::from_str::<Value>(line).expect(line)["fields"].take();
    let of_it = |fields: &Value| fields["message"] == message && fields["host"] == host;
    text.expect("UTF-8").lines().map(fields).filter(of_it).collect()
}

/// Waits until this is told of a receiver.
async fn told_in_time(receiver: &Receiver, message: &str) -> Vec<Value> {
    let wait = async {
        loop {
            let lines = told(receiver, message);
            if !lines.is_empty() {
                break lines;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, wait).await.expect("it is told in time")
}

const NOT_TAKEN: &str = "a receiver does not take webhooks";

#[tokio::test]
async fn the_first_failure_is_told_at_once_and_when_it_is_tried_again() {
    let mut receiver = Receiver::start(|_| Manner::Answer(500)).await;
    let mut house = House::new("first-failure", &[&receiver.url()]);
    house.pace = Pace { first: Duration::from_hours(1), most: Duration::from_hours(1) };
    house.start();
    house.add(&[("a", "e1")]).await;
    let lines = told_in_time(&receiver, NOT_TAKEN).await;
    let due_at = house.kept(DeliveryState::Waiting).await[0].due_at.expect("it is the first");
    let expected = serde_json::json!({
        "message": NOT_TAKEN,
        "app_id": "1",
        "host": receiver.address.to_string(),
        "error": "it answered with status 500 Internal Server Error",
        "again_at": due_at.to_string(),
    });
    assert_eq!(lines, [expected]);
    // Others that are not taken are no news, until the receiver is left alone and beyond.
    let others = ["b", "c", "d", "e", "f"].map(|lane| (lane, lane));
    house.add(&others).await;
    for _ in 0..=others.len() {
        receiver.next().await;
    }
    house.courier.take().expect("it runs").stop().await;
    assert_eq!(told(&receiver, NOT_TAKEN).len(), 1);
}

#[tokio::test]
async fn who_asks_for_time_is_told_as_due_then() {
    let receiver = Receiver::start(|_| Manner::RetryAfter("3600")).await;
    let mut house = House::new("told-retry-after", &[&receiver.url()]);
    house.start();
    house.add(&[("a", "e1")]).await;
    let lines = told_in_time(&receiver, NOT_TAKEN).await;
    let due_at = house.kept(DeliveryState::Waiting).await[0].due_at.expect("it is the first");
    assert_eq!(lines[0]["again_at"], due_at.to_string());
}

#[tokio::test]
async fn what_is_tried_no_more_is_told_without_a_time() {
    let receiver = Receiver::start(|_| Manner::Answer(410)).await;
    let mut house = House::new("told-gone", &[&receiver.url()]);
    house.start();
    house.add(&[("a", "e1")]).await;
    let lines = told_in_time(&receiver, NOT_TAKEN).await;
    assert_eq!(lines[0]["error"], "it answered with status 410 Gone");
    assert_eq!(lines[0].get("again_at"), None);
}

#[tokio::test]
async fn a_stuck_channel_is_told_once_and_its_end_too() {
    let again = "a receiver takes webhooks again";
    let receiver =
        Receiver::start(|body| Manner::Answer(if body.contains("e-bad") { 500 } else { 200 })).await;
    let mut house = House::new("told-stuck", &[&receiver.url()]);
    // Slow enough that it is not left alone before others are taken.
    house.pace = Pace { first: Duration::from_secs(1), most: Duration::from_secs(1) };
    house.start();
    house.add(&[("bad", "e-bad")]).await;
    told_in_time(&receiver, NOT_TAKEN).await;
    house.add(&[("good", "e1")]).await;
    house.until(|backlogs| backlogs[0].waiting == 1).await;
    assert_eq!(told(&receiver, again).len(), 0, "a channel is stuck");
    receiver.behave(|_| Manner::Answer(200));
    told_in_time(&receiver, again).await;
    house.until(is_empty).await;
    assert_eq!([NOT_TAKEN, again].map(|message| told(&receiver, message).len()), [1, 1]);
}

const ORPHANED: &str =
    "webhooks wait for a URL that no webhook names now; they become dead letters in their time";

#[tokio::test]
async fn what_waits_for_a_url_that_is_gone_is_told_at_the_start_and_when_it_goes() {
    let receiver = Receiver::start(|_| Manner::Answer(500)).await;
    let mut house = House::new("orphans", &[&receiver.url()]);
    house.pace = Pace { first: Duration::from_hours(1), most: Duration::from_hours(1) };
    house.add(&[("a", "e1"), ("a", "e2"), ("b", "e3")]).await;
    house.start();
    told_in_time(&receiver, NOT_TAKEN).await;
    assert_eq!(told(&receiver, ORPHANED).len(), 0, "a webhook names it");
    lock(&house.apps).clear();
    let expected = serde_json::json!({
        "message": ORPHANED, "app_id": "1", "host": receiver.address.to_string(), "waiting": 3,
    });
    assert_eq!(told_in_time(&receiver, ORPHANED).await, std::slice::from_ref(&expected));
    house.courier.take().expect("it runs").stop().await;

    house.webhooks.clear();
    house.start();
    house.until(|_| told(&receiver, ORPHANED).len() == 2).await;
    assert_eq!(told(&receiver, ORPHANED), [expected.clone(), expected]);
}

#[tokio::test]
async fn what_waits_for_a_url_that_is_gone_is_a_dead_letter_in_its_time() {
    let receiver = Receiver::start(|_| Manner::Answer(200)).await;
    let mut house = House::new("orphans-die", &[&receiver.url()]);
    house.settings.retry_for = Duration::ZERO;
    house.add(&[("a", "e1"), ("a", "e2")]).await;
    house.webhooks.clear();
    house.start();
    told_in_time(&receiver, ORPHANED).await;
    // As a sweep comes only once a minute.
    tokio::time::pause();
    tokio::time::advance(crate::courier::SWEEP).await;
    tokio::time::resume();
    house.until(|backlogs| backlogs[0].dead == 2 && backlogs[0].waiting == 0).await;
    let dead = house.kept(DeliveryState::Dead).await;
    assert_eq!(dead[0].last_error.as_deref(), Some("no webhook has this URL any more"));
    assert_eq!(house.counts.dead.load(Ordering::Relaxed), 2);
}

#[test]
fn a_host_is_told_with_a_port_of_its_own_and_nothing_else() {
    for (url, host) in [
        ("https://a.example/secret?of=it", "a.example"),
        ("https://a.example:443/", "a.example"),
        ("http://a.example:80/", "a.example"),
        ("http://a.example:443/", "a.example:443"),
        ("http://[::1]:8080/", "[::1]:8080"),
    ] {
        assert_eq!(crate::target::host(url), host, "{url}");
    }
}
