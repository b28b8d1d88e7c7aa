//! What is told of a server to those who operate it.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    process,
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};
use tidings_inbox::{Brands, hash};
use tidings_protocol::{app::AppSecret, limit::Limit, origin::AllowedOrigins};
use tidings_server::{Clock, Drain, InboxParts, Server, tls::believing};
use tidings_store::{Brand, BrandId, KeyScope, SharedStore, settings::Origins};
use tokio::time::timeout;

use crate::harness::{Client, DEADLINE, TestServer, app, open};

const DASHBOARD: &str = include_str!("../ops/grafana-dashboard.json");
const DOCUMENTATION: &str = include_str!("../docs/metrics.md");
const ALERTS: &str = include_str!("../ops/alerts.yml");

/// Labels whose values are few, whoever connects.
const LABELS: [&str; 12] = [
    "app",
    "app_id",
    "kind",
    "code",
    "route",
    "status",
    "le",
    "reason",
    "scope",
    "result",
    "operation",
    "version",
];

/// The samples of a scrape by name and labels. The text is checked on the way: every sample belongs to the family that
/// was declared last.
fn scrape(text: &str) -> BTreeMap<String, f64> {
    let mut family = "";
    let mut declared = BTreeSet::new();
    let mut samples = BTreeMap::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split(' ').next().expect("a name");
            assert!(declared.insert(family), "{family} is declared twice");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a name and a kind");
            assert_eq!(name, family);
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            let is_soketis = name.starts_with("soketi_") && name.ends_with("_bytes");
            assert_eq!(kind == "counter" && !is_soketis, name.ends_with("_total"), "{line}");
        } else {
            let (sample, value) = line.rsplit_once(' ').expect("a sample and a value");
            let name = sample.split('{').next().expect("a name");
            let of_family = [
                family.to_owned(),
                format!("{family}_bucket"),
                format!("{family}_sum"),
                format!("{family}_count"),
            ];
            assert!(of_family.iter().any(|of_family| name == of_family), "{line} in {family}");
            let labels =
                sample.split(['{', ',']).skip(1).map(|label| label.split('=').next().expect("a label"));
            for label in labels {
                assert!(LABELS.contains(&label), "{line}");
            }
            let twice = samples.insert(sample.to_owned(), value.parse().expect("a number"));
            assert_eq!(twice, None, "{sample} is told twice");
        }
    }
    samples
}

