//! Leaving, apps that change, and what is left when sockets have gone.

use std::time::Duration;

use serde_json::json;
use tidings_protocol::{app::AppSecret, origin::AllowedOrigins};
use tidings_server::Clock;

use crate::harness::{Client, TestServer, app, open};

#[tokio::test]
async fn a_stop_tells_every_client_to_come_back() {
    let server = TestServer::start().await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(server.connect().await);
    }
    let closing =
        clients.into_iter().map(|mut client| tokio::spawn(async move { client.expect_closed(4100).await }));
    let closing: Vec<_> = closing.collect();
    server.stop().await;
    for closed in closing {
        closed.await.expect("closed with 4100");
    }
}

#[tokio::test]
async fn after_the_longest_silence_too_a_client_that_does_not_answer_is_closed() {
    const SILENCE: Duration = Duration::from_hours(1);
    let clock = Clock::manual();
    let server = TestServer::start_patient(app(), clock.clone(), SILENCE, |_| {}).await;
    let mut client = server.connect().await;
    client.subscribe(&server, "room", None).await;
    let pass = async |time: Duration| {
        for _ in 0..time.as_secs() / 10 {
            clock.advance(Duration::from_secs(10));
            server.turn().await;
        }
    };
    pass(SILENCE * 9 / 10).await;
    client.expect_nothing().await;
    pass(SILENCE * 2).await;
    // Its websocket library would answer if it were read.
    client.expect_closed(4201).await;
}

#[tokio::test]
async fn apps_change_without_a_restart() {
    let server = TestServer::start().await;
    let mut stays = server.connect().await;
    stays.subscribe(&server, "room", None).await;
    let mut second = app();
    second.id = "2".to_owned();
    second.key = "second-key".to_owned();
    server.apps.replace(vec![app(), second.clone()]);
    let mut on_second = Client { ws: open(&server, "/app/second-key").await, socket_id: String::new() };
    on_second.frame().await.expect("a greeting");

    second.enabled = false;
    server.apps.replace(vec![app(), second]);
    on_second.expect_closed(4003).await;
    server.trigger("room", "e", "still here").await;
    assert_eq!(stays.expect("e", "room").await, "still here");
    let mut refused = Client { ws: open(&server, "/app/second-key").await, socket_id: String::new() };
    refused.expect_closed(4003).await;

    let mut rotated = app();
    rotated.secret = AppSecret::new("another-secret");
    server.apps.replace(vec![rotated.clone()]);
    let body = json!({"name": "e", "channel": "room", "data": ""}).to_string();
    assert_eq!(server.post("/apps/1/events", &body).await.0, 401, "the old secret signs no more");
    stays.expect_nothing().await;
    stays.send_subscribe(&server, "private-room", None).await;
    stays.expect("pusher:subscription_error", "private-room").await;
    stays.frame().await.expect("the error beside it");
    let socket_id = stays.socket_id.parse().expect("a socket id");
    let auth = tidings_protocol::auth::channel::sign(&rotated, socket_id, "private-room", None);
    stays
        .send(&json!({"event": "pusher:subscribe", "data": {"channel": "private-room", "auth": auth}}))
        .await;
    stays.expect("pusher_internal:subscription_succeeded", "private-room").await;

    server.apps.replace(Vec::new());
    stays.expect_closed(4003).await;
}

#[tokio::test]
async fn who_leaves_without_a_word_is_counted_by_the_rules_of_now() {
    let server = TestServer::start().await;
    let (mut stays, mut goes) = (server.connect().await, server.connect().await);
    for client in [&mut stays, &mut goes] {
        client.subscribe(&server, "room", None).await;
    }
    let mut counted = app();
    counted.features.subscription_count = true;
    server.apps.replace(vec![counted]);
    drop(goes);
    let count = stays.expect("pusher_internal:subscription_count", "room").await;
    assert_eq!(count, json!({"subscription_count": 1}));
}

#[tokio::test]
async fn only_allowed_origins_connect() {
    let mut app = app();
    app.allowed_origins = AllowedOrigins::parse(["https://shop.example"]).expect("an origin");
    let server = TestServer::start_with(app, Clock::system()).await;
    let status = async |origin: &str| {
        use tokio_tungstenite::{client_async, tungstenite::client::IntoClientRequest as _};
        let mut request =
            format!("ws://{}/app/test-key", server.address).into_client_request().expect("a request");
        request.headers_mut().insert("origin", origin.parse().expect("a header"));
        let stream = tokio::net::TcpStream::connect(server.address).await.expect("connect");
        let (ws, _) = client_async(request, stream).await.expect("an upgrade");
        Client { ws, socket_id: String::new() }
    };
    let greeting = status("https://shop.example").await.frame().await.expect("a greeting");
    assert_eq!(greeting["event"], "pusher:connection_established");
    status("https://evil.example").await.expect_closed(4009).await;
    server.connect().await.expect_nothing().await;
}
