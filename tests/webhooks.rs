//! What backends are told of what happens in channels, and when. The clock is moved by hand.

use std::{
    env, fs,
    path::PathBuf,
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tidings_courier::Settings;
use tidings_protocol::{
    App,
    app::AppSecret,
    auth,
    webhook::{Batching, ChannelFilter, Interest, Webhook, WebhookKind, Webhooks},
};
use tidings_server::{Clock, Drain, Server, WebhookParts, tls::believing};
use tidings_store::SharedStore;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};

use crate::{
    harness::{Client, DEADLINE, TestServer, app},
    metrics::soon,
};

/// A backend that takes what it is told, and a directory for the server's store.
struct Backend {
    directory: PathBuf,
    url: String,
    events: mpsc::Receiver<Value>,
    /// Whether it takes what comes; else it answers with 500.
    takes: Arc<AtomicBool>,
    receiving: JoinHandle<()>,
    clock: Clock,
}

impl Backend {
    async fn new(name: &str) -> Self {
        let directory = env::temp_dir().join(format!("tidings-webhooks-{}-{name}", process::id()));
        let _ = fs::remove_dir_all(&directory);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let url = format!("http://{}/webhooks", listener.local_addr().expect("it is bound"));
        let (sender, events) = mpsc::channel(1000);
        let takes = Arc::new(AtomicBool::new(true));
        let taking = takes.clone();
        let receiving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(receive(stream, sender.clone(), taking.clone()));
            }
        });
        Backend { directory, url, events, takes, receiving, clock: Clock::manual() }
    }

    /// An app whose backend wants these.
    fn app(&self, kinds: impl IntoIterator<Item = WebhookKind>, channels: &str) -> App {
        let webhook = Webhook {
            url: self.url.as_str().into(),
            interests: vec![Interest {
                kinds: kinds.into_iter().collect(),
                channels: ChannelFilter::parse([channels]).expect("a pattern"),
            }],
            headers: Vec::new(),
            batching: Batching::Single,
        };
        App { webhooks: Webhooks::new(vec![webhook]), ..app() }
    }

    async fn server(&self, kinds: impl IntoIterator<Item = WebhookKind>, channels: &str) -> TestServer {
        self.server_of(self.app(kinds, channels)).await
    }

    async fn server_of(&self, app: App) -> TestServer {
        let settings =
            Settings { allow: vec!["127.0.0.0/8".parse().expect("a network")], ..Settings::default() };
        let store = SharedStore::beside(&self.directory).expect("a store");
        let parts = WebhookParts { store, settings, tls: believing(&[]) };
        let prepare = |server: &mut Server| server.tell_backends(parts);
        TestServer::start_prepared(app, self.clock.clone(), prepare).await
    }

    /// The next event without its id, which it must have.
    async fn next(&mut self) -> Value {
        let event = timeout(DEADLINE, self.events.recv()).await.expect("an event in time");
        let mut event = event.expect("the receiver is here");
        let id = event.as_object_mut().expect("an object").remove("id");
        assert_eq!(id.as_ref().and_then(Value::as_str).map(str::len), Some(32), "{id:?}");
        event
    }

    async fn expect(&mut self, events: &[Value]) {
        for event in events {
            assert_eq!(self.next().await, *event);
        }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.receiving.abort();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Takes requests on one connection, checks their signatures, and passes their events on.
async fn receive(mut stream: TcpStream, sender: mpsc::Sender<Value>, takes: Arc<AtomicBool>) {
    let mut bytes = Vec::new();
    while stream.read_buf(&mut bytes).await.is_ok_and(|count| count > 0) {
        let text = String::from_utf8(bytes.clone()).expect("UTF-8");
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
        let length: usize = header("content-length: ").expect("a length").parse().expect("a number");
        if body.len() < length {
            continue;
        }
        assert_eq!(header("x-pusher-signature: "), Some(auth::webhook::sign(&app(), body).as_str()));
        if !takes.load(Ordering::Relaxed) {
            bytes.clear();
            let refusal = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(refusal).await.expect("the courier reads");
            continue;
        }
        let payload: Value = serde_json::from_str(body).expect("JSON");
        for event in payload["events"].as_array().expect("events") {
            sender.send(event.clone()).await.expect("the test reads");
        }
        bytes.clear();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.expect("the courier reads");
    }
}

fn channel_event(name: &str, channel: &str) -> Value {
    json!({"name": name, "channel": channel})
}

async fn leave(server: &TestServer, client: &mut Client, channel: &str) {
    client.send(&json!({"event": "pusher:unsubscribe", "data": {"channel": channel}})).await;
    server.vacated(channel).await;
}

#[tokio::test]
async fn requests_are_counted_and_timed() {
    let mut backend = Backend::new("timed").await;
    let server = backend.server([WebhookKind::ChannelOccupied], "*").await;
    let (taken, failed) = (
        r#"tidings_webhook_duration_seconds_count{result="taken"}"#,
        r#"tidings_webhook_duration_seconds_count{result="failed"}"#,
    );
    soon(&server, taken, 0.0).await;
    let mut client = server.connect().await;
    for room in ["a", "b"] {
        client.subscribe(&server, room, None).await;
    }
    for _ in ["a", "b"] {
        backend.next().await;
    }
    soon(&server, r#"tidings_webhook_deliveries_total{result="taken"}"#, 2.0).await;
    soon(&server, taken, 2.0).await;
    soon(&server, failed, 0.0).await;

    // Nobody takes the next, and the clock stands still: it is not tried again.
    backend.takes.store(false, Ordering::Relaxed);
    client.subscribe(&server, "c", None).await;
    soon(&server, r#"tidings_webhook_deliveries_total{result="failed"}"#, 1.0).await;
    soon(&server, failed, 1.0).await;
    soon(&server, taken, 2.0).await;
    // A store of commits and reads is behind the queue.
    let text = server.apps.metrics_text();
    assert!(text.contains("tidings_store_duration_seconds_count{operation=\"commit\"} "), "{text}");
}

#[tokio::test]
async fn who_is_back_within_three_seconds_has_not_been_away() {
    let mut backend = Backend::new("pairing").await;
    let server = backend.server([WebhookKind::ChannelOccupied, WebhookKind::ChannelVacated], "*").await;
    let mut client = server.connect().await;
    client.subscribe(&server, "room", None).await;
    backend.expect(&[channel_event("channel_occupied", "room")]).await;

    leave(&server, &mut client, "room").await;
    backend.clock.advance(Duration::from_millis(2999));
    client.subscribe(&server, "room", None).await;
    // Had that been told, it would come before what follows.
    backend.clock.advance(Duration::from_mins(1));
    leave(&server, &mut client, "room").await;
    backend.clock.advance(Duration::from_secs(3));
    backend.expect(&[channel_event("channel_vacated", "room")]).await;

    client.subscribe(&server, "room", None).await;
    leave(&server, &mut client, "room").await;
    backend.clock.advance(Duration::from_millis(3001));
    client.subscribe(&server, "room", None).await;
    backend
        .expect(&[
            channel_event("channel_occupied", "room"),
            channel_event("channel_vacated", "room"),
            channel_event("channel_occupied", "room"),
        ])
        .await;
}

#[tokio::test]
async fn members_are_users_and_not_connections() {
    let mut backend = Backend::new("members").await;
    let kinds = WebhookKind::ALL.into_iter().filter(|kind| *kind != WebhookKind::ClientEvent);
    let server = backend.server(kinds, "presence-*").await;
    let member = |name: &str, user: &str| json!({"name": name, "channel": "presence-room", "user_id": user});
    let (mut one, mut two, mut other) =
        (server.connect().await, server.connect().await, server.connect().await);
    one.subscribe(&server, "presence-room", Some(r#"{"user_id":"ann"}"#)).await;
    two.subscribe(&server, "presence-room", Some(r#"{"user_id":"ann"}"#)).await;
    other.subscribe(&server, "presence-room", Some(r#"{"user_id":"bob"}"#)).await;
    // No presence channel, so of no concern.
    other.subscribe(&server, "private-room", None).await;
    backend
        .expect(&[
            channel_event("channel_occupied", "presence-room"),
            member("member_added", "ann"),
            member("member_added", "bob"),
        ])
        .await;
    one.expect("pusher_internal:member_added", "presence-room").await;
    // Ann is still there on the other connection; Bob comes back in time.
    one.send(&json!({"event": "pusher:unsubscribe", "data": {"channel": "presence-room"}})).await;
    one.expect_nothing().await;
    other.send(&json!({"event": "pusher:unsubscribe", "data": {"channel": "presence-room"}})).await;
    other.expect_nothing().await;
    backend.clock.advance(Duration::from_millis(2900));
    other.subscribe(&server, "presence-room", Some(r#"{"user_id":"bob"}"#)).await;
    backend.clock.advance(Duration::from_secs(10));
    drop(two);
    other.expect("pusher_internal:member_removed", "presence-room").await;
    backend.clock.advance(Duration::from_secs(3));
    backend.expect(&[member("member_removed", "ann")]).await;
    drop(other);
    server.vacated("presence-room").await;
    backend.clock.advance(Duration::from_secs(3));
    backend
        .expect(&[member("member_removed", "bob"), channel_event("channel_vacated", "presence-room")])
        .await;
}

#[tokio::test]
async fn client_events_are_told_as_they_were_sent() {
    let mut backend = Backend::new("client-events").await;
    let server = backend.server([WebhookKind::ClientEvent], "*").await;
    let mut client = server.connect().await;
    client.subscribe(&server, "private-room", None).await;
    client.subscribe(&server, "presence-room", Some(r#"{"user_id":"ann"}"#)).await;
    for (channel, data) in [("private-room", json!({"a": 1})), ("presence-room", json!("text"))] {
        client.send(&json!({"event": "client-x", "channel": channel, "data": data})).await;
    }
    client.expect_nothing().await;
    let socket_id = &client.socket_id;
    let event = |channel, data| json!({"name": "client_event", "channel": channel, "event": "client-x", "data": data, "socket_id": socket_id});
    let mut of_ann = event("presence-room", "text");
    of_ann["user_id"] = "ann".into();
    let mut told = vec![backend.next().await, backend.next().await];
    // Channels are independent of each other.
    told.sort_by_key(|event| event["channel"].to_string());
    assert_eq!(told, [of_ann, event("private-room", "{\"a\":1}")]);
    // What a backend publishes is no news to it.
    server.trigger("private-room", "e", "x").await;
    client.expect("e", "private-room").await;
    client.send(&json!({"event": "client-y", "channel": "private-room", "data": "marker"})).await;
    assert_eq!(backend.next().await["event"], "client-y");
}

#[tokio::test]
async fn an_empty_cache_is_told_once() {
    let mut backend = Backend::new("cache").await;
    let server = backend.server([WebhookKind::CacheMiss, WebhookKind::ClientEvent], "*").await;
    let (mut one, mut two) = (server.connect().await, server.connect().await);
    one.subscribe(&server, "private-cache-room", None).await;
    two.subscribe(&server, "private-cache-room", None).await;
    one.expect("pusher:cache_miss", "private-cache-room").await;
    one.send(&json!({"event": "client-x", "channel": "private-cache-room", "data": "marker"})).await;
    assert_eq!(backend.next().await, channel_event("cache_miss", "private-cache-room"));
    assert_eq!(backend.next().await["name"], "client_event", "the second miss is not told");
    // Filled and expired again.
    server.trigger("private-cache-room", "e", "x").await;
    backend.clock.advance(Duration::from_hours(2));
    let mut three = server.connect().await;
    three.subscribe(&server, "private-cache-room", None).await;
    assert_eq!(backend.next().await, channel_event("cache_miss", "private-cache-room"));
}

#[tokio::test]
async fn counts_are_told_though_clients_are_not() {
    let mut backend = Backend::new("counts").await;
    let server = backend.server([WebhookKind::SubscriptionCount], "*").await;
    let count =
        |count: u32| json!({"name": "subscription_count", "channel": "room", "subscription_count": count});
    let (mut one, mut two) = (server.connect().await, server.connect().await);
    one.subscribe(&server, "room", None).await;
    two.subscribe(&server, "room", None).await;
    one.expect_nothing().await;
    drop(two);
    backend.expect(&[count(1), count(2), count(1)]).await;
    drop(one);
    backend.expect(&[count(0)]).await;
}

#[tokio::test]
async fn a_backend_that_has_the_old_secret_only_is_told_while_a_new_one_replaces_it() {
    let mut backend = Backend::new("rotation").await;
    let app = backend.app([WebhookKind::ChannelOccupied], "*");
    let secret = AppSecret::new("new").replacing(app.secret.clone());
    let server = backend.server_of(App { secret, ..app }).await;
    server.connect().await.subscribe(&server, "room", None).await;
    assert_eq!(backend.next().await, channel_event("channel_occupied", "room"));
}

#[tokio::test]
async fn nobody_is_told_gone_by_a_server_that_lets_nobody_back() {
    let mut backend = Backend::new("closing").await;
    let kinds = [WebhookKind::ChannelOccupied, WebhookKind::ChannelVacated, WebhookKind::MemberRemoved];
    let server = backend.server(kinds, "*").await;
    let (mut one, silent) = (server.connect().await, server.connect().await);
    one.subscribe(&server, "presence-room", Some(r#"{"user_id":"ann"}"#)).await;
    one.subscribe(&server, "room", None).await;
    for _ in 0..2 {
        assert_eq!(backend.next().await["name"], "channel_occupied");
    }
    server.leave(Drain::AT_ONCE).await;
    one.expect_closed(4100).await;
    // The server is still there, for the one that does not answer the farewell.
    for _ in 0..3 {
        let told = timeout(Duration::from_millis(100), backend.next()).await;
        assert!(told.is_err(), "{told:?}");
        backend.clock.advance(Duration::from_secs(20));
    }
    drop(silent);
    server.ended().await;

    let server = backend.server(kinds, "*").await;
    let mut one = server.connect().await;
    one.subscribe(&server, "presence-room", Some(r#"{"user_id":"ann"}"#)).await;
    one.subscribe(&server, "room", None).await;
    one.subscribe(&server, "other", None).await;
    assert_eq!(backend.next().await, channel_event("channel_occupied", "other"), "nothing of the restart");
}

#[tokio::test]
async fn a_restart_is_no_absence_of_those_who_come_back() {
    let mut backend = Backend::new("restart").await;
    let kinds = [WebhookKind::ChannelOccupied, WebhookKind::ChannelVacated, WebhookKind::MemberRemoved];
    let server = backend.server(kinds, "*").await;
    let mut client = server.connect().await;
    client.subscribe(&server, "back", None).await;
    client.subscribe(&server, "away", None).await;
    client.subscribe(&server, "presence-away", Some(r#"{"user_id":"ann"}"#)).await;
    for _ in 0..3 {
        assert_eq!(backend.next().await["name"], "channel_occupied");
    }
    server.stop().await;

    let server = backend.server(kinds, "*").await;
    backend.clock.advance(Duration::from_secs(29));
    let mut client = server.connect().await;
    client.subscribe(&server, "back", None).await;
    backend.clock.advance(Duration::from_secs(1));
    let mut told = vec![backend.next().await, backend.next().await, backend.next().await];
    told.sort_by_key(|event| (event["channel"].to_string(), event["name"] == "channel_vacated"));
    let removed = json!({"name": "member_removed", "channel": "presence-away", "user_id": "ann"});
    let vacated = channel_event("channel_vacated", "presence-away");
    assert_eq!(told, [channel_event("channel_vacated", "away"), removed, vacated]);
    leave(&server, &mut client, "back").await;
    backend.clock.advance(Duration::from_secs(3));
    assert_eq!(backend.next().await, channel_event("channel_vacated", "back"), "and no more of it before");
}
