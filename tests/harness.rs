//! Starts servers, connects clients, signs requests.

use std::{net::SocketAddr, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tidings_protocol::{
    App, SocketId,
    app::{AppSecret, Features, Limits},
    auth::{self, request},
    origin::AllowedOrigins,
    webhook::Webhooks,
};
use tidings_server::{AppsHandle, Clock, Drain, Server, ServerConfig};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};

/// Whatever a test waits for comes within this, or the test has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// An app with everything on that can be.
pub(crate) fn app() -> App {
    App {
        id: "1".to_owned(),
        key: "test-key".to_owned(),
        secret: AppSecret::new("test-secret"),
        enabled: true,
        features: Features::default(),
        allowed_origins: AllowedOrigins::default(),
        limits: Limits::default(),
        webhooks: Webhooks::default(),
    }
}

/// A running server; it stops when dropped, or in order by [`stop`](Self::stop).
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) app: App,
    pub(crate) apps: AppsHandle,
    orders: mpsc::Sender<Drain>,
    running: JoinHandle<()>,
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        Self::start_with(app(), Clock::system()).await
    }

    pub(crate) async fn start_with(app: App, clock: Clock) -> Self {
        Self::start_prepared(app, clock, |_| {}).await
    }

    /// With something done to the server before it runs.
    pub(crate) async fn start_prepared(app: App, clock: Clock, prepare: impl FnOnce(&mut Server)) -> Self {
        Self::start_patient(app, clock, Duration::from_mins(2), prepare).await
    }

    /// The same, with so long a silence before a client is asked whether it is there.
    #[expect(clippy::unused_async, reason = "binding needs the runtime that an async test is in")]
    pub(crate) async fn start_patient(
        app: App,
        clock: Clock,
        activity_timeout: Duration,
        prepare: impl FnOnce(&mut Server),
    ) -> Self {
        let config = ServerConfig { host: [127, 0, 0, 1].into(), port: 0, activity_timeout };
        let mut server = Server::bind(config, vec![app.clone()], clock).expect("a free port");
        prepare(&mut server);
        let (address, apps) = (server.local_addr(), server.apps());
        let (orders, given) = mpsc::channel(1);
        let running = tokio::spawn(server.run(given));
        TestServer { address, app, apps, orders, running }
    }

    /// Stops the server in order, and waits until it has.
    pub(crate) async fn stop(self) {
        self.leave(Drain::AT_ONCE).await;
        self.ended().await;
    }

    /// Has the server leave.
    pub(crate) async fn leave(&self, drain: Drain) {
        self.orders.send(drain).await.expect("the server runs");
    }

    /// Waits until the server has ended.
    pub(crate) async fn ended(self) {
        timeout(DEADLINE, self.running).await.expect("it stops in time").expect("it does not panic");
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self, "").await
    }

    /// Publishes, and expects it to be accepted.
    pub(crate) async fn trigger(&self, channel: &str, event: &str, data: &str) {
        let body = json!({"name": event, "channel": channel, "data": data}).to_string();
        let (status, body) = self.post("/apps/1/events", &body).await;
        assert_eq!((status, body.as_str()), (200, "{}"));
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> (u16, String) {
        self.request(&self.signed("POST", path, "", body, "")).await
    }

    pub(crate) async fn get(&self, path: &str, query: &str) -> (u16, String) {
        self.request(&self.signed("GET", path, query, "", "")).await
    }

    /// A signed request as text; `headers` are further lines, each with its line end.
    pub(crate) fn signed(&self, method: &str, path: &str, query: &str, body: &str, headers: &str) -> String {
        let now = Clock::system().unix().as_secs();
        let mut parameters = format!("auth_key={}&auth_timestamp={now}&auth_version=1.0", self.app.key);
        if !body.is_empty() {
            parameters.push_str("&body_md5=");
            parameters.push_str(&request::body_md5(body.as_bytes()));
        }
        if !query.is_empty() {
            parameters.push('&');
            parameters.push_str(query);
        }
        let to_sign = request::string_to_sign(method, path, &request::Query::parse(&parameters));
        let signature = self.app.secret.sign(&[to_sign.as_bytes()]);
        format!(
            "{method} {path}?{parameters}&auth_signature={signature} HTTP/1.1\r\nhost: test\r\n{headers}content-length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    /// Sends a request on a connection of its own.
    pub(crate) async fn request(&self, request: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.expect("the server listens");
        stream.write_all(request.as_bytes()).await.expect("the server reads");
        read_response(&mut stream, &mut Vec::new()).await
    }

    /// Asks the server something and has its answer: time for it to do what is due.
    pub(crate) async fn turn(&self) {
        assert_eq!(self.request("GET /healthz HTTP/1.1\r\nhost: test\r\n\r\n").await.0, 200);
    }

    /// Whether the channel has subscribers, as the HTTP API says.
    pub(crate) async fn occupied(&self, channel: &str) -> bool {
        let (status, body) = self.get(&format!("/apps/1/channels/{channel}"), "").await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).expect("JSON")["occupied"] == json!(true)
    }

    /// Waits until it has none.
    pub(crate) async fn vacated(&self, channel: &str) {
        timeout(DEADLINE, async { while self.occupied(channel).await {} })
            .await
            .expect("the channel is left");
    }
}

/// Reads one response with a `content-length`; what follows it stays in `buffer`.
pub(crate) async fn read_response(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> (u16, String) {
    let read = async {
        loop {
            let text = String::from_utf8_lossy(buffer).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                let length: usize = length.map_or(0, |length| length.parse().expect("a number"));
                if body.len() >= length {
                    let status = head[9..12].parse().expect("a status");
                    let body = body[..length].to_owned();
                    buffer.drain(..head.len() + 4 + length);
                    return (status, body);
                }
            }
            let count = stream.read_buf(buffer).await.expect("the server answers");
            assert!(count > 0, "the connection ended in {text:?}");
        }
    };
    timeout(DEADLINE, read).await.expect("an answer in time")
}

/// A websocket client that has been greeted.
pub(crate) struct Client {
    pub(crate) ws: WebSocketStream<TcpStream>,
    pub(crate) socket_id: String,
}

/// How a connection ended: the code and reason of the close frame, if there was one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed(pub(crate) Option<(u16, String)>);

impl Client {
    pub(crate) async fn connect(server: &TestServer, query: &str) -> Self {
        let ws = open(server, &format!("/app/{}{query}", server.app.key)).await;
        let mut client = Client { ws, socket_id: String::new() };
        let greeting = client.frame().await.expect("a greeting");
        assert_eq!(greeting["event"], "pusher:connection_established", "{greeting}");
        data(&greeting)["socket_id"].as_str().expect("a socket id").clone_into(&mut client.socket_id);
        client
    }

    /// The next text frame as JSON, or how the connection ended. Pings are passed over.
    pub(crate) async fn frame(&mut self) -> Result<Value, Closed> {
        next_frame(&mut self.ws).await
    }

    /// The next frame is of this event and channel; returns its data.
    pub(crate) async fn expect(&mut self, event: &str, channel: &str) -> Value {
        let frame = self.frame().await.expect("a frame");
        assert_eq!((&frame["event"], &frame["channel"]), (&json!(event), &json!(channel)), "{frame}");
        data(&frame)
    }

    /// The connection is alive and nothing waits in it: a ping is the next thing to be answered. To show that an event
    /// was not delivered, publish another and expect that one: fan-out may still be on its way.
    pub(crate) async fn expect_nothing(&mut self) {
        self.send(&json!({"event": "pusher:ping", "data": {}})).await;
        let frame = self.frame().await.expect("a pong");
        assert_eq!(frame["event"], "pusher:pong", "{frame}");
    }

    pub(crate) async fn expect_closed(&mut self, code: u16) -> String {
        loop {
            match self.frame().await {
                Ok(frame) => assert_eq!(frame["event"], "pusher:error", "{frame}"),
                Err(Closed(Some((closed, reason)))) => {
                    assert_eq!(closed, code, "{reason}");
                    return reason;
                }
                Err(Closed(None)) => panic!("closed without a code, not with {code}"),
            }
        }
    }

    pub(crate) async fn send(&mut self, frame: &Value) {
        self.ws.send(Message::text(frame.to_string())).await.expect("the server reads");
    }

    /// Subscribes, with a signature where one is needed; returns the data of the success.
    pub(crate) async fn subscribe(
        &mut self,
        server: &TestServer,
        channel: &str,
        channel_data: Option<&str>,
    ) -> Value {
        self.send_subscribe(server, channel, channel_data).await;
        self.expect("pusher_internal:subscription_succeeded", channel).await
    }

    /// Signs in as the user that this JSON says.
    pub(crate) async fn sign_in(&mut self, server: &TestServer, user_data: &Value) {
        let socket_id: SocketId = self.socket_id.parse().expect("a socket id");
        let user_data = user_data.to_string();
        let auth = auth::user::sign(&server.app, socket_id, &user_data);
        let data = json!({"auth": auth, "user_data": user_data});
        self.send(&json!({"event": "pusher:signin", "data": data})).await;
        let success = self.frame().await.expect("a frame");
        assert_eq!(success["event"], "pusher:signin_success", "{success}");
    }

    pub(crate) async fn send_subscribe(
        &mut self,
        server: &TestServer,
        channel: &str,
        channel_data: Option<&str>,
    ) {
        let socket_id: SocketId = self.socket_id.parse().expect("a socket id");
        let auth = auth::channel::sign(&server.app, socket_id, channel, channel_data);
        let mut data = json!({"channel": channel, "auth": auth});
        if let Some(channel_data) = channel_data {
            data["channel_data"] = channel_data.into();
        }
        self.send(&json!({"event": "pusher:subscribe", "data": data})).await;
    }
}

/// A websocket to this path; nothing has been read of it.
pub(crate) async fn open(server: &TestServer, path: &str) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(server.address).await.expect("the server listens");
    let request = format!("ws://{}{path}", server.address).into_client_request().expect("a request");
    timeout(DEADLINE, client_async(request, stream)).await.expect("in time").expect("an upgrade").0
}

pub(crate) async fn next_frame<S: AsyncRead + AsyncWrite + Unpin>(
    ws: &mut WebSocketStream<S>,
) -> Result<Value, Closed> {
    loop {
        match timeout(DEADLINE, ws.next()).await.expect("a frame in time") {
            Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).expect("JSON")),
            Some(Ok(Message::Close(Some(close)))) => {
                return Err(Closed(Some((close.code.into(), close.reason.to_string()))));
            }
            Some(Ok(Message::Close(None)) | Err(_)) | None => return Err(Closed(None)),
            Some(Ok(_)) => {}
        }
    }
}

/// The data of a frame: JSON in a string.
pub(crate) fn data(frame: &Value) -> Value {
    let text = frame["data"].as_str().unwrap_or_else(|| panic!("data is a string in {frame}"));
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}
