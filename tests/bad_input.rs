//! Bad input costs its sender, and nobody else.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tidings_server::Clock;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

use crate::harness::{Client, DEADLINE, TestServer, app, open, read_response};

/// The message ends its own connection with this code; another client notices nothing.
async fn check_closed(message: Message, code: u16) {
    let server = TestServer::start().await;
    let mut other = server.connect().await;
    other.subscribe(&server, "room", None).await;
    let mut bad = server.connect().await;
    bad.ws.send(message).await.expect("the server reads");
    bad.expect_closed(code).await;
    server.trigger("room", "e", "still here").await;
    assert_eq!(other.expect("e", "room").await, "still here");
}

#[tokio::test]
async fn binary_oversized_and_bad_utf8_messages_close_their_connection() {
    check_closed(Message::binary(vec![1, 2, 3]), 1003).await;
    check_closed(Message::text("x".repeat(128 * 1024 + 1)), 1009).await;
    let bad_utf8 = Frame::message(vec![0xff, 0xfe], OpCode::Data(Data::Text), true);
    check_closed(Message::Frame(bad_utf8), 1007).await;
    let unfinished = Frame::message("tail", OpCode::Data(Data::Continue), true);
    check_closed(Message::Frame(unfinished), 1002).await;
}

#[tokio::test]
async fn malformed_frames_are_told_and_leave_the_connection_usable() {
    let server = TestServer::start_with(app(), Clock::manual()).await;
    let mut client = server.connect().await;
    let deep = format!("{{\"event\":\"pusher:subscribe\",\"data\":{}", "[".repeat(100_000));
    for text in ["", "no JSON", "[]", "{}", r#"{"event":1}"#, r#"{"event":"nonsense"}"#, &deep] {
        client.ws.send(Message::text(text)).await.expect("the server reads");
        let error = client.frame().await.expect("an error");
        assert_eq!(
            (&error["event"], &error["data"]["code"]),
            (&json!("pusher:error"), &json!(null)),
            "{error}"
        );
    }
    // A flood is not answered line by line; what is right is.
    for _ in 0..1000 {
        client.ws.feed(Message::text("nonsense")).await.expect("the server reads");
    }
    client.ws.flush().await.expect("the server reads");
    client.subscribe_after_errors(&server).await;
}

impl Client {
    async fn subscribe_after_errors(&mut self, server: &TestServer) {
        self.send_subscribe(server, "room", None).await;
        let mut errors = 0;
        loop {
            let frame = self.frame().await.expect("a frame");
            if frame["event"] == "pusher_internal:subscription_succeeded" {
                assert!(errors <= 3, "{errors} errors were told of 1,000");
                return;
            }
            assert_eq!(frame["event"], "pusher:error");
            errors += 1;
        }
    }
}

#[tokio::test]
async fn fragments_and_early_frames_are_understood() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    let text = json!({"event": "pusher:ping", "data": {}}).to_string();
    let (head, tail) = text.split_at(9);
    let first = Frame::message(head.to_owned(), OpCode::Data(Data::Text), false);
    let last = Frame::message(tail.to_owned(), OpCode::Data(Data::Continue), true);
    client.ws.send(Message::Frame(first)).await.expect("write");
    client.ws.send(Message::Ping("between".into())).await.expect("write");
    client.ws.send(Message::Frame(last)).await.expect("write");
    let pong = timeout(DEADLINE, client.ws.next()).await.expect("in time").expect("open").expect("a frame");
    assert_eq!(pong, Message::Pong("between".into()));
    assert_eq!(client.frame().await.expect("a frame")["event"], "pusher:pong");

    // Pysher pings in the same packet as its handshake.
    let mut stream = TcpStream::connect(server.address).await.expect("connect");
    let mut bytes = b"GET /app/test-key?protocol=6 HTTP/1.1\r\nhost: test\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".to_vec();
    let early = br#"{"event": "pusher:ping", "data": ""}"#;
    bytes.extend([0x81, 0x80 | u8::try_from(early.len()).expect("short"), 0, 0, 0, 0]);
    bytes.extend(early);
    stream.write_all(&bytes).await.expect("write");
    let mut answer = Vec::new();
    timeout(DEADLINE, async {
        while !String::from_utf8_lossy(&answer).contains("pusher:pong") {
            assert!(stream.read_buf(&mut answer).await.expect("read") > 0);
        }
    })
    .await
    .expect("a pong in time");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.find("connection_established") < answer.find("pusher:pong"), "{answer}");
}

#[tokio::test]
async fn bad_handshakes_and_huge_headers_are_refused() {
    let server = TestServer::start().await;
    let check = async |request: String, status: u16| {
        let mut stream = TcpStream::connect(server.address).await.expect("connect");
        stream.write_all(request.as_bytes()).await.expect("write");
        assert_eq!(read_response(&mut stream, &mut Vec::new()).await.0, status, "{}", &request[..80]);
    };
    let upgrade = |more: &str| {
        format!(
            "GET /app/test-key HTTP/1.1\r\nhost: test\r\nconnection: Upgrade\r\nupgrade: websocket\r\n{more}\r\n"
        )
    };
    check(upgrade("sec-websocket-version: 8\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), 400).await;
    check(upgrade("sec-websocket-version: 13\r\nsec-websocket-key: short\r\n"), 400).await;
    check(upgrade("sec-websocket-version: 13\r\n"), 400).await;
    check(upgrade(&format!("x: {}\r\n", "y".repeat(20_000))), 431).await;
    check(upgrade(&"x: y\r\n".repeat(200)), 431).await;
    server.connect().await.expect_nothing().await;
}

#[tokio::test]
async fn refusals_are_told_on_the_socket() {
    let mut app = app();
    app.limits.connections = tidings_protocol::limit::Limit::new(1);
    let server = TestServer::start_with(app, Clock::system()).await;
    let check = async |path: &str, code: u16| {
        let ws = open(&server, path).await;
        let mut client = Client { ws, socket_id: String::new() };
        let error = client.frame().await.expect("an error");
        assert_eq!(
            (&error["event"], &error["data"]["code"]),
            (&json!("pusher:error"), &json!(code)),
            "{path}"
        );
        client.expect_closed(code).await;
    };
    check("/app/nobody", 4001).await;
    check("/other/path", 4005).await;
    check("/app/test-key?protocol=3", 4007).await;
    let mut first = server.connect().await;
    check("/app/test-key?protocol=7", 4004).await;
    first.expect_nothing().await;
    drop(first);
    timeout(DEADLINE, async {
        loop {
            let mut ws = open(&server, "/app/test-key").await;
            if crate::harness::next_frame(&mut ws).await.expect("a frame")["event"] != "pusher:error" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the place is free again");
}

#[tokio::test]
async fn the_pusher_subprotocol_is_echoed() {
    let server = TestServer::start().await;
    let mut stream = TcpStream::connect(server.address).await.expect("connect");
    let request = "GET /app/test-key HTTP/1.1\r\nhost: test\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: other, pusher-channels-protocol-7\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("write");
    let mut answer = Vec::new();
    timeout(DEADLINE, async {
        while !String::from_utf8_lossy(&answer).contains("\r\n\r\n") {
            assert!(stream.read_buf(&mut answer).await.expect("read") > 0);
        }
    })
    .await
    .expect("an answer in time");
    let answer = String::from_utf8_lossy(&answer).to_ascii_lowercase();
    assert!(
        answer.starts_with("http/1.1 101")
            && answer.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=")
    );
    assert!(answer.contains("sec-websocket-protocol: pusher-channels-protocol-7\r\n"), "{answer}");
}
