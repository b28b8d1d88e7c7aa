//! Frames to clients: a closed enum in, text out.
//!
//! `data` is a JSON string in every frame but `pusher:error`, where it is an object: what each client library
//! insists on.

use std::{fmt::Write as _, sync::Arc};

use serde_json::{Value, json};

use crate::{ChannelName, Close, SocketId, event::EventData};

/// A frame to a client.
///
/// Source: Pusher, "Protocol". Vectors: `protocol-spec/frames/server.json`.
#[derive(Clone, Debug, PartialEq)]
pub enum ServerFrame {
    /// The first frame of a connection.
    ConnectionEstablished {
        /// The connection's id.
        socket_id: SocketId,
        /// After so many seconds of silence the client pings.
        activity_timeout_s: u64,
    },
    /// Something went wrong; told by code, or none where nothing follows from it.
    Error {
        /// A code of Pusher's. Clients act on it, so what leaves the connection usable has none, or 43xx.
        code: Option<u16>,
        /// For the developer.
        message: String,
    },
    /// The answer to `pusher:ping`.
    Pong,
    /// The channel is subscribed.
    SubscriptionSucceeded {
        /// Which channel.
        channel: ChannelName,
        /// On a presence channel its members, as [`Roster::to_json`](crate::roster::Roster::to_json) writes them.
        members: Option<String>,
    },
    /// The channel is not subscribed.
    SubscriptionError {
        /// Which channel, as the client named it.
        channel: String,
        /// Its kind.
        kind: SubscriptionErrorKind,
        /// For the developer.
        message: String,
    },
    /// A user has come to a presence channel.
    MemberAdded {
        /// Which channel.
        channel: ChannelName,
        /// The user's id.
        user_id: Arc<str>,
        /// The user's info, JSON text.
        info: Arc<str>,
    },
    /// A user has left a presence channel.
    MemberRemoved {
        /// Which channel.
        channel: ChannelName,
        /// The user's id.
        user_id: Arc<str>,
    },
    /// How many connections a channel has.
    SubscriptionCount {
        /// Which channel.
        channel: ChannelName,
        /// How many.
        count: usize,
    },
    /// A caching channel has nothing to show.
    CacheMiss {
        /// Which channel.
        channel: ChannelName,
    },
    /// The last event of a caching channel: the text of its frame, as others received it.
    Replay(Arc<str>),
    /// The user is signed in.
    SigninSuccess {
        /// The text that was signed.
        user_data: String,
    },
    /// Who of the watchlist has come or gone.
    WatchlistEvents {
        /// Users now online.
        online: Vec<String>,
        /// Users now offline.
        offline: Vec<String>,
    },
    /// An event of the app.
    Event {
        /// Its name.
        event: Arc<str>,
        /// Its channel.
        channel: ChannelName,
        /// Its data, unchanged.
        data: EventData,
        /// On presence channels, who sent a client event.
        user_id: Option<Arc<str>>,
    },
}

/// What kind of mistake a subscription error tells; the `type` and `status` that pusher-js shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscriptionErrorKind {
    /// 401: the signature, or the lack of one.
    Auth,
    /// 401: the connection is not signed in as the channel's user.
    NotThatUser,
    /// 400: the name.
    Name,
    /// 400: who joins.
    Member,
    /// 400: that nobody joins.
    NoMember,
    /// 403: the app's limit of members.
    Full,
    /// 403: the app's limit of channels.
    TooManyChannels,
    /// 413: too many bytes.
    TooLarge,
}

impl SubscriptionErrorKind {
    fn name_and_status(self) -> (&'static str, u16) {
        match self {
            SubscriptionErrorKind::Auth | SubscriptionErrorKind::NotThatUser => ("AuthError", 401),
            SubscriptionErrorKind::Name | SubscriptionErrorKind::Member | SubscriptionErrorKind::NoMember => {
                ("InvalidRequest", 400)
            }
            SubscriptionErrorKind::Full | SubscriptionErrorKind::TooManyChannels => ("LimitReached", 403),
            SubscriptionErrorKind::TooLarge => ("TooLarge", 413),
        }
    }
}

impl ServerFrame {
    /// The frame that goes before a close frame, where one does.
    #[must_use]
    pub fn before_close(close: &Close) -> Option<Self> {
        close
            .has_error_frame()
            .then(|| ServerFrame::Error { code: Some(close.code()), message: close.message().into_owned() })
    }

