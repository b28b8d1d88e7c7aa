//! Bodies and parameters of the HTTP API.
//!
//! Source: Pusher, "HTTP API reference". Vectors: `protocol-spec/api/`.

use std::{borrow::Cow, collections::HashSet, sync::Arc};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    ChannelName, Publication, SocketId,
    app::Limits,
    auth::request::Query,
    channel::{Caching, ChannelKind, ChannelNameError},
    event::{EVENT_NAME_MAX, EventData, Origin},
    frame::{client::present, is_reserved, server::ServerFrame},
    socket_id::SocketIdError,
};

/// Why a request that was signed rightly is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The body is no JSON object.
    #[error("Invalid JSON: {0}")]
    Json(String),
    /// `name` is missing or no string.
    #[error("Expected name parameter to be a string")]
    Name,
    /// `name` is empty or too long.
    #[error("Invalid event name: it has {len} characters, 1 to {EVENT_NAME_MAX} are allowed")]
    NameLength {
        /// Its length in characters.
        len: usize,
    },
    /// `name` begins as only the server's own events do.
    #[error("Invalid event name: names that begin with pusher:, pusher_internal: or tidings: are reserved")]
    NameReserved,
    /// `data` is missing, or a string that is no text.
    #[error("Missing parameter: data")]
    Data,
    /// `data` is over the app's limit.
    #[error(
        "The data content of this event exceeds the allowed maximum ({max} bytes). See https://pusher.com/docs/channels/server_api/http-api#publishing-events for more info"
    )]
    DataTooLarge {
        /// The most bytes there may be.
        max: u32,
    },
    /// Neither `channel` nor `channels`, or of a wrong type, or empty.
    #[error("Missing parameter: channel or channels")]
    Channels,
    /// More channels than the app may name at once.
    #[error("Cannot trigger to more than {max} channels, but {len} were named")]
    TooManyChannels {
        /// How many there were.
        len: usize,
        /// The most there may be.
        max: u32,
    },
    /// A name is none.
    #[error(transparent)]
    ChannelName(#[from] ChannelNameError),
    /// An encrypted channel beside others: each has its own key.
    #[error("An event for an encrypted channel cannot be sent to other channels as well")]
    EncryptedBesideOthers,
    /// `socket_id` is none.
    #[error(transparent)]
    SocketId(#[from] SocketIdError),
    /// `batch` is missing or no array.
    #[error("Expected batch parameter to be an array of events")]
    Batch,
    /// More events than the app may send at once.
    #[error("Cannot batch-send more than {max} events at once, but there were {len}")]
    BatchTooLong {
        /// How many there were.
        len: usize,
        /// The most there may be.
        max: u32,
    },
    /// An event of a batch is wrong.
    #[error("In event {index} of the batch: {error}")]
    InBatch {
        /// Which one, from 0.
        index: usize,
        /// What is wrong with it.
        error: Box<ApiError>,
    },
    /// An attribute of `info` that there is not.
    #[error("Invalid info parameter: {0} is not an attribute here")]
    Info(String),
    /// `user_count` over channels of which some have none.
    #[error(
        "user_count may only be requested for presence channels - please supply filter_by_prefix beginning with presence-"
    )]
    UserCountNeedsPrefix,
    /// `user_count` of a channel that has none.
    #[error("Cannot retrieve the user count unless the channel is a presence channel")]
    UserCount,
    /// `cache` of a channel that keeps nothing.
    #[error("Cannot retrieve the cache unless the channel is a cache channel")]
    Cache,
    /// The users of a channel that has none.
    #[error("Users can only be retrieved for presence channels")]
    Users,
    /// A parameter that is not known here.
    #[error("The following query string parameters are extraneous: {0}")]
    Extraneous(String),
}

impl ApiError {
    /// The HTTP status that tells it.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            ApiError::DataTooLarge { .. } => 413,
            ApiError::InBatch { error, .. } => error.status(),
            _ => 400,
        }
    }
}

/// Which attributes a caller wants to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// The distinct users of a presence channel.
    pub user_count: bool,
    /// The connections of a channel.
    pub subscription_count: bool,
    /// What a caching channel keeps.
    pub cache: bool,
}

