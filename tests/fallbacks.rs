//! Where websockets are blocked: sessions of HTTP requests, held against what a socket does.

use std::time::Duration;

use serde_json::{Value, json};
use tidings_protocol::{SocketId, auth, limit::Limit, origin::AllowedOrigins};
use tidings_server::Clock;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::harness::{DEADLINE, TestServer, app, data};

/// The answer to one request, read as it comes.
struct Answer {
    stream: TcpStream,
    head: String,
    /// What has come and was not looked at.
    raw: Vec<u8>,
    /// What has come of the body and was not looked at.
    body: String,
    /// The lines so far, in UTF-16 units as a browser counts them.
    units: usize,
}

impl Answer {
    async fn of(server: &TestServer, request: &str) -> Self {
        let mut stream = TcpStream::connect(server.address).await.expect("the server listens");
        stream.write_all(request.as_bytes()).await.expect("the server reads");
        let mut answer =
            Answer { stream, head: String::new(), raw: Vec::new(), body: String::new(), units: 0 };
        while answer.head.is_empty() {
            assert!(answer.read().await, "the connection ended without a head");
            if let Some(end) = answer.raw.windows(4).position(|window| window == b"\r\n\r\n") {
                answer.head = String::from_utf8(answer.raw.drain(..end + 4).collect()).expect("text");
            }
        }
        answer
    }

    fn status(&self) -> u16 {
        self.head[9..12].parse().expect("a status")
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|line| line.split_once(": ").filter(|(key, _)| *key == name))
            .map(|(_, v)| v)
    }

    /// The next line of the body, without its end; `None` when the body is over.
    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some((line, rest)) = self.body.split_once('\n') {
                let line = line.trim_end_matches('\r').to_owned();
                self.body = self.body.split_off(self.body.len() - rest.len());
                self.units += line.encode_utf16().count() + 1;
                return Some(line);
            }
            if !self.chunk().await {
                return None;
            }
        }
    }

    /// The next line after so much time. The server may plan a deadline only after the clock was moved past it: then
    /// it is told a second later, so the clock goes on until the line has come.
    async fn line_after(&mut self, clock: &Clock, time: Duration) -> Option<String> {
        clock.advance(time);
        loop {
            match timeout(Duration::from_millis(100), self.line()).await {
                Ok(line) => return line,
                Err(_) => clock.advance(Duration::from_secs(1)),
            }
        }
    }

    /// All that is left of the body.
    async fn rest(&mut self) -> String {
        while self.chunk().await {}
        std::mem::take(&mut self.body)
    }

    /// Takes in a further piece of the body; false when there is none.
    async fn chunk(&mut self) -> bool {
        if let Some(length) = self.header("content-length") {
            let length = length.parse().expect("a number");
            while self.raw.len() < length {
                assert!(self.read().await, "the connection ended in the body");
            }
            self.body.push_str(&String::from_utf8(std::mem::take(&mut self.raw)).expect("text"));
            return false;
        }
        if self.header("transfer-encoding") != Some("chunked") {
            return false;
        }
        loop {
            if let Some(end) = self.raw.windows(2).position(|window| window == b"\r\n") {
                let size = str::from_utf8(&self.raw[..end]).expect("text");
                let size = usize::from_str_radix(size, 16).expect("the size of a chunk");
                if self.raw.len() >= end + 2 + size + 2 {
                    let chunk = self.raw.drain(..end + 2 + size + 2).skip(end + 2).take(size).collect();
                    self.body.push_str(&String::from_utf8(chunk).expect("text"));
                    return size > 0;
                }
            }
            assert!(self.read().await, "the connection ended in the body");
        }
    }

    async fn read(&mut self) -> bool {
        let read = timeout(DEADLINE, self.stream.read_buf(&mut self.raw)).await;
        read.expect("an answer in time").expect("the server answers") > 0
    }
}

/// A client that speaks as pusher-js does, one request at a time.
struct Client<'a> {
    server: &'a TestServer,
    path: String,
    requests: u64,
    socket_id: String,
}