    /// The frame's text.
    #[must_use]
    pub fn encode(&self) -> String {
        match self {
            ServerFrame::ConnectionEstablished { socket_id, activity_timeout_s } => frame(
                "pusher:connection_established",
                None,
                &format!("{{\"socket_id\":\"{socket_id}\",\"activity_timeout\":{activity_timeout_s}}}"),
            ),
            ServerFrame::Error { code, message } => {
                let code = code.map_or("null".to_owned(), |code| code.to_string());
                let message = quoted(message);
                format!("{{\"event\":\"pusher:error\",\"data\":{{\"code\":{code},\"message\":{message}}}}}")
            }
            ServerFrame::Pong => frame("pusher:pong", None, "{}"),
            ServerFrame::SubscriptionSucceeded { channel, members } => frame(
                "pusher_internal:subscription_succeeded",
                Some(channel.as_str()),
                &members.as_ref().map_or("{}".into(), |members| format!("{{\"presence\":{members}}}")),
            ),
            ServerFrame::SubscriptionError { channel, kind, message } => {
                let (name, status) = kind.name_and_status();
                let message = quoted(message);
                let data = format!("{{\"type\":\"{name}\",\"error\":{message},\"status\":{status}}}");
                frame("pusher:subscription_error", Some(channel), &data)
            }
            ServerFrame::MemberAdded { channel, user_id, info } => {
                let data = format!("{{\"user_id\":{},\"user_info\":{info}}}", quoted(user_id));
                frame("pusher_internal:member_added", Some(channel.as_str()), &data)
            }
            ServerFrame::MemberRemoved { channel, user_id } => frame(
                "pusher_internal:member_removed",
                Some(channel.as_str()),
                &json!({"user_id": user_id.as_ref()}).to_string(),
            ),
            ServerFrame::SubscriptionCount { channel, count } => frame(
                "pusher_internal:subscription_count",
                Some(channel.as_str()),
                &json!({"subscription_count": count}).to_string(),
            ),
            ServerFrame::CacheMiss { channel } => frame("pusher:cache_miss", Some(channel.as_str()), "{}"),
            ServerFrame::Replay(text) => text.to_string(),
            ServerFrame::SigninSuccess { user_data } => {
                frame("pusher:signin_success", None, &json!({"user_data": user_data}).to_string())
            }
            ServerFrame::WatchlistEvents { online, offline } => {
                let events: Vec<Value> = [("online", online), ("offline", offline)]
                    .into_iter()
                    .filter(|(_, ids)| !ids.is_empty())
                    .map(|(name, ids)| json!({"name": name, "user_ids": ids}))
                    .collect();
                frame("pusher_internal:watchlist_events", None, &json!({"events": events}).to_string())
            }
            ServerFrame::Event { event, channel, data, user_id } => {
                let mut text = frame_of(event, Some(channel.as_str()), data.literal());
                if let Some(user_id) = user_id {
                    text.pop();
                    text.push_str(",\"user_id\":");
                    push_quoted(&mut text, user_id);
                    text.push('}');
                }
                text
            }
        }
    }
}

/// `{"event":..,"channel":..,"data":".."}`, the data as a JSON string.
fn frame(event: &str, channel: Option<&str>, data: &str) -> String {
    frame_of(event, channel, &quoted(data))
}

/// The same with the data's literal.
fn frame_of(event: &str, channel: Option<&str>, literal: &str) -> String {
    let mut text = String::with_capacity(event.len() + channel.map_or(0, str::len) + literal.len() + 40);
    text.push_str("{\"event\":");
    push_quoted(&mut text, event);
    if let Some(channel) = channel {
        text.push_str(",\"channel\":");
        push_quoted(&mut text, channel);
    }
    text.push_str(",\"data\":");
    text.push_str(literal);
    text.push('}');
    text
}

/// A JSON string literal.
pub(crate) fn quoted(value: &str) -> String {
    let mut text = String::with_capacity(value.len() + 2);
    push_quoted(&mut text, value);
    text
}

/// Appends a JSON string literal.
pub(crate) fn push_quoted(text: &mut String, value: &str) {
    text.push('"');
    let mut plain_from = 0;
    for (at, byte) in value.bytes().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        text.push_str(&value[plain_from..at]);
        plain_from = at + 1;
        match byte {
            b'"' => text.push_str("\\\""),
            b'\\' => text.push_str("\\\\"),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            control => write!(text, "\\u{control:04x}").expect("a string takes what is written to it"),
        }
    }
    text.push_str(&value[plain_from..]);
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_as_serde_json_reads() {
        for value in
            ["", "plain", "a\"b\\c", "\n\r\t\u{8}\u{c}\u{1}\u{7f}", "ż ☕ \u{1F600} \u{2028}", "\\\"\\"]
        {
            let mut text = String::new();
            push_quoted(&mut text, value);
            assert_eq!(serde_json::from_str::<String>(&text).expect(&text), value);
        }
    }
}
