//! `tidings subscribe`

use std::{path::PathBuf, time::Duration};

use clap::Args;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tidings_protocol::{App, ChannelName, SocketId, auth, channel::ChannelKind};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        self, Message,
        error::ProtocolError,
        http::StatusCode,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use super::{
    ConfigArgs, Exit,
    error::{CliError, refusal},
    known, print_line,
    target::{self, Target},
};
use tidings_server::{Clock, Stream, config::Environment};

/// How long the server may take to answer the handshake, or a ping.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// No deadline at all, as far as anybody will notice.
const FOR_EVER: Duration = Duration::from_hours(24 * 365);

/// Every frame on a channel is printed as a line of JSON as it came, data as text; the rest is told on standard error.
#[derive(Args)]
pub(super) struct SubscribeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The server [default: where `tidings serve` would listen]
    #[arg(long)]
    url: Option<Target>,
    /// A file of certificates to believe, and whom they vouch for [default: public authorities]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The app's id, where there are several
    #[arg(long, value_name = "ID")]
    app: Option<String>,
    /// Sign in as this user, as in `{"id":"1"}`
    #[arg(long, value_name = "JSON")]
    user_data: Option<String>,
    /// Join presence channels as this member, as in `{"user_id":"1"}`
    #[arg(long, value_name = "JSON")]
    channel_data: Option<String>,
    /// End after so many events; the protocol's own do not count
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after so many seconds; with --count it is a failure
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// The channels; private and presence ones are signed with the app's secret
    #[arg(required = true, value_name = "CHANNEL")]
    channels: Vec<String>,
}

pub(super) fn run(args: SubscribeArgs, environment: &Environment) -> Result<Exit, CliError> {
    let channels =
        args.channels.iter().map(|name| ChannelName::parse(name)).collect::<Result<Vec<_>, _>>()?;
    let nobody = args.channel_data.is_none() && args.user_data.is_none();
    if let Some(channel) = channels.iter().find(|channel| nobody && channel.kind() == ChannelKind::Presence) {
        return Err(CliError::NoMember { channel: channel.to_string() });
    }
    let config = args.config.load(environment)?;
    let app = known::choose(known::all(&config)?, args.app.as_deref(), &config)?;
    let target = Target::choose(args.url.clone(), args.ca.clone(), &config)?;
    target::block_on(async {
        let socket = open(&target, &app).await?;
        let wishes = Wishes {
            channels,
            user_data: args.user_data,
            channel_data: args.channel_data,
            count: args.count,
            timeout: args.timeout.map(Duration::from_secs),
        };
        Session { socket, target, app, wishes, events: 0 }.run().await
    })?;
    Ok(Exit::Done)
}

struct Wishes {
    channels: Vec<ChannelName>,
    user_data: Option<String>,
    channel_data: Option<String>,
    count: Option<u64>,
    timeout: Option<Duration>,
}

struct Session {
    socket: WebSocketStream<Stream>,
    target: Target,
    app: App,
    wishes: Wishes,
    /// How many have come.
    events: u64,
}

/// What a frame leads to.
#[derive(PartialEq, Eq)]
enum Next {
    GoOn,
    End,
}

async fn open(target: &Target, app: &App) -> Result<WebSocketStream<Stream>, CliError> {
    let stream = target.connect().await?;
    let query = concat!("protocol=7&client=tidings&version=", env!("CARGO_PKG_VERSION"));
    let scheme = if target.is_tls() { "wss" } else { "ws" };
    let url = format!("{scheme}://{}/app/{}?{query}", target.authority(), app.key);
    match timeout(ANSWER_TIMEOUT, client_async(url, stream)).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(tungstenite::Error::Http(reply))) if reply.status() == StatusCode::NOT_FOUND => {
            Err(CliError::NoSockets { target: target.clone() })
        }
        Ok(Err(tungstenite::Error::Http(reply))) => {
            let message = reply.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default();
            let message = message.trim().to_owned();
            Err(CliError::Refused { status: reply.status().as_u16(), message })
        }
        Ok(Err(tungstenite::Error::Protocol(ProtocolError::HttparseError(_)))) => Err(target.no_http()),
        Ok(Err(error)) => Err(target.unreachable(error)),
        Err(_) => Err(target.unreachable("no answer")),
    }
}

impl Session {
    /// Until enough events have come, the time is over or the user has had enough.
    async fn run(mut self) -> Result<(), CliError> {
        let clock = Clock::system();
        let start = Instant::from_std(clock.now());
        let deadline = start + self.wishes.timeout.unwrap_or(FOR_EVER);
        let mut silence = Silence::new(start);
        let mut terminate = signal(SignalKind::terminate()).map_err(CliError::Runtime)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(CliError::Runtime)?;
        loop {
            let next = tokio::select! {
                message = self.socket.next() => {
                    silence.broken(Instant::from_std(clock.now()));
                    self.handle(message, &mut silence).await?
                }
                () = sleep_until(silence.until) => {
                    if silence.pinged {
                        return Err(self.target.unreachable("the connection is silent"));
                    }
                    silence.pinged = true;
                    silence.until += ANSWER_TIMEOUT;
                    self.send(&json!({"event": "pusher:ping", "data": {}})).await?;
                    Next::GoOn
                }
                () = sleep_until(deadline) => match self.wishes.count {
                    Some(wanted) => return Err(CliError::TimeOver { events: self.events, wanted }),
                    None => Next::End,
                },
                _ = interrupt.recv() => Next::End,
                _ = terminate.recv() => Next::End,
            };
            if next == Next::End {
                // The other side may be gone already.
                let normal = CloseFrame { code: CloseCode::Normal, reason: "".into() };
                let _ = self.socket.close(Some(normal)).await;
                return Ok(());
            }
        }
    }