impl<'a> Client<'a> {
    fn new(server: &'a TestServer, session: &str) -> Self {
        let path = format!("/pusher/app/{}/123/{session}", server.app.key);
        Client { server, path, requests: 7, socket_id: String::new() }
    }

    async fn post(&mut self, verb: &str, body: &str) -> Answer {
        self.requests += 1;
        self.post_as(self.requests, verb, body).await
    }

    /// The `number`th request of the page.
    async fn post_as(&self, number: u64, verb: &str, body: &str) -> Answer {
        let path = format!("{}/{verb}?protocol=7&client=js&version=8.6.0&t=1&n={number}", self.path);
        Answer::of(self.server, &post(&path, "", body)).await
    }

    /// Opens the session with a stream, and reads the greeting.
    async fn stream(server: &'a TestServer, session: &str) -> (Self, Answer) {
        let mut client = Client::new(server, session);
        let mut stream = client.post("xhr_streaming", "").await;
        assert_eq!(stream.status(), 200);
        assert_eq!(stream.line().await, Some("h".repeat(2048)));
        assert_eq!(stream.line().await.as_deref(), Some("o"));
        client.greeted(&next(&mut stream).await);
        (client, stream)
    }

    /// Opens the session with a poll, and reads the greeting.
    async fn poll(server: &'a TestServer, session: &str) -> Self {
        let mut client = Client::new(server, session);
        let lines = client.polled().await;
        assert_eq!(lines[0], "o");
        client.greeted(&message(&lines[1]));
        client
    }

    fn greeted(&mut self, frame: &Value) {
        assert_eq!(frame["event"], "pusher:connection_established", "{frame}");
        data(frame)["socket_id"].as_str().expect("a socket id").clone_into(&mut self.socket_id);
    }

    /// The lines of one poll.
    async fn polled(&mut self) -> Vec<String> {
        let mut poll = self.post("xhr", "").await;
        assert_eq!(poll.status(), 200);
        poll.rest().await.lines().map(str::to_owned).collect()
    }

    async fn send(&mut self, frame: &Value) {
        let sent = self.post("xhr_send", &json!([frame.to_string()]).to_string()).await;
        assert_eq!(sent.status(), 204);
    }

    async fn send_subscribe(&mut self, channel: &str, channel_data: Option<&str>) {
        let socket_id: SocketId = self.socket_id.parse().expect("a socket id");
        let auth = auth::channel::sign(&self.server.app, socket_id, channel, channel_data);
        let mut data = json!({"channel": channel, "auth": auth});
        if let Some(channel_data) = channel_data {
            data["channel_data"] = channel_data.into();
        }
        self.send(&json!({"event": "pusher:subscribe", "data": data})).await;
    }

    /// Subscribes; the success comes on the stream.
    async fn subscribe(&mut self, stream: &mut Answer, channel: &str) {
        self.send_subscribe(channel, None).await;
        assert_eq!(next(stream).await["event"], "pusher_internal:subscription_succeeded");
    }
}

fn post(path: &str, headers: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: test\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: test\r\n{headers}\r\n")
}

/// The frame in a line.
fn message(line: &str) -> Value {
    let frames: Vec<String> = line
        .strip_prefix('a')
        .and_then(|frames| serde_json::from_str(frames).ok())
        .unwrap_or_else(|| panic!("no message: {line}"));
    let [frame] = &frames[..] else { panic!("one frame in {line}") };
    serde_json::from_str(frame).expect("JSON")
}

async fn next(stream: &mut Answer) -> Value {
    message(&stream.line().await.expect("a line"))
}

/// A line that closes with this code, and the error before it.
fn check_refused(lines: &[&str], code: u16) {
    let [error, close] = lines else { panic!("an error and a close in {lines:?}") };
    assert_eq!(message(error)["data"]["code"], json!(code));
    let close: Value = serde_json::from_str(close.strip_prefix('c').expect("a close")).expect("JSON");
    assert_eq!(close[0], json!(code));
    assert_ne!(close[1], json!(""));
}

