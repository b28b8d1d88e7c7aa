//! Why the server closes a connection, and what clients make of it.

use std::{borrow::Cow, fmt};

/// A reason to close, with its code.
///
/// Source: Pusher, "Error codes". Vectors: `protocol-spec/close-codes.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Close {
    /// 1002: the bytes are no websocket frames.
    ProtocolError,
    /// 1003: a binary frame.
    Binary,
    /// 1007: text that is not UTF-8.
    NotUtf8,
    /// 1009: a message above the cap.
    TooBig,
    /// 4001: no app has this key.
    UnknownApp {
        /// The key as asked for.
        key: String,
    },
    /// 4003: the app is switched off.
    AppDisabled,
    /// 4004: the app has as many connections as it may.
    OverConnections,
    /// 4005: a websocket upgrade on another path than `/app/{key}`.
    PathNotFound,
    /// 4007: a protocol version that is not spoken here.
    UnsupportedProtocol {
        /// The version as asked for.
        version: String,
    },
    /// 4009: the page's origin is not one of the app's.
    OriginNotAllowed,
    /// 4009: neither signed in nor on a private or presence channel in time.
    NotAuthorizedInTime,
    /// 4009: the app's backend ended the user's connections.
    Terminated,
    /// 4100: the client reads too slowly and what waits for it is over the bound.
    SlowConsumer,
    /// 4100: the server stops. Not 4200, at which clients come back in the same instant, when nobody listens yet:
    /// pusher-js would then wait for 15 s. At 4100 they wait for a second.
    Restart,
    /// 4201: nothing came back after a ping.
    PongTimeout,
}

/// What a client does after a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    /// Never by itself: the same again would end the same.
    Never,
    /// After a second or more.
    Later,
    /// At once.
    Now,
}

impl Close {
    /// The code in the close frame.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self {
            Close::ProtocolError => 1002,
            Close::Binary => 1003,
            Close::NotUtf8 => 1007,
            Close::TooBig => 1009,
            Close::UnknownApp { .. } => 4001,
            Close::AppDisabled => 4003,
            Close::OverConnections => 4004,
            Close::PathNotFound => 4005,
            Close::UnsupportedProtocol { .. } => 4007,
            Close::OriginNotAllowed | Close::NotAuthorizedInTime | Close::Terminated => 4009,
            Close::SlowConsumer | Close::Restart => 4100,
            Close::PongTimeout => 4201,
        }
    }

    /// What the client is told: the message of `pusher:error` and the reason in the close frame.
    #[must_use]
    pub fn message(&self) -> Cow<'static, str> {
        match self {
            Close::ProtocolError => "Protocol error".into(),
            Close::Binary => "Binary messages are not supported".into(),
            Close::NotUtf8 => "Text is not UTF-8".into(),
            Close::TooBig => "Message too big".into(),
            Close::UnknownApp { key } => format!(
                "App key {} not in this cluster. Did you forget to specify the cluster?",
                cut(key, 40)
            )
            .into(),
            Close::AppDisabled => "App is disabled".into(),
            Close::OverConnections => "Account over quota".into(),
            Close::PathNotFound => "Path not found: connect to /app/{key}".into(),
            Close::UnsupportedProtocol { version } => {
                format!("Unsupported protocol version {}: this server speaks 4 to 7", cut(version, 20)).into()
            }
            Close::OriginNotAllowed => "Origin not allowed".into(),
            Close::NotAuthorizedInTime => "Connection not authorized within timeout".into(),
            Close::Terminated => "You got disconnected by the app".into(),
            Close::SlowConsumer => "Reading too slowly: too much is waiting to be sent".into(),
            Close::Restart => "Server is restarting".into(),
            Close::PongTimeout => "Pong reply not received".into(),
        }
    }

    /// Whether a `pusher:error` with the code goes before the close frame: clients of protocol 5 and 6 read nothing
    /// else, but a code below 4000 there crashes pusher-js.
    #[must_use]
    pub fn has_error_frame(&self) -> bool {
        self.code() >= 4000
    }

    /// What a client that keeps to the protocol does next.
    #[must_use]
    pub fn client_returns(&self) -> Return {
        match self.code() {
            4000..=4099 => Return::Never,
            4200..=4299 => Return::Now,
            _ => Return::Later,
        }
    }
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code(), self.message())
    }
}

/// At most `max` printable characters: the reason of a close frame has room for 123 bytes.
fn cut(text: &str, max: usize) -> String {
    text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(max).collect()
}
