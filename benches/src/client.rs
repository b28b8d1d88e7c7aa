//! One Pusher client: a websocket that subscribes what its plan says and hands on what it hears.

use std::borrow::Cow;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::clock;
use crate::http::Message;
use crate::sign::Credentials;
use crate::sink::{Event, Sink};
use crate::stamp::Finder;
use crate::ws::{self, Header, Opcode};

/// A client's silence, after which it says `pusher:ping`: below every server's limit, above every measured pause.
const QUIET: Duration = Duration::from_secs(50);

/// A channel to subscribe, with `channel_data` if it is a presence channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) channel: String,
    pub(crate) channel_data: Option<String>,
}

impl Subscription {
    pub(crate) fn to(channel: impl Into<String>) -> Self {
        Self { channel: channel.into(), channel_data: None }
    }

    /// The text of the `pusher:subscribe` frame.
    pub(crate) fn frame(&self, socket_id: &str, credentials: &Credentials) -> String {
        let channel = serde_json::Value::from(self.channel.as_str());
        let mut data = format!(r#"{{"channel":{channel}"#);
        if self.channel.starts_with("private-") || self.channel.starts_with("presence-") {
            let auth = credentials.channel(socket_id, &self.channel, self.channel_data.as_deref());
            data = format!(r#"{data},"auth":"{auth}""#);
        }
        if let Some(channel_data) = &self.channel_data {
            data = format!(r#"{data},"channel_data":{}"#, serde_json::Value::from(channel_data.as_str()));
        }
        format!(r#"{{"event":"pusher:subscribe","data":{data}}}}}"#)
    }
}

/// What all clients of a run share.
pub(crate) struct Shared {
    pub(crate) address: SocketAddr,
    pub(crate) credentials: Credentials,
    pub(crate) finder: Finder,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// TCP and the upgrade.
    Upgrading,
    /// Waiting for `pusher:connection_established`.
    Greeting,
    /// Waiting for this many confirmations.
    Subscribing(usize),
    Ready,
}

/// Why a client is of no more use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the server closed the connection")]
    Eof,
    #[error("the server closed with code {0}")]
    Closed(u16),
    #[error("the upgrade was answered `{0}`")]
    Upgrade(String),
    #[error("the server sent {0}")]
    Frame(#[from] ws::FrameError),
    #[error("the server sent {0}")]
    Head(#[from] crate::http::MessageError),
    #[error("the server sent a frame that is no Pusher event: {0}")]
    Event(String),
}

/// One websocket.
pub(crate) struct Client {
    stream: TcpStream,
    phase: Phase,
    plan: Rc<[Subscription]>,
    socket_id: String,
    /// When the connect began.
    started: Duration,
    last_sent: Duration,
    /// Received bytes of a frame that is not complete yet.
    held: Vec<u8>,
    /// Bytes that the socket would not take yet.
    unsent: Vec<u8>,
}

impl Client {
    /// Begins to connect.
    pub(crate) fn start(
        shared: &Shared,
        plan: Rc<[Subscription]>,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Self> {
        let started = clock::now();
        let mut stream = TcpStream::connect(shared.address)?;
        stream.set_nodelay(true)?;
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        let request = format!(
            "GET /app/{}?protocol=7&client=tidings-bench&version=1&flash=false HTTP/1.1\r\nHost: {}\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: {}\r\n\r\n",
            shared.credentials.key,
            shared.address,
            ws::CLIENT_KEY
        );
        Ok(Self {
            stream,
            phase: Phase::Upgrading,
            plan,
            socket_id: String::new(),
            started,
            last_sent: started,
            held: Vec::new(),
            unsent: request.into_bytes(),
        })
    }

    /// Whether every subscription of the plan is confirmed.
    pub(crate) fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    pub(crate) fn socket_id(&self) -> &str {
        &self.socket_id
    }

    /// Sends a text frame, now or as soon as the socket takes it.
    pub(crate) fn send_text(&mut self, text: &[u8]) -> io::Result<()> {
        self.send(Opcode::Text, text)
    }

    /// Says `pusher:ping` if nothing was sent for long, lest the server take the client for dead.
    pub(crate) fn keep_alive(&mut self, now: Duration) -> io::Result<()> {
        if self.is_ready() && now.saturating_sub(self.last_sent) > QUIET {
            return self.send_text(br#"{"event":"pusher:ping","data":{}}"#);
        }
        Ok(())
    }

    /// Writes what waits.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let mut written = 0;
        while written < self.unsent.len() {
            match self.stream.write(&self.unsent[written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.unsent.drain(..written);
        Ok(())
    }

    /// Reads all there is and hands it on.
    pub(crate) fn receive<S: Sink>(
        &mut self,
        socket: usize,
        buffer: &mut [u8],
        shared: &mut Shared,
        sink: &mut S,
    ) -> Result<(), ClientError> {
        loop {
            let count = match self.stream.read(buffer) {
                Ok(0) => return Err(ClientError::Eof),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            let now = clock::now();
            if self.held.is_empty() {
                let used = self.consume(socket, &buffer[..count], shared, sink, now)?;
                self.held.extend_from_slice(&buffer[used..count]);
            } else {
                let mut held = std::mem::take(&mut self.held);
                held.extend_from_slice(&buffer[..count]);
                let used = self.consume(socket, &held, shared, sink, now)?;
                held.drain(..used);
                // An idle client keeps no buffer.
                self.held = if held.is_empty() { Vec::new() } else { held };
            }
            // A read that leaves room has emptied the socket; what comes later is a new readiness event.
            if count < buffer.len() {
                return Ok(());
            }
        }
    }

    /// Handles the complete frames in `bytes`; returns how many bytes they were.
    fn consume<S: Sink>(
        &mut self,
        socket: usize,
        bytes: &[u8],
        shared: &mut Shared,
        sink: &mut S,
        now: Duration,
    ) -> Result<usize, ClientError> {
        let mut used = 0;
        if self.phase == Phase::Upgrading {
            let Some(reply) = Message::parse(bytes)? else { return Ok(0) };
            if reply.status() != Some(101) || reply.header("sec-websocket-accept") != Some(ws::CLIENT_ACCEPT)
            {
                return Err(ClientError::Upgrade(reply.first_line().to_owned()));
            }
            self.phase = Phase::Greeting;
            used = reply.end;
        }
        while let Some(header) = Header::parse(&bytes[used..])? {
            let payload = &bytes[used + header.start..used + header.end];
            used += header.end;
            match header.opcode {
                Opcode::Text => match shared.finder.find(payload) {
                    Some((stamp, at)) => sink.delivery(socket, &stamp, payload, at, now),
                    None => self.control(socket, payload, shared, sink, now)?,
                },
                Opcode::Ping => self.send(Opcode::Pong, payload)?,
                Opcode::Pong => {}
                Opcode::Close => {
                    let code = payload.first_chunk().map_or(1005, |&code| u16::from_be_bytes(code));
                    return Err(ClientError::Closed(code));
                }
            }
        }
        Ok(used)
    }

    /// Handles an event that is not one of the bench's own.
    fn control<S: Sink>(
        &mut self,
        socket: usize,
        payload: &[u8],
        shared: &Shared,
        sink: &mut S,
        now: Duration,
    ) -> Result<(), ClientError> {
        let Ok(frame) = serde_json::from_slice::<Frame<'_>>(payload) else {
            return Err(ClientError::Event(String::from_utf8_lossy(payload).into_owned()));
        };
        let data = frame.data();
        match (frame.event.as_ref(), self.phase) {
            ("pusher:connection_established", Phase::Greeting) => {
                let Ok(greeting) = serde_json::from_str::<Greeting>(&data) else {
                    return Err(ClientError::Event(data.into_owned()));
                };
                self.socket_id = greeting.socket_id;
                self.phase = Phase::Subscribing(self.plan.len());
                for subscription in Rc::clone(&self.plan).iter() {
                    let frame = subscription.frame(&self.socket_id, &shared.credentials);
                    self.send_text(frame.as_bytes())?;
                }
                self.settle(socket, sink, now);
            }
            ("pusher:ping", _) => self.send_text(br#"{"event":"pusher:pong","data":{}}"#)?,
            ("pusher:pong", _) => {}
            ("pusher_internal:subscription_succeeded", phase) => {
                sink.event(socket, &Event { name: &frame.event, channel: frame.channel(), data: &data }, now);
                if let Phase::Subscribing(left) = phase {
                    self.phase = Phase::Subscribing(left.saturating_sub(1));
                    self.settle(socket, sink, now);
                }
            }
            _ => {
                sink.event(socket, &Event { name: &frame.event, channel: frame.channel(), data: &data }, now);
            }
        }
        Ok(())
    }

    fn settle<S: Sink>(&mut self, socket: usize, sink: &mut S, now: Duration) {
        if self.phase == Phase::Subscribing(0) {
            self.phase = Phase::Ready;
            sink.ready(socket, now.saturating_sub(self.started), now);
        }
    }

    fn send(&mut self, opcode: Opcode, payload: &[u8]) -> io::Result<()> {
        self.last_sent = clock::now();
        ws::push_client_frame(&mut self.unsent, opcode, payload);
        self.flush()
    }
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow, default)]
    channel: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

impl Frame<'_> {
    fn channel(&self) -> &str {
        self.channel.as_deref().unwrap_or_default()
    }

    /// The data as text: of a string what it holds, of anything else its JSON.
    fn data(&self) -> Cow<'_, str> {
        let raw = self.data.map_or("", RawValue::get);
        serde_json::from_str::<String>(raw).map_or(Cow::Borrowed(raw), Cow::Owned)
    }
}

#[derive(Deserialize)]
struct Greeting {
    socket_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscribe_frames_carry_what_their_channel_needs() {
        let credentials = Credentials::new("1", "foo", "bar");
        let public = Subscription::to("c1").frame("1.2", &credentials);
        assert_eq!(public, r#"{"event":"pusher:subscribe","data":{"channel":"c1"}}"#);

        let presence = Subscription {
            channel: "presence-channel".to_owned(),
            channel_data: Some(r#"{"user_id":"fred","user_info":{"key":"value"}}"#.to_owned()),
        };
        let frame: serde_json::Value =
            serde_json::from_str(&presence.frame("345.43245", &credentials)).unwrap();
        assert_eq!(
            frame["data"]["auth"],
            "foo:e80ba6439492c2113022c39297a87a948de14061cc67b5788e045645a68b8ccd"
        );
        assert_eq!(frame["data"]["channel_data"], r#"{"user_id":"fred","user_info":{"key":"value"}}"#);
    }

    #[test]
    fn data_is_text_whether_string_or_object() {
        let check = |text: &str, expected: &str| {
            let frame: Frame<'_> = serde_json::from_str(text).unwrap();
            assert_eq!(frame.data(), expected);
        };
        check(r#"{"event":"e","data":"{\"a\":1}"}"#, r#"{"a":1}"#);
        check(r#"{"event":"e","data":{"a":1}}"#, r#"{"a":1}"#);
        check(r#"{"event":"e"}"#, "");
    }
}