/// Asks until the sample has the value: counts of a socket's end come when its task has ended.
pub(crate) async fn soon(server: &TestServer, sample: &str, value: f64) {
    let asked = async {
        loop {
            let text = server.apps.metrics_text();
            if scrape(&text).get(sample) == Some(&value) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let came = timeout(DEADLINE, asked).await.is_ok();
    assert!(came, "{sample} is not {value} in\n{}", server.apps.metrics_text());
}

#[tokio::test]
async fn what_happens_is_counted() {
    let mut limited = app();
    limited.limits.backend_events_per_second = Limit::new(3);
    limited.limits.connections = Limit::new(3);
    limited.limits.client_events_per_second = Limit::new(1);
    limited.allowed_origins = AllowedOrigins::default();
    let server = TestServer::start_with(limited, Clock::system()).await;
    let mut one = server.connect().await;
    let mut other = server.connect().await;
    one.subscribe(&server, "room", None).await;
    other.subscribe(&server, "room", None).await;
    one.subscribe(&server, "private-room", None).await;
    other.subscribe(&server, "presence-room", Some(r#"{"user_id":"ann"}"#)).await;
    server.trigger("room", "e", "x").await;
    one.expect("e", "room").await;
    other.expect("e", "room").await;

    soon(&server, r#"tidings_connections{app="1"}"#, 2.0).await;
    soon(&server, r#"tidings_connections_opened_total{app="1"}"#, 2.0).await;
    soon(&server, r#"tidings_channels{app="1",kind="public"}"#, 1.0).await;
    soon(&server, r#"tidings_subscriptions{app="1",kind="public"}"#, 2.0).await;
    soon(&server, r#"tidings_subscriptions{app="1",kind="presence"}"#, 1.0).await;
    soon(&server, r#"tidings_subscriptions{app="1",kind="encrypted"}"#, 0.0).await;
    // Four subscribe frames; two greetings, four successes and two events.
    soon(&server, r#"tidings_ws_messages_received_total{app="1"}"#, 4.0).await;
    soon(&server, r#"tidings_ws_messages_sent_total{app="1"}"#, 8.0).await;
    soon(&server, r#"tidings_http_requests_total{route="events",status="200"}"#, 1.0).await;
    soon(&server, r#"tidings_http_request_duration_seconds_count{route="events"}"#, 1.0).await;
    soon(&server, "tidings_send_queue_bytes", 0.0).await;
    // The event, and that of the member who came.
    soon(&server, "tidings_broadcast_duration_seconds_count", 2.0).await;
    soon(&server, "tidings_draining", 0.0).await;

    let body = json!({"name": "e", "channels": ["a", "b", "c", "d"], "data": ""}).to_string();
    assert_eq!(server.post("/apps/1/events", &body).await.0, 429);
    soon(&server, r#"tidings_rate_limited_total{scope="backend_events"}"#, 1.0).await;
    let forged =
        server.signed("POST", "/apps/1/events", "", &body, "").replace("auth_signature=", "auth_signature=0");
    assert_eq!(server.request(&forged).await.0, 401);
    soon(&server, r#"tidings_auth_failures_total{reason="signature"}"#, 1.0).await;
    for _ in 0..2 {
        one.send(&json!({"event": "client-e", "channel": "private-room", "data": ""})).await;
    }
    one.frame().await.expect("an error");
    soon(&server, r#"tidings_rate_limited_total{scope="client_events"}"#, 1.0).await;
    one.send(&json!({"event": "pusher:subscribe", "data": {"channel": "private-x", "auth": "test-key:0"}}))
        .await;
    one.expect("pusher:subscription_error", "private-x").await;
    soon(&server, r#"tidings_auth_failures_total{reason="subscription"}"#, 1.0).await;
    one.send(&json!({"event": "pusher:signin", "data": {"auth": "test-key:0", "user_data": "{}"}})).await;
    one.frame().await.expect("an error");
    soon(&server, r#"tidings_auth_failures_total{reason="signin"}"#, 1.0).await;
    let mut unknown = Client { ws: open(&server, "/app/nobodys").await, socket_id: String::new() };
    unknown.expect_closed(4001).await;
    soon(&server, r#"tidings_auth_failures_total{reason="unknown_key"}"#, 1.0).await;
    let third = server.connect().await;
    let mut refused = Client { ws: open(&server, "/app/test-key").await, socket_id: String::new() };
    refused.expect_closed(4004).await;
    soon(&server, r#"tidings_rate_limited_total{scope="connections"}"#, 1.0).await;

    // What a socket was sent stays counted when it is gone.
    let sent = scrape(&server.apps.metrics_text())[r#"tidings_ws_sent_bytes_total{app="1"}"#];
    drop((other, third));
    soon(&server, r#"tidings_connections_closed_total{app="1",code="none"}"#, 2.0).await;
    soon(&server, r#"tidings_connections{app="1"}"#, 1.0).await;
    let after = scrape(&server.apps.metrics_text())[r#"tidings_ws_sent_bytes_total{app="1"}"#];
    assert!(after >= sent && sent > 0.0, "{after} after {sent}");
    let mut changed = app();
    changed.enabled = false;
    changed.secret = AppSecret::new("another");
    server.apps.replace(vec![changed]);
    loop {
        if one.frame().await.is_err() {
            break;
        }
    }
    soon(&server, r#"tidings_connections_closed_total{app="1",code="4003"}"#, 1.0).await;
    server.leave(Drain { delay: Duration::from_hours(1), window: Duration::ZERO }).await;
    soon(&server, "tidings_draining", 1.0).await;
}

#[tokio::test]
async fn a_broadcast_to_many_is_one() {
    let server = TestServer::start().await;
    // More than one slice of a channel, so several turns of the workers.
    let mut clients = Vec::new();
    for _ in 0..300 {
        let mut client = server.connect().await;
        client.subscribe(&server, "room", None).await;
        clients.push(client);
    }
    for round in 1..=2 {
        server.trigger("room", "e", "x").await;
        for client in &mut clients {
            client.expect("e", "room").await;
        }
        soon(&server, "tidings_broadcast_duration_seconds_count", f64::from(round)).await;
    }
    let samples = scrape(&server.apps.metrics_text());
    assert!(samples["tidings_broadcast_duration_seconds_sum"] > 0.0);
}

/// A store's directory, gone at its end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("tidings-metrics-{}-{name}", process::id()));
        let _ = fs::remove_dir_all(&path);
        Directory(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A server with an inbox, of a brand whose senders show "the-key". Its clock stands still, so that it does nothing by
/// itself.
async fn server_with_inbox(data_dir: &Path) -> TestServer {
    let id = BrandId::new(7).expect("a number that a brand may have");
    let brand = Brand {
        id,
        name: "acorn".to_owned(),
        app_id: "1".to_owned(),
        region: "eu".to_owned(),
        sid_url: None,
        test_sid: true,
        allowed_origins: Origins::default(),
    };
    let brands = Brands::new(vec![brand], vec![(hash("the-key"), KeyScope::Brand(id))]);
    brands.take(brands.begin_reading(), (Vec::new(), Vec::new()));
    let (store, announcements) = SharedStore::serve(data_dir).expect("a store");
    let parts = InboxParts { store, announcements, brands: Arc::new(brands), tls: believing(&[]) };
    TestServer::start_prepared(app(), Clock::manual(), |server: &mut Server| server.open_inbox(parts)).await
}

/// A request to the inbox as text; `header` is a line, with its end, or nothing.
fn to_inbox(method: &str, path: &str, header: &str, body: &str) -> String {
    let length = body.len();
    format!("{method} {path} HTTP/1.1\r\nhost: test\r\n{header}content-length: {length}\r\n\r\n{body}")
}

#[tokio::test]
async fn the_work_of_the_inbox_is_counted() {
    let directory = Directory::new("inbox");
    let server = server_with_inbox(&directory.0).await;
    let is = |samples: &[(&str, f64)]| {
        let scraped = scrape(&server.apps.metrics_text());
        for (sample, value) in samples {
            assert_eq!(scraped.get(*sample), Some(value), "{sample}");
        }
    };
    let created = "tidings_inbox_created_total";
    let commits = r#"tidings_store_duration_seconds_count{operation="commit"}"#;
    let reads = r#"tidings_store_duration_seconds_count{operation="read"}"#;
    let (rows, single_rows) = ("tidings_store_batch_rows_sum", r#"tidings_store_batch_rows_bucket{le="1"}"#);
    is(&[(created, 0.0), (commits, 0.0), (reads, 0.0), (rows, 0.0)]);

    let send = async |id: u32, more: &str| {
        let body = format!(r#"{{"title": "Hello"{more}, "activity": {{"id": {id}, "user_id": "ann"}}}}"#);
        let key = "x-api-key: the-key\r\n";
        let (status, text) = server.request(&to_inbox("POST", "/channels/site/single", key, &body)).await;
        assert_eq!(status, 200, "{text}");
    };
    send(1, "").await;
    send(2, "").await;
    is(&[(created, 2.0), (commits, 2.0), (rows, 2.0), (single_rows, 2.0), (reads, 0.0)]);
    // What is known is stored no second time, and what is over when it comes is seen by nobody.
    send(2, "").await;
    send(3, r#", "expires_at": "2001-01-01T00:00:00Z""#).await;
    is(&[(created, 2.0), (commits, 4.0), (rows, 4.0), (single_rows, 4.0), (reads, 0.0)]);

    let login = "authtoken: 99999999-9999-9999-9999-999999999999-9999\r\n";
    let (_, answer) = server.request(&to_inbox("POST", "/Platform/LoginAuthToken", login, "")).await;
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    let token = format!("authtoken: {}\r\n", answer["Data"]["JwtToken"].as_str().expect("a token"));
    is(&[(created, 2.0), (commits, 5.0), (reads, 0.0)]);
    // Who it is, and what there is.
    let (status, _) = server.request(&to_inbox("GET", "/inbox/v1/counts", &token, "")).await;
    assert_eq!(status, 200);
    is(&[(created, 2.0), (commits, 5.0), (rows, 5.0), (reads, 2.0)]);
    server.stop().await;
}

#[tokio::test]
async fn credentials_that_the_inbox_refuses_are_counted() {
    let directory = Directory::new("refused");
    let server = server_with_inbox(&directory.0).await;
    let wrong_key = "x-api-key: another\r\n";
    let key_of_brand = "authorization: Bearer the-key\r\n";
    let wrong_token = "authtoken: nobodys\r\n";
    for (reason, requests) in [
        (
            "inbox_key",
            [
                ("POST", "/channels/site/single", wrong_key, 401),
                ("POST", "/channels/site/batch", "", 401),
                ("GET", "/inbox-admin/v1/users/ann", wrong_key, 401),
                ("GET", "/inbox-admin/v1/webhooks", key_of_brand, 403),
            ],
        ),
        (
            "inbox_login",
            [
                ("POST", "/Platform/LoginAuthToken", wrong_token, 200),
                ("GET", "/Notifications/v2/user-notifications", wrong_token, 200),
                ("GET", "/Notifications/v2/user-notification/1", "", 200),
                ("GET", "/inbox/v1/counts", wrong_token, 401),
            ],
        ),
        (
            "inbox_channel",
            [
                ("POST", "/external/pusher/acorn", "", 403),
                ("POST", "/external/pusher/acorn?authToken=nobodys", "", 403),
                ("GET", "/external/pusher/acorn?authToken=nobodys", "", 403),
                ("GET", "/b/acorn/external/pusher/acorn", "", 403),
            ],
        ),
    ] {
        for (method, path, header, expected) in requests {
            let (status, text) = server.request(&to_inbox(method, path, header, "")).await;
            assert_eq!(status, expected, "{path}: {text}");
        }
        let counted = scrape(&server.apps.metrics_text());
        let sample = format!("tidings_auth_failures_total{{reason=\"{reason}\"}}");
        assert_eq!(counted.get(&sample), Some(&4.0), "{reason}");
    }
    // What is wrong with something else is none.
    for (method, path, header, expected) in [
        ("GET", "/channels/site/single", wrong_key, 405),
        ("GET", "/inbox-admin/v1/nothing", key_of_brand, 404),
        ("GET", "/api/v1/config/nobody", "", 404),
    ] {
        assert_eq!(server.request(&to_inbox(method, path, header, "")).await.0, expected, "{path}");
    }
    let counted = scrape(&server.apps.metrics_text());
    let failures = counted.iter().filter(|(sample, _)| sample.starts_with("tidings_auth_failures_total"));
    assert_eq!(failures.map(|(_, count)| *count).collect::<Vec<_>>(), [4.0, 4.0, 4.0]);
    server.stop().await;
}

#[tokio::test]
async fn soketis_names_are_told_where_they_are_wanted() {
    let server = TestServer::start_prepared(app(), Clock::system(), Server::tell_soketi_names).await;
    let port = server.address.port();
    let name = |stem: &str| format!("soketi_{port}_{stem}{{app_id=\"1\"}}");
    let mut one = server.connect().await;
    let other = server.connect().await;
    one.subscribe(&server, "room", None).await;
    let body = json!({"name": "e", "channel": "room", "data": "x"}).to_string();
    let (_, published) = server.post("/apps/1/events", &body).await;
    one.expect("e", "room").await;
    let (_, channel) = server.get("/apps/1/channels/room", "").await;
    assert_eq!(server.get("/apps/1/channels/no%20name", "").await.0, 400);
    assert_eq!(server.get("/apps/1/channels/room/users", "").await.0, 400);
    drop(other);
    let count = |count: usize| f64::from(u32::try_from(count).expect("few"));
    for (stem, value) in [
        ("new_disconnections_total", 1.0),
        ("connected", 1.0),
        ("new_connections_total", 2.0),
        ("http_calls_received_total", 2.0),
        ("http_received_bytes", count(body.len())),
        ("http_transmitted_bytes", count(published.len() + channel.len())),
    ] {
        soon(&server, &name(stem), value).await;
    }
    let told = scrape(&server.apps.metrics_text());
    for (stem, ours) in [
        ("socket_received_bytes", r#"tidings_ws_received_bytes_total{app="1"}"#),
        ("socket_transmitted_bytes", r#"tidings_ws_sent_bytes_total{app="1"}"#),
    ] {
        assert_eq!(told.get(&name(stem)), told.get(ours), "{stem}");
        assert!(told[ours] > 0.0, "{stem}");
    }

    let plain = TestServer::start().await;
    assert!(!plain.apps.metrics_text().contains("soketi_"), "they are told to those alone who want them");
}

/// The metrics that a text names.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let prefixes = ["tidings_", "process_", "soketi_6001_"];
    words.filter(|word| prefixes.iter().any(|prefix| word.starts_with(prefix))).collect()
}

/// The labels by which a text of queries selects.
fn selected(text: &str) -> Vec<&str> {
    let selectors = text.match_indices('{').filter(|(at, _)| {
        let before = text[..*at].chars().next_back();
        before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
    });
    let labels = selectors.flat_map(|(at, _)| {
        let inside = text[at + 1..].split('}').next().expect("a first part");
        inside.split(',').map(|label| label.split(['=', '!']).next().expect("a first part"))
    });
    labels.collect()
}

#[tokio::test]
async fn dashboard_alerts_and_documentation_name_what_there_is() {
    let server = TestServer::start_prepared(app(), Clock::system(), Server::tell_soketi_names).await;
    let port = server.address.port();
    let text = server.apps.metrics_text().replace(&format!("soketi_{port}_"), "soketi_6001_");
    scrape(&text);
    // Each family with the names of its samples.
    let told: BTreeMap<&str, Vec<String>> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .map(|(name, kind)| {
            let suffixes: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            (name, suffixes.iter().map(|suffix| format!("{name}{suffix}")).collect())
        })
        .collect();
    let known: BTreeSet<&str> = told.values().flatten().map(String::as_str).collect();

    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("targets"));
    let mut asked: Vec<&str> = targets.map(|target| target["expr"].as_str().expect("a query")).collect();
    let variables = dashboard["templating"]["list"].as_array().expect("variables");
    asked.extend(variables.iter().filter_map(|variable| variable["query"].as_str()));
    let shown: BTreeSet<&str> = asked.iter().flat_map(|query| named(query)).collect();
    for panel in panels {
        let asked = panel["targets"].to_string();
        assert!(!named(&asked).is_empty(), "{panel}");
    }
    asked.push(ALERTS);
    for query in asked {
        for name in named(query) {
            assert!(known.contains(name), "{name} is asked for and never told");
        }
        for label in selected(query) {
            let of_scrape = ["instance", "job"].contains(&label);
            assert!(of_scrape || LABELS.contains(&label), "no metric has the label {label}");
        }
    }
    for (name, samples) in told.iter().filter(|(name, _)| name.starts_with("tidings_")) {
        assert!(samples.iter().any(|sample| shown.contains(&**sample)), "{name} is told and never shown");
    }
    // Those of the process are what they are in every Prometheus client, and are not listed.
    let mut documented = named(DOCUMENTATION);
    assert!(documented.remove("process_"));
    let of_the_process = |name: &str| name.starts_with("process_");
    let told: BTreeSet<&str> = told.into_keys().filter(|name| !of_the_process(name)).collect();
    assert_eq!(documented, told);
}
