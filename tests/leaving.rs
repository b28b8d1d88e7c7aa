//! A server that is told to leave: who is told what, and when.

use std::time::Duration;

use serde_json::{Value, json};
use tidings_server::{Clock, Drain};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::harness::{Closed, DEADLINE, TestServer, app, read_response};

const FOR_EVER: Duration = Duration::from_hours(1);

async fn get(server: &TestServer, path: &str) -> (u16, Value) {
    let (status, body) = server.request(&format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n")).await;
    (status, serde_json::from_str(&body).expect("JSON"))
}

/// Waits until the server has taken the order.
async fn not_ready(server: &TestServer) -> Value {
    let asked = async {
        loop {
            let (status, body) = get(server, "/readyz").await;
            if status != 200 {
                assert_eq!(status, 503);
                return body;
            }
        }
    };
    timeout(DEADLINE, asked).await.expect("it says so in time")
}

#[tokio::test]
async fn probes_by_every_name() {
    let server = TestServer::start().await;
    for path in ["/healthz", "/live"] {
        assert_eq!(get(&server, path).await, (200, json!({"status": "ok"})), "{path}");
    }
    for path in ["/readyz", "/ready", "/up", "/accept-traffic"] {
        assert_eq!(get(&server, path).await, (200, json!({"status": "ready"})), "{path}");
    }
    server.apps.set_store_fails(true);
    let reasons = json!(["store: the apps of the data directory cannot be read"]);
    assert_eq!(get(&server, "/readyz").await, (503, json!({"status": "not ready", "reasons": reasons})));
    server.apps.set_store_fails(false);
    assert_eq!(get(&server, "/readyz").await.0, 200);
    let (status, _) =
        server.request("POST /readyz HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(status, 405);
}

#[tokio::test]
async fn readiness_fails_first_and_all_else_goes_on() {
    let server = TestServer::start().await;
    let mut before = server.connect().await;
    before.subscribe(&server, "room", None).await;
    server.leave(Drain { delay: FOR_EVER, window: Duration::ZERO }).await;
    let reasons = json!(["leaving: the server has been told to stop"]);
    assert_eq!(not_ready(&server).await, json!({"status": "not ready", "reasons": reasons}));
    assert_eq!(get(&server, "/healthz").await.0, 200);
    let mut after = server.connect().await;
    after.subscribe(&server, "room", None).await;
    server.trigger("room", "e", "still here").await;
    for client in [&mut before, &mut after] {
        assert_eq!(client.expect("e", "room").await, "still here");
    }
    server.leave(Drain::AT_ONCE).await;
    for mut client in [before, after] {
        client.expect_closed(4100).await;
    }
    server.ended().await;
}

#[tokio::test]
async fn a_further_order_does_not_begin_the_delay_anew() {
    let clock = Clock::manual();
    let server = TestServer::start_with(app(), clock.clone()).await;
    let mut client = server.connect().await;
    let drain = Drain { delay: FOR_EVER, window: Duration::ZERO };
    let last_minute = Duration::from_mins(1);
    server.leave(drain).await;
    not_ready(&server).await;
    clock.advance(FOR_EVER.checked_sub(last_minute).expect("it is longer"));
    server.leave(drain).await;
    client.expect_nothing().await;
    clock.advance(last_minute);
    let looked_at = async {
        loop {
            // It may have begun to wait just after the clock was moved.
            clock.advance(Duration::ZERO);
            server.turn().await;
        }
    };
    tokio::select! {
        _ = client.expect_closed(4100) => {}
        () = looked_at => {}
    }
}

#[tokio::test]
async fn sockets_are_closed_evenly_and_get_what_was_published_until_then() {
    const SOCKETS: u32 = 200;
    const WINDOW: Duration = Duration::from_secs(1);
    let server = TestServer::start().await;
    let clock = Clock::system();
    let mut clients = Vec::new();
    for _ in 0..SOCKETS {
        let mut client = server.connect().await;
        client.subscribe(&server, "room", None).await;
        clients.push(client);
    }
    let ordered = clock.now();
    server.leave(Drain { delay: Duration::ZERO, window: WINDOW }).await;
    let watching = clients.into_iter().map(|mut client| {
        let clock = clock.clone();
        tokio::spawn(async move {
            let mut seen = 0;
            loop {
                match client.frame().await {
                    Ok(frame) if frame["event"] == "pusher:error" => assert_eq!(frame["data"]["code"], 4100),
                    Ok(frame) => {
                        assert_eq!(frame["data"], json!(seen.to_string()), "in order and without a gap");
                        seen += 1;
                    }
                    Err(Closed(end)) => {
                        assert_eq!(end.map(|(code, _)| code), Some(4100));
                        return (clock.now() - ordered, seen);
                    }
                }
            }
        })
    });
    let watching: Vec<_> = watching.collect();
    not_ready(&server).await;
    let upgrade = "GET /app/test-key HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    assert_eq!(server.request(upgrade).await.0, 503, "it takes nobody who would have to go at once");
    let mut published = 0;
    while !watching.iter().all(tokio::task::JoinHandle::is_finished) {
        let body = json!({"name": "e", "channel": "room", "data": published.to_string()}).to_string();
        let request = server.signed("POST", "/apps/1/events", "", &body, "");
        let Ok(mut stream) = TcpStream::connect(server.address).await else { break };
        stream.write_all(request.as_bytes()).await.expect("written");
        let mut first = [0; 12];
        if stream.read_exact(&mut first).await.is_err() {
            // It has ended meanwhile, and has not acknowledged this one.
            break;
        }
        assert_eq!(&first, b"HTTP/1.1 200");
        published += 1;
    }
    let mut ends = Vec::new();
    for watched in watching {
        ends.push(watched.await.expect("no panic"));
    }
    server.ended().await;
    ends.sort_unstable();
    for (closed_before, (at, seen)) in (0..).zip(&ends) {
        // Sooner than its turn would be a storm; later may be this machine.
        let turn = WINDOW * closed_before / SOCKETS;
        assert!(*at + Duration::from_millis(10) >= turn, "socket {closed_before} was closed after {at:?}");
        // The last may have been delivered and its answer cut off.
        assert!(*seen <= published + 1);
    }
    assert!(ends.last().expect("sockets").1 > 0, "who stayed longest got what was published");
}

#[tokio::test]
async fn requests_under_way_are_answered() {
    let server = TestServer::start().await;
    let body = json!({"name": "e", "channel": "room", "data": "x"}).to_string();
    let request = server.signed("POST", "/apps/1/events", "", &body, "");
    let (head, tail) = request.split_at(request.len() - 5);
    let mut under_way = TcpStream::connect(server.address).await.expect("the server listens");
    under_way.write_all(head.as_bytes()).await.expect("written");
    let mut idle = TcpStream::connect(server.address).await.expect("the server listens");
    // The head has been read when a later request has been answered.
    assert_eq!(get(&server, "/healthz").await.0, 200);
    server.leave(Drain::AT_ONCE).await;
    let gone = async { while TcpStream::connect(server.address).await.is_ok() {} };
    timeout(DEADLINE, gone).await.expect("nobody listens");
    under_way.write_all(tail.as_bytes()).await.expect("written");
    assert_eq!(read_response(&mut under_way, &mut Vec::new()).await, (200, "{}".to_owned()));
    let ended = timeout(DEADLINE, idle.read(&mut [0; 16])).await.expect("in time");
    assert_eq!(ended.expect("an end"), 0, "a connection without a request is ended");
    server.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_before_the_end_is_delivered() {
    const SOCKETS: usize = 1_000;
    const BATCHES: usize = 20;
    let server = TestServer::start().await;
    let mut clients = Vec::new();
    for _ in 0..SOCKETS {
        let mut client = server.connect().await;
        client.subscribe(&server, "room", None).await;
        clients.push(client);
    }
    let batch: Vec<_> =
        (0..10).map(|n| json!({"name": "e", "channel": "room", "data": n.to_string()})).collect();
    let body = json!({"batch": batch}).to_string();
    for _ in 0..BATCHES {
        assert_eq!(server.post("/apps/1/batch_events", &body).await.0, 200);
    }
    server.leave(Drain::AT_ONCE).await;
    for mut client in clients {
        for at in 0..10 * BATCHES {
            let frame = client.frame().await.unwrap_or_else(|end| panic!("{end:?} before event {at}"));
            assert_eq!(frame["data"], json!((at % 10).to_string()));
        }
        client.expect_closed(4100).await;
    }
    server.ended().await;
}