impl Info {
    /// Reads a comma-separated list.
    ///
    /// # Errors
    /// [`ApiError::Info`] names the first attribute that there is not.
    pub fn parse(list: &str) -> Result<Self, ApiError> {
        let mut info = Info::default();
        for attribute in list.split(',').map(str::trim).filter(|attribute| !attribute.is_empty()) {
            match attribute {
                "user_count" => info.user_count = true,
                "subscription_count" => info.subscription_count = true,
                "cache" => info.cache = true,
                other => return Err(ApiError::Info(other.to_owned())),
            }
        }
        Ok(info)
    }

    /// Whether anything is wanted.
    #[must_use]
    pub fn any(self) -> bool {
        self != Info::default()
    }
}

/// An event to be published.
#[derive(Clone, Debug, PartialEq)]
pub struct Trigger {
    /// Its channels, each once.
    pub channels: Vec<ChannelName>,
    /// The connection that does not get it.
    pub socket_id: Option<SocketId>,
    /// What the caller wants to know of the channels.
    pub info: Info,
    name: Arc<str>,
    data: EventData,
}

/// The body of `POST /events`, and an item of a batch.
#[derive(Deserialize)]
struct TriggerBody<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    name: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    channel: Option<&'a RawValue>,
    #[serde(borrow, default)]
    channels: Option<&'a RawValue>,
    #[serde(borrow, default)]
    socket_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    info: Option<&'a RawValue>,
}

fn string(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

impl Trigger {
    /// Reads the body of `POST /apps/{id}/events`.
    ///
    /// # Errors
    /// [`ApiError`] names the first thing that is wrong.
    pub fn parse(body: &[u8], limits: &Limits) -> Result<Self, ApiError> {
        Self::from_body(&object(body)?, limits)
    }

    fn from_body(body: &TriggerBody<'_>, limits: &Limits) -> Result<Self, ApiError> {
        let name = body.name.and_then(string).ok_or(ApiError::Name)?;
        let len = name.chars().count();
        if len == 0 || len > EVENT_NAME_MAX {
            return Err(ApiError::NameLength { len });
        }
        if is_reserved(&name) {
            return Err(ApiError::NameReserved);
        }
        let data = body.data.and_then(EventData::of_json).ok_or(ApiError::Data)?;
        if let (Some(max), Some(_)) = (limits.event_bytes.max(), data.over(limits.event_bytes)) {
            return Err(ApiError::DataTooLarge { max });
        }
        let channels = channels(body.channel, body.channels, limits)?;
        let socket_id = match body.socket_id {
            Some(raw) => Some(string(raw).ok_or(SocketIdError)?.parse()?),
            None => None,
        };
        let info = match body.info {
            Some(raw) => Info::parse(&string(raw).ok_or_else(|| ApiError::Info(raw.get().to_owned()))?)?,
            None => Info::default(),
        };
        if info.cache {
            return Err(ApiError::Info("cache".to_owned()));
        }
        Ok(Trigger { channels, socket_id, info, name: name.into(), data })
    }

    /// What is to be published, one for each channel.
    pub fn publications(&self) -> impl Iterator<Item = Publication> + '_ {
        self.channels.iter().map(|channel| Publication {
            channel: channel.clone(),
            frame: ServerFrame::Event {
                event: self.name.clone(),
                channel: channel.clone(),
                data: self.data.clone(),
                user_id: None,
            },
            except: self.socket_id,
            origin: Origin::Backend,
        })
    }
}

/// Reads `channel` and `channels`, their union, each name once.
fn channels(
    channel: Option<&RawValue>,
    channels: Option<&RawValue>,
    limits: &Limits,
) -> Result<Vec<ChannelName>, ApiError> {
    let mut names: Vec<Cow<'_, str>> = match channels {
        Some(raw) => serde_json::from_str(raw.get()).map_err(|_| ApiError::Channels)?,
        None => Vec::new(),
    };
    if let Some(raw) = channel {
        names.push(string(raw).ok_or(ApiError::Channels)?.into());
    }
    if names.is_empty() {
        return Err(ApiError::Channels);
    }
    if let Some(max) = limits.channels_per_event.max().filter(|max| names.len() > *max as usize) {
        return Err(ApiError::TooManyChannels { len: names.len(), max });
    }
    let mut parsed = Vec::with_capacity(names.len());
    let mut seen = HashSet::new();
    for name in &names {
        if names.len() == 1 || seen.insert(name.as_ref()) {
            parsed.push(ChannelName::parse(name)?);
        }
    }
    if parsed.len() > 1 && parsed.iter().any(|channel| channel.kind() == ChannelKind::Encrypted) {
        return Err(ApiError::EncryptedBesideOthers);
    }
    Ok(parsed)
}

