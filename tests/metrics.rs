//! What is told of a server to those who operate it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Value, json};
use tidings_protocol::{app::AppSecret, limit::Limit, origin::AllowedOrigins};
use tidings_server::{Clock, Drain};
use tokio::time::timeout;

use crate::harness::{Client, DEADLINE, TestServer, app, open};

const DASHBOARD: &str = include_str!("../ops/grafana-dashboard.json");
const DOCUMENTATION: &str = include_str!("../docs/metrics.md");
const ALERTS: &str = include_str!("../ops/alerts.yml");

/// Labels whose values are few, whoever connects.
const LABELS: [&str; 10] =
    ["app", "kind", "code", "route", "status", "le", "reason", "scope", "result", "version"];

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
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
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
async fn soon(server: &TestServer, sample: &str, value: f64) {
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
    let mut unknown = Client { ws: open(&server, "/app/nobodys").await, socket_id: String::new() };
    unknown.expect_closed(4001).await;
    soon(&server, r#"tidings_auth_failures_total{reason="unknown_app"}"#, 1.0).await;
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

/// The metrics that a text names.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| ["tidings_", "process_"].iter().any(|prefix| word.starts_with(prefix))).collect()
}

#[tokio::test]
async fn dashboard_and_alerts_ask_for_what_there_is() {
    let server = TestServer::start().await;
    let text = server.apps.metrics_text();
    let mut known: BTreeSet<String> = scrape(&text).into_keys().collect();
    for family in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = family.split_once(' ').expect("a name and a kind");
        known.insert(if kind == "histogram" { format!("{name}_bucket") } else { name.to_owned() });
    }
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    for panel in dashboard["panels"].as_array().expect("panels") {
        let asked = panel["targets"].to_string();
        assert!(!named(&asked).is_empty(), "{panel}");
    }
    for name in named(DASHBOARD).union(&named(ALERTS)) {
        assert!(known.contains(*name), "{name} is asked for and never told");
    }
    let documented = named(DOCUMENTATION);
    for name in documented.iter().filter(|name| **name != "process_") {
        assert!(text.contains(&format!("# TYPE {name} ")), "{name} is documented and never told");
    }
    let told = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let shown = named(DASHBOARD);
    for name in told.filter(|name| name.starts_with("tidings_")) {
        assert!(shown.iter().any(|shown| shown.starts_with(name)), "{name} is told and never shown");
        assert!(documented.contains(name), "{name} is told and not documented");
    }
}