/// The rest of an answer tells of this close.
async fn expect_closed(answer: &mut Answer, code: u16) {
    let rest = answer.rest().await;
    check_refused(&rest.lines().collect::<Vec<_>>(), code);
}

#[tokio::test]
async fn a_stream_carries_what_a_socket_would() {
    let server = TestServer::start().await;
    let mut other = server.connect().await;
    other.subscribe(&server, "presence-room", Some(r#"{"user_id":"ws"}"#)).await;
    let (mut client, mut stream) = Client::stream(&server, "aaaa0001").await;
    assert_eq!(stream.header("content-type"), Some("application/javascript; charset=UTF-8"));
    assert_eq!(stream.header("access-control-allow-origin"), Some("*"));
    client.send_subscribe("presence-room", Some(r#"{"user_id":"xhr"}"#)).await;
    let success = data(&next(&mut stream).await);
    assert_eq!(success["presence"]["ids"], json!(["ws", "xhr"]));
    assert_eq!(other.expect("pusher_internal:member_added", "presence-room").await["user_id"], "xhr");

    server.trigger("presence-room", "e", "zażółć \u{1F6CE}\n\"").await;
    assert_eq!(data(&next(&mut stream).await), "zażółć \u{1F6CE}\n\"");
    other.expect("e", "presence-room").await;
    let event = json!({"event": "client-typing", "channel": "presence-room", "data": {"n": 1}});
    client.send(&event).await;
    assert_eq!(other.expect("client-typing", "presence-room").await, json!({"n": 1}));
    // A sign of life is answered by one, or the client would take us for dead.
    assert_eq!(client.post("xhr_send", "[]").await.status(), 204);
    assert_eq!(stream.line().await.as_deref(), Some("a[]"));

    // Who breaks off the stream has gone, and does not come back to it.
    drop(stream);
    assert_eq!(other.expect("pusher_internal:member_removed", "presence-room").await["user_id"], "xhr");
    assert_eq!(client.post("xhr_send", "[]").await.status(), 404);
}

#[tokio::test]
async fn polls_carry_all_that_has_come_between_them() {
    let server = TestServer::start().await;
    let mut client = Client::poll(&server, "aaaa0002").await;
    client.send_subscribe("room", None).await;
    assert_eq!(message(&client.polled().await[0])["event"], "pusher_internal:subscription_succeeded");
    for n in 0..100 {
        server.trigger("room", "e", &n.to_string()).await;
    }
    let mut seen = Vec::new();
    while seen.len() < 100 {
        let lines = client.polled().await;
        assert!(!lines.is_empty());
        seen.extend(lines.iter().map(|line| data(&message(line))));
    }
    assert_eq!(seen, (0..100).map(|n| json!(n)).collect::<Vec<_>>());
    // Then a poll waits.
    let (lines, ()) = tokio::join!(client.polled(), server.trigger("room", "e", "later"));
    assert_eq!(lines.iter().map(|line| data(&message(line))).collect::<Vec<_>>(), ["later"]);
}

#[tokio::test]
async fn refusals_have_the_codes_of_a_socket() {
    let mut app = app();
    app.limits.connections = Limit::new(1);
    app.allowed_origins = AllowedOrigins::parse(["https://shop.example"]).expect("an origin");
    let server = TestServer::start_with(app, Clock::system()).await;
    let check = async |path: &str, headers: &str, code: u16| {
        for verb in ["xhr", "xhr_streaming"] {
            let request = post(&path.replace("VERB", verb), headers, "");
            let mut answer = Answer::of(&server, &request).await;
            assert_eq!(answer.status(), 200);
            let rest = answer.rest().await;
            let lines: Vec<&str> = rest.lines().collect();
            assert_eq!(lines[0], "o", "a close is not understood before");
            check_refused(&lines[1..], code);
        }
    };
    let shop = "origin: https://shop.example\r\n";
    check("/pusher/app/nobody/1/aaaaaaaa/VERB?protocol=7", shop, 4001).await;
    check("/pusher/app/test-key/1/aaaaaaaa/VERB?protocol=3", shop, 4007).await;
    check("/pusher/app/test-key/1/aaaaaaaa/VERB?protocol=7", "origin: https://evil.example\r\n", 4009).await;
    let first = Answer::of(&server, &post("/pusher/app/test-key/1/bbbbbbbb/xhr_streaming", shop, "")).await;
    check("/pusher/app/test-key/1/aaaaaaaa/VERB?protocol=7", shop, 4004).await;
    drop(first);
}

/// A stream on which events wait, read as far as a client reads it; how many of them it has carried.
async fn full_stream<'a>(
    server: &'a TestServer,
    session: &str,
    events: usize,
) -> (Client<'a>, Answer, usize) {
    let (mut client, mut stream) = Client::stream(server, session).await;
    client.subscribe(&mut stream, "room").await;
    let text = "ż".repeat(4_000);
    for n in 0..events {
        server.trigger("room", "e", &format!("{n} {text}")).await;
    }
    let mut seen = 0;
    while stream.units <= 256 * 1024 {
        check_numbered(&next(&mut stream).await, seen);
        seen += 1;
    }
    (client, stream, seen)
}

fn check_numbered(frame: &Value, n: usize) {
    assert!(data(frame).as_str().expect("text").starts_with(&format!("{n} ")), "{n} is next");
}

#[tokio::test]
async fn a_long_stream_carries_nothing_that_the_client_will_not_read() {
    let server = TestServer::start_with(app(), Clock::manual()).await;
    let (mut client, mut stream, seen) = full_stream(&server, "aaaa0004", 100).await;
    // pusher-js breaks it off and asks for a new one, in whichever order that is noticed here.
    let mut renewed = client.post("xhr_streaming", "").await;
    assert_eq!(stream.line().await, None);
    assert_eq!(renewed.line().await, Some("h".repeat(2048)));
    for n in seen..100 {
        check_numbered(&next(&mut renewed).await, n);
    }
    let (mut client, stream, seen) = full_stream(&server, "aaaa0016", 100).await;
    drop(stream);
    let mut renewed = client.post("xhr_streaming", "").await;
    renewed.line().await.expect("the prelude");
    for n in seen..100 {
        check_numbered(&next(&mut renewed).await, n);
    }
}

#[tokio::test]
async fn a_long_stream_that_is_not_renewed_ends() {
    let clock = Clock::manual();
    let server = TestServer::start_with(app(), clock.clone()).await;
    let (mut client, mut stream, seen) = full_stream(&server, "aaaa0014", 70).await;
    assert_eq!(stream.line_after(&clock, Duration::from_secs(6)).await, None);
    let mut renewed = client.post("xhr_streaming", "").await;
    renewed.line().await.expect("the prelude");
    for n in seen..70 {
        check_numbered(&next(&mut renewed).await, n);
    }
}

#[tokio::test]
async fn who_does_not_ask_for_messages_is_closed_with_4100() {
    let server = TestServer::start_with(app(), Clock::manual()).await;
    let mut client = Client::poll(&server, "aaaa0005").await;
    client.send_subscribe("room", None).await;
    client.polled().await;
    let data = "x".repeat(10_000);
    for _ in 0..120 {
        server.trigger("room", "e", &data).await;
    }
    let lines = client.polled().await;
    check_refused(&lines.iter().map(String::as_str).collect::<Vec<_>>(), 4100);
    assert_eq!(server.apps.metrics().slow_consumers_closed(), 1);
    server.vacated("room").await;
}

#[tokio::test]
async fn a_client_that_stays_away_is_gone_after_five_seconds() {
    let clock = Clock::manual();
    let server = TestServer::start_with(app(), clock.clone()).await;
    let mut client = Client::poll(&server, "aaaa0006").await;
    client.send_subscribe("room", None).await;
    client.polled().await;
    clock.advance(Duration::from_secs(4));
    assert!(server.occupied("room").await);
    clock.advance(Duration::from_secs(2));
    server.vacated("room").await;
    assert_eq!(client.post("xhr_send", "[]").await.status(), 404);
    // Another poll is a session of its own: the client sees a second opening and starts anew.
    assert_eq!(client.polled().await[0], "o");
}

#[tokio::test]
async fn silence_is_broken_by_heartbeats_then_by_a_ping_then_by_4201() {
    let clock = Clock::manual();
    let server = TestServer::start_with(app(), clock.clone()).await;
    let (_, mut stream) = Client::stream(&server, "aaaa0007").await;
    for _ in 0..4 {
        assert_eq!(stream.line_after(&clock, Duration::from_secs(26)).await.as_deref(), Some("h"));
    }
    let mut lines = Vec::new();
    while let Some(line) = stream.line_after(&clock, Duration::from_secs(1)).await {
        if line != "h" {
            lines.push(line);
        }
    }
    let [ping, error, close] = &lines[..] else { panic!("a ping, an error and a close in {lines:?}") };
    assert_eq!(message(ping)["event"], "pusher:ping");
    check_refused(&[error, close], 4201);
}

#[tokio::test]
async fn a_poll_without_messages_ends_with_a_heartbeat() {
    let clock = Clock::manual();
    let server = TestServer::start_with(app(), clock.clone()).await;
    let mut client = Client::poll(&server, "aaaa0008").await;
    for _ in 0..8 {
        // Each poll is a sign of life: no ping comes in between, and no close.
        let mut poll = client.post("xhr", "").await;
        assert_eq!(poll.line_after(&clock, Duration::from_secs(26)).await.as_deref(), Some("h"));
        assert_eq!(poll.line().await, None);
    }
}

#[tokio::test]
async fn a_stop_tells_every_session_to_come_back() {
    let server = TestServer::start().await;
    let address = server.address;
    let streams = async {
        let (_, stream) = Client::stream(&server, "aaaa0009").await;
        let mut polling = Client::poll(&server, "aaaa0010").await;
        let poll = polling.post("xhr", "").await;
        [stream, poll]
    };
    let answers = streams.await;
    server.stop().await;
    for mut answer in answers {
        expect_closed(&mut answer, 4100).await;
    }
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn the_newest_receiving_request_is_the_one_that_counts() {
    let server = TestServer::start().await;
    let (mut client, mut old) = Client::stream(&server, "aaaa0011").await;
    client.subscribe(&mut old, "room").await;
    let mut new = client.post("xhr_streaming", "").await;
    assert_eq!(old.line().await, None);
    new.line().await.expect("the prelude");
    server.trigger("room", "e", "once").await;
    assert_eq!(data(&next(&mut new).await), "once");
}

#[tokio::test]
async fn sends_that_overtake_each_other_are_put_in_order() {
    let mut app = app();
    app.limits.client_events_per_second = Limit::NONE;
    let server = TestServer::start_with(app, Clock::system()).await;
    let mut other = server.connect().await;
    other.subscribe(&server, "private-room", None).await;
    let (mut client, mut stream) = Client::stream(&server, "aaaa0012").await;
    client.subscribe(&mut stream, "private-room").await;
    let event = |n: u64| {
        let event = json!({"event": "client-n", "channel": "private-room", "data": n});
        json!([event.to_string()]).to_string()
    };
    let (client, first) = (&client, client.requests + 1);
    let sends = [4, 2, 1, 3, 0].map(|n| {
        let body = event(n);
        async move { assert_eq!(client.post_as(first + n, "xhr_send", &body).await.status(), 204) }
    });
    futures_util::future::join_all(sends).await;
    for n in 0..5 {
        assert_eq!(other.expect("client-n", "private-room").await, json!(n));
    }
    // What a browser has asked about is waited for.
    let preflight =
        format!("OPTIONS {}/xhr_send?t=1&n={} HTTP/1.1\r\nhost: test\r\n\r\n", client.path, first + 6);
    assert_eq!(Answer::of(&server, &preflight).await.status(), 204);
    // The answer does not wait: the browser may need the connection for what is waited for.
    assert_eq!(client.post_as(first + 7, "xhr_send", &event(7)).await.status(), 204);
    // Longer than for a number that may be another connection's.
    assert!(timeout(Duration::from_millis(400), other.frame()).await.is_err(), "it was not its turn");
    assert_eq!(client.post_as(first + 6, "xhr_send", &event(6)).await.status(), 204);
    for n in [6, 7] {
        assert_eq!(other.expect("client-n", "private-room").await, json!(n));
    }
    // Many at once, none of which is the next, do not hold each other up either.
    let sends = (20..30).map(|n| {
        let body = event(n);
        async move { assert_eq!(client.post_as(first + n, "xhr_send", &body).await.status(), 204) }
    });
    futures_util::future::join_all(sends).await;
    for n in 20..30 {
        assert_eq!(other.expect("client-n", "private-room").await, json!(n));
    }
    // A number that never comes belongs to another connection of the page, and holds nothing up for long.
    assert_eq!(client.post_as(first + 39, "xhr_send", &event(39)).await.status(), 204);
    assert_eq!(other.expect("client-n", "private-room").await, json!(39));
}

#[tokio::test]
async fn bad_requests_are_refused_and_cost_nobody_else() {
    let server = TestServer::start().await;
    let (mut client, mut stream) = Client::stream(&server, "aaaa0013").await;
    for body in ["", "{}", "[1]", "nonsense"] {
        assert_eq!(client.post("xhr_send", body).await.status(), 400, "{body}");
    }
    client.send(&json!({"event": "nonsense"})).await;
    assert_eq!(next(&mut stream).await["event"], "pusher:error");
    let check = async |request: String, status: u16| {
        assert_eq!(Answer::of(&server, &request).await.status(), status, "{request}");
    };
    check(post("/pusher/app/test-key/1/unknown0/xhr_send", "", "[]"), 404).await;
    // A session belongs to the app that opened it.
    check(post("/pusher/app/other-key/123/aaaa0013/xhr_send", "", "[]"), 404).await;
    check(post("/pusher/app/test-key/1/aaaaaaaa/jsonp", "", ""), 404).await;
    check(post("/pusher/app/test-key/1/a.b/xhr", "", ""), 404).await;
    check(get("/pusher/app/test-key/1/aaaaaaaa/xhr", ""), 405).await;
    client.subscribe(&mut stream, "room").await;

    let long = json!(["x".repeat(200_000)]).to_string();
    assert_eq!(client.post("xhr_send", &long).await.status(), 204);
    let rest = stream.rest().await;
    assert!(rest.starts_with("c[1009,"), "{rest}");
    let (mut client, mut stream) = Client::stream(&server, "aaaa0015").await;
    assert_eq!(client.post("xhr_send", &"x".repeat(300_000)).await.status(), 413);
    let rest = stream.rest().await;
    assert!(rest.starts_with("c[1009,"), "{rest}");
}

#[tokio::test]
async fn browsers_are_told_that_pages_may_ask() {
    let server = TestServer::start().await;
    let preflight = "OPTIONS /pusher/app/test-key/1/aaaaaaaa/xhr_send HTTP/1.1\r\nhost: test\r\norigin: https://shop.example\r\naccess-control-request-method: POST\r\naccess-control-request-headers: content-type\r\n\r\n";
    let answer = Answer::of(&server, preflight).await;
    assert_eq!(answer.status(), 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("access-control-allow-headers"), Some("content-type"));
    assert!(answer.header("access-control-allow-methods").is_some_and(|methods| methods.contains("POST")));
    let unknown = Answer::of(&server, &post("/pusher/app/test-key/1/unknown0/xhr_send", "", "[]")).await;
    assert_eq!(unknown.header("access-control-allow-origin"), Some("*"), "or the page sees no status");
}

#[tokio::test]
async fn a_sockjs_session_is_for_the_app_that_its_first_message_names() {
    let mut app = app();
    app.allowed_origins = AllowedOrigins::parse(["https://shop.example"]).expect("an origin");
    let server = TestServer::start_with(app, Clock::system()).await;
    let info = Answer::of(&server, &get("/pusher/info", "")).await.rest().await;
    let info: Value = serde_json::from_str(&info).expect("JSON");
    assert_eq!((&info["websocket"], &info["cookie_needed"]), (&json!(false), &json!(false)));

    let open = async |session: &str, origin: &str| {
        let path = format!("/pusher/12/{session}/eventsource?origin={origin}");
        let mut events = Answer::of(&server, &get(&path, "")).await;
        assert_eq!(events.header("content-type"), Some("text/event-stream; charset=UTF-8"));
        assert_eq!(event(&mut events).await, "o");
        events
    };
    let send = async |session: &str, text: &str| {
        let request = post(&format!("/pusher/12/{session}/xhr_send"), "", &json!([text]).to_string());
        assert_eq!(Answer::of(&server, &request).await.status(), 204);
    };
    let path = r#"{"path":"/app/test-key?protocol=7&client=js"}"#;
    let mut events = open("first_00", "https%3A%2F%2Fshop.example").await;
    send("first_00", path).await;
    assert_eq!(message(&event(&mut events).await)["event"], "pusher:connection_established");
    send("first_00", r#"{"event":"pusher:subscribe","data":{"channel":"room"}}"#).await;
    assert_eq!(message(&event(&mut events).await)["event"], "pusher_internal:subscription_succeeded");
    server.trigger("room", "e", "100 %25").await;
    let escaped = event(&mut events).await;
    assert_eq!(data(&message(&escaped.replace("%25", "%"))), "100 %25");

    let refused = async |session: &str, origin: &str, text: &str, code: u16| {
        let mut events = open(session, origin).await;
        send(session, text).await;
        let lines = [event(&mut events).await, event(&mut events).await];
        check_refused(&[&lines[0], &lines[1]], code);
        assert_eq!(events.line().await, None);
    };
    refused("second_0", "https%3A%2F%2Fevil.example", path, 4009).await;
    refused("third_00", "https%3A%2F%2Fshop.example", r#"{"path":"/app/nobody"}"#, 4001).await;
    refused("fourth_0", "https%3A%2F%2Fshop.example", "nonsense", 4005).await;
    // A page that speaks for itself cannot name another.
    let path = "/pusher/12/fifth_00/xhr?origin=https%3A%2F%2Fshop.example";
    let evil = post(path, "origin: https://evil.example\r\n", "");
    assert_eq!(Answer::of(&server, &evil).await.rest().await, "o\n");
    let evil_poll = Answer::of(&server, &evil);
    let named = send("fifth_00", r#"{"path":"/app/test-key?protocol=7"}"#);
    let (mut poll, ()) = tokio::join!(evil_poll, named);
    expect_closed(&mut poll, 4009).await;
}

/// The line in the next event of an event stream.
async fn event(events: &mut Answer) -> String {
    let line = events.line().await.expect("an event");
    assert_eq!(events.line().await.as_deref(), Some(""));
    line.strip_prefix("data: ").expect("data").to_owned()
}

#[tokio::test]
async fn the_iframe_runs_no_script_but_its_own() {
    let server = TestServer::start().await;
    let mut page =
        Answer::of(&server, &get("/pusher/iframe.html?js_path=https%3A%2F%2Fevil.example%2F", "")).await;
    let policy = page.header("content-security-policy").expect("a policy").to_owned();
    assert!(policy.contains("default-src 'none'") && !policy.contains("https:"), "{policy}");
    assert!(!page.rest().await.contains("evil.example"));
}

#[tokio::test]
async fn statistics_are_answered_and_nothing_gets_into_the_script() {
    let server = TestServer::start().await;
    let answer = async |path: &str| {
        let mut answer = Answer::of(&server, &get(path, "")).await;
        (answer.status(), answer.rest().await)
    };
    let script = "Pusher.ScriptReceivers[3](null, {});".to_owned();
    assert_eq!(answer("/timeline/v2/jsonp/3?session=MQ%3D%3D&key=a").await, (200, script));
    assert_eq!(answer("/timeline/v2/jsonp/alert(1)?key=a").await.0, 404);
    assert_eq!(answer("/timeline/v2/xhr/2?key=a").await, (200, "{}".to_owned()));
}
