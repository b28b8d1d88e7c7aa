//! Frames from clients: text in, a closed enum out.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::event::EventData;

/// A frame from a client, of the right shape; nothing in it has been checked further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientFrame {
    /// `pusher:ping`
    Ping,
    /// `pusher:pong`
    Pong,
    /// `pusher:subscribe`
    Subscribe(Subscribe),
    /// `pusher:unsubscribe`
    Unsubscribe {
        /// The channel as sent.
        channel: String,
    },
    /// `pusher:signin`
    Signin(Signin),
    /// `client-…`
    ClientEvent(ClientEvent),
}

/// The data of a `pusher:subscribe`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Subscribe {
    /// The channel as sent.
    pub channel: String,
    /// `key:signature`; empty or absent on public channels.
    pub auth: Option<String>,
    /// Who joins a presence channel: JSON text, signed as it stands.
    pub channel_data: Option<String>,
}

/// The data of a `pusher:signin`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Signin {
    /// `key:signature`.
    pub auth: Option<String>,
    /// Who signs in: JSON text, signed as it stands.
    pub user_data: Option<String>,
}

/// An event from a client for the other subscribers of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientEvent {
    /// Its name, which begins with `client-`.
    pub event: String,
    /// The channel as sent.
    pub channel: String,
    /// The data.
    pub data: EventData,
}

/// Why a text is no frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// It is no JSON object with a string `event`.
    #[error("Invalid message: it must be a JSON object with a string event")]
    Shape,
    /// The event is none that a client may send.
    #[error("Unsupported event received on socket: {event}")]
    UnknownEvent {
        /// Its name.
        event: String,
    },
    /// The event's `data` has not the right shape.
    #[error("Invalid {event}: data must be {needs}")]
    Data {
        /// The event's name.
        event: &'static str,
        /// What its data must be.
        needs: &'static str,
    },
    /// A client event without `channel` or `data`.
    #[error("Invalid client event (must contain channel and data)")]
    ClientEvent,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow, default)]
    channel: Option<Cow<'a, str>>,
    /// `null` is data too.
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
}

/// For a field in which `null` is something.
pub(crate) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl ClientFrame {
    /// Reads a text frame. A key that stands twice is refused; unknown keys are ignored.
    ///
    /// # Errors
    /// [`FrameError`] says what is wrong with it; the connection lives on.
    ///
    /// Source: Pusher, "Protocol". Vectors: `protocol-spec/frames/client.json`.
    pub fn parse(text: &str) -> Result<Self, FrameError> {
        if !text.trim_start().starts_with('{') {
            return Err(FrameError::Shape);
        }
        let envelope: Envelope<'_> = serde_json::from_str(text).map_err(|_| FrameError::Shape)?;
        match envelope.event.as_ref() {
            "pusher:ping" => Ok(ClientFrame::Ping),
            "pusher:pong" => Ok(ClientFrame::Pong),
            "pusher:subscribe" => object(envelope.data).map(ClientFrame::Subscribe).ok_or(FrameError::Data {
                event: "pusher:subscribe",
                needs: "an object with a string channel",
            }),
            "pusher:unsubscribe" => object::<Channel>(envelope.data)
                .map(|data| ClientFrame::Unsubscribe { channel: data.channel })
                .ok_or(FrameError::Data {
                    event: "pusher:unsubscribe",
                    needs: "an object with a string channel",
                }),
            "pusher:signin" => object(envelope.data).map(ClientFrame::Signin).ok_or(FrameError::Data {
                event: "pusher:signin",
                needs: "an object with strings auth and user_data",
            }),
            event if event.starts_with("client-") => {
                match (envelope.channel, envelope.data.and_then(EventData::of_json)) {
                    (Some(channel), Some(data)) => Ok(ClientFrame::ClientEvent(ClientEvent {
                        event: event.to_owned(),
                        channel: channel.into_owned(),
                        data,
                    })),
                    _ => Err(FrameError::ClientEvent),
                }
            }
            event => Err(FrameError::UnknownEvent { event: event.chars().take(200).collect() }),
        }
    }
}

#[derive(Deserialize)]
struct Channel {
    channel: String,
}

/// An object, or a string that holds one.
fn object<T: DeserializeOwned>(data: Option<&RawValue>) -> Option<T> {
    let raw = data?.get();
    let text =
        if raw.starts_with('"') { Cow::Owned(serde_json::from_str(raw).ok()?) } else { Cow::Borrowed(raw) };
    let text: &str = &text;
    text.trim_start().starts_with('{').then(|| serde_json::from_str(text).ok()).flatten()
}
