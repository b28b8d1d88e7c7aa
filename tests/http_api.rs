//! The HTTP API beyond its vectors: connections, idempotency, limits.

use serde_json::json;
use tidings_protocol::limit::Limit;
use tidings_server::Clock;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::harness::{TestServer, app, read_response};

#[tokio::test]
async fn a_connection_is_kept_and_requests_may_be_pipelined() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    client.subscribe(&server, "room", None).await;
    let mut stream = TcpStream::connect(server.address).await.expect("connect");
    let body = |n: usize| json!({"name": "e", "channel": "room", "data": n.to_string()}).to_string();
    let requests: String =
        (0..20).map(|n| server.signed("POST", "/apps/1/events", "", &body(n), "")).collect();
    stream.write_all(requests.as_bytes()).await.expect("write");
    let mut buffer = Vec::new();
    for n in 0..20 {
        assert_eq!(read_response(&mut stream, &mut buffer).await, (200, "{}".to_owned()));
        assert_eq!(client.expect("e", "room").await, json!(n));
    }
}

#[tokio::test]
async fn an_idempotency_key_publishes_once_and_answers_the_same() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    client.subscribe(&server, "room", None).await;
    let body = json!({"name": "e", "channel": "room", "data": "1", "info": "subscription_count"}).to_string();
    let keyed = |path: &str, body: &str| server.signed("POST", path, "", body, "idempotency-key: abc\r\n");
    let first = server.request(&keyed("/apps/1/events", &body)).await;
    assert_eq!(first, (200, r#"{"channels":{"room":{"subscription_count":1}}}"#.to_owned()));
    let mut second = server.connect().await;
    second.subscribe(&server, "room", None).await;
    assert_eq!(server.request(&keyed("/apps/1/events", &body)).await, first);
    client.expect("e", "room").await;
    server.trigger("room", "marker", "").await;
    client.expect("marker", "room").await;
    second.expect("marker", "room").await;

    let other = json!({"name": "e", "channel": "room", "data": "2"}).to_string();
    assert_eq!(server.request(&keyed("/apps/1/events", &other)).await.0, 422);
    let batch = json!({"batch": [{"name": "e", "channel": "room", "data": "3"}]}).to_string();
    assert_eq!(server.request(&keyed("/apps/1/batch_events", &batch)).await.0, 422);
    server.trigger("room", "marker", "").await;
    client.expect("marker", "room").await;

    let refused = json!({"name": "e", "data": "4"}).to_string();
    let retried = |body: &str| server.signed("POST", "/apps/1/events", "", body, "idempotency-key: def\r\n");
    assert_eq!(server.request(&retried(&refused)).await.0, 400);
    assert_eq!(server.request(&retried(&other)).await.0, 200, "what was refused is not remembered");
    let long = format!("idempotency-key: {}\r\n", "x".repeat(256));
    assert_eq!(server.request(&server.signed("POST", "/apps/1/events", "", &other, &long)).await.0, 400);
}

#[tokio::test]
async fn the_apps_rates_are_told_with_429() {
    let mut app = app();
    app.limits.backend_events_per_second = Limit::new(5);
    app.limits.reads_per_second = Limit::new(2);
    let server = TestServer::start_with(app, Clock::manual()).await;
    let to = |channels: &[&str]| json!({"name": "e", "channels": channels, "data": ""}).to_string();
    let never = "Too many events: this call has 6, and the app's limit is 5 a second; send it in parts\n";
    let six = to(&["a", "b", "c", "d", "e", "f"]);
    assert_eq!(server.post("/apps/1/events", &six).await, (429, never.to_owned()));
    assert_eq!(server.post("/apps/1/events", &to(&["a", "b", "c", "d"])).await.0, 200);
    assert_eq!(server.post("/apps/1/events", &to(&["a", "b"])).await.0, 429);
    assert_eq!(server.post("/apps/1/events", &to(&["a"])).await.0, 200);
    assert_eq!(server.post("/apps/1/events", &to(&["a"])).await.0, 429);
    for status in [200, 200, 429] {
        assert_eq!(server.get("/apps/1/channels", "").await.0, status);
    }
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let server = TestServer::start().await;
    let check = async |request: String, expected: (u16, &str)| {
        let (status, body) = server.request(&request).await;
        assert_eq!((status, body.as_str()), expected, "{request}");
    };
    let plain = |method: &str, path: &str| {
        format!("{method} {path} HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n")
    };
    check(plain("GET", "/nothing"), (404, "Not found\n")).await;
    check(plain("PUT", "/apps/1/events"), (405, "Method not allowed: use POST\n")).await;
    check(plain("POST", "/apps/1/channels"), (405, "Method not allowed: use GET\n")).await;
    check(plain("GET", "/app/test-key"), (426, "Connect to this address with a websocket\n")).await;
    check(plain("GET", "/apps/9/channels"), (404, "The app 9 could not be found\n")).await;
    check(plain("GET", "/apps/1/channels"), (401, "Missing parameter: auth_key\n")).await;
    check(plain("GET", "/apps/1/channels?auth_key=x"), (401, "Unknown auth_key\n")).await;
    let large = "x".repeat(1024 * 1024 + 1);
    check(
        server.signed("POST", "/apps/1/events", "", &large, ""),
        (413, "The request body is over 1048576 bytes\n"),
    )
    .await;
}

#[tokio::test]
async fn the_demo_page_shows_the_key_and_no_secret() {
    let server = TestServer::start().await;
    let (status, page) = server.request("GET / HTTP/1.1\r\nhost: test\r\n\r\n").await;
    assert_eq!(status, 200);
    assert!(page.contains("const key = \"test-key\"") && !page.contains("test-secret"));
}