/// Reads the body of `POST /apps/{id}/batch_events`. One wrong event refuses the whole batch.
///
/// # Errors
/// [`ApiError`] names the first thing that is wrong.
pub fn parse_batch(body: &[u8], limits: &Limits) -> Result<Vec<Trigger>, ApiError> {
    #[derive(Deserialize)]
    struct BatchBody<'a> {
        #[serde(borrow, default)]
        batch: Option<&'a RawValue>,
    }
    let raw = object::<BatchBody<'_>>(body)?.batch.ok_or(ApiError::Batch)?;
    let items: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| ApiError::Batch)?;
    if let Some(max) = limits.events_per_batch.max().filter(|max| items.len() > *max as usize) {
        return Err(ApiError::BatchTooLong { len: items.len(), max });
    }
    let parse = |(index, raw): (usize, &&RawValue)| {
        Trigger::parse(raw.get().as_bytes(), limits)
            .and_then(|trigger| match trigger.channels.len() {
                1 => Ok(trigger),
                len => Err(ApiError::TooManyChannels { len, max: 1 }),
            })
            .map_err(|error| ApiError::InBatch { index, error: Box::new(error) })
    };
    items.iter().enumerate().map(parse).collect()
}

fn object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ApiError> {
    let text = std::str::from_utf8(body).map_err(|error| ApiError::Json(error.to_string()))?;
    if !text.trim_start().starts_with('{') {
        return Err(ApiError::Json("the body must be an object".to_owned()));
    }
    serde_json::from_str(text).map_err(|error| ApiError::Json(error.to_string()))
}

/// The parameters of `GET /apps/{id}/channels`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelsQuery {
    /// Only channels whose names begin so.
    pub prefix: String,
    /// Whether the users of each are wanted.
    pub user_count: bool,
}

impl ChannelsQuery {
    /// Reads them.
    ///
    /// # Errors
    /// [`ApiError`] if `info` asks for what not all of these channels have.
    pub fn parse(query: &Query<'_>) -> Result<Self, ApiError> {
        let prefix = query.value("filter_by_prefix").unwrap_or("").to_owned();
        let info = Info::parse(query.value("info").unwrap_or(""))?;
        if info.subscription_count {
            return Err(ApiError::Info("subscription_count".to_owned()));
        }
        if info.cache {
            return Err(ApiError::Info("cache".to_owned()));
        }
        if info.user_count && !prefix.starts_with("presence-") {
            return Err(ApiError::UserCountNeedsPrefix);
        }
        Ok(ChannelsQuery { prefix, user_count: info.user_count })
    }
}

/// Reads the `info` of `GET /apps/{id}/channels/{channel}`.
///
/// # Errors
/// [`ApiError`] if it asks for what the channel's kind does not have.
pub fn channel_info(query: &Query<'_>, channel: &ChannelName) -> Result<Info, ApiError> {
    let info = Info::parse(query.value("info").unwrap_or(""))?;
    if info.user_count && channel.kind() != ChannelKind::Presence {
        return Err(ApiError::UserCount);
    }
    if info.cache && channel.caching() == Caching::Off {
        return Err(ApiError::Cache);
    }
    Ok(info)
}

/// Checks `GET /apps/{id}/channels/{channel}/users`, which takes no parameters.
///
/// # Errors
/// [`ApiError`] if there are some, or the channel has no users.
pub fn check_users(query: &Query<'_>, channel: &ChannelName) -> Result<(), ApiError> {
    if channel.kind() != ChannelKind::Presence {
        return Err(ApiError::Users);
    }
    let signing = ["auth_key", "auth_timestamp", "auth_version", "auth_signature", "body_md5"];
    let extraneous: Vec<&str> = query.keys().filter(|key| !signing.contains(key)).collect();
    if extraneous.is_empty() { Ok(()) } else { Err(ApiError::Extraneous(extraneous.join(", "))) }
}