    async fn handle(
        &mut self,
        message: Option<Result<Message, tungstenite::Error>>,
        silence: &mut Silence,
    ) -> Result<Next, CliError> {
        match message {
            Some(Ok(Message::Text(text))) => self.handle_frame(&text, silence).await,
            Some(Ok(Message::Close(Some(frame)))) => {
                Err(CliError::Closed { code: frame.code.into(), message: frame.reason.to_string() })
            }
            // Pings have been answered by the library.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_))) => {
                Ok(Next::GoOn)
            }
            Some(Ok(Message::Close(None))) | None => {
                Err(self.target.unreachable("the connection was closed"))
            }
            Some(Err(error)) => Err(self.target.unreachable(error)),
        }
    }

    async fn handle_frame(&mut self, text: &str, silence: &mut Silence) -> Result<Next, CliError> {
        let frame: Value = serde_json::from_str(text).unwrap_or_default();
        let event = frame["event"].as_str().unwrap_or_default();
        match event {
            "pusher:connection_established" => self.begin(&inner(&frame["data"]), silence).await?,
            "pusher:ping" => self.send(&json!({"event": "pusher:pong", "data": {}})).await?,
            "pusher:pong" => {}
            "pusher:signin_success" => eprintln!("signed in"),
            "pusher:error" => {
                // Where a close follows it says more.
                let data = inner(&frame["data"]);
                if !data["code"].as_u64().is_some_and(|code| (4000..4300).contains(&code)) {
                    return Err(CliError::NotAllowed(refusal(&said(&data["message"])).to_owned()));
                }
            }
            "pusher:subscription_error" => {
                let message = said(&inner(&frame["data"])["error"]);
                let message = refusal(&message);
                return Err(CliError::NotAllowed(format!("{}: {message}", said(&frame["channel"]))));
            }
            _ => {
                print_line(text.replace(['\n', '\r'], " "))?;
                self.events +=
                    u64::from(!event.starts_with("pusher:") && !event.starts_with("pusher_internal:"));
            }
        }
        Ok(if Some(self.events) == self.wishes.count { Next::End } else { Next::GoOn })
    }

    /// Signs in and subscribes, now that there is an id to sign for.
    async fn begin(&mut self, established: &Value, silence: &mut Silence) -> Result<(), CliError> {
        if let Some(seconds) = established["activity_timeout"].as_u64() {
            silence.allowed = Duration::from_secs(seconds);
        }
        let text = said(&established["socket_id"]);
        let socket_id: SocketId =
            text.parse().map_err(|source| CliError::SocketId { text: text.clone(), source })?;
        eprintln!("connected to {} as {socket_id}", self.target);
        if let Some(user_data) = &self.wishes.user_data {
            let auth = auth::user::sign(&self.app, socket_id, user_data);
            let signin = json!({"event": "pusher:signin", "data": {"auth": auth, "user_data": user_data}});
            self.send(&signin).await?;
        }
        let frames: Vec<_> =
            self.wishes.channels.iter().map(|channel| self.subscribe_frame(channel, socket_id)).collect();
        for frame in frames {
            self.send(&frame).await?;
        }
        Ok(())
    }

    fn subscribe_frame(&self, channel: &ChannelName, socket_id: SocketId) -> Value {
        let mut data = json!({"channel": channel.as_str()});
        if channel.needs_auth() {
            let is_presence = channel.kind() == ChannelKind::Presence;
            let channel_data = self.wishes.channel_data.as_deref().filter(|_| is_presence);
            data["auth"] = auth::channel::sign(&self.app, socket_id, channel.as_str(), channel_data).into();
            if let Some(channel_data) = channel_data {
                data["channel_data"] = channel_data.into();
            }
        }
        json!({"event": "pusher:subscribe", "data": data})
    }

    async fn send(&mut self, frame: &Value) -> Result<(), CliError> {
        let sent = self.socket.send(Message::text(frame.to_string())).await;
        sent.map_err(|error| self.target.unreachable(error))
    }
}

/// How long nothing has come.
struct Silence {
    allowed: Duration,
    until: Instant,
    pinged: bool,
}

impl Silence {
    fn new(now: Instant) -> Self {
        Silence { allowed: ANSWER_TIMEOUT, until: now + ANSWER_TIMEOUT, pinged: false }
    }

    fn broken(&mut self, now: Instant) {
        self.until = now + self.allowed;
        self.pinged = false;
    }
}

/// Data is an object, or a text that holds one.
fn inner(data: &Value) -> Value {
    match data {
        Value::String(text) => serde_json::from_str(text).unwrap_or_default(),
        other => other.clone(),
    }
}

fn said(value: &Value) -> String {
    value.as_str().unwrap_or("no reason given").to_owned()
}
