//! What values may be, wherever they come from.

use std::{
    net::{IpAddr, Ipv4Addr},
    ops::RangeInclusive,
    time::Duration,
};

use hyper::{
    Uri,
    header::{HeaderName, HeaderValue},
};
use tidings_protocol::{app::AppSecret, webhook::WebhookKind};
use tidings_store::{BrandId, is_brand_name};

use super::{MistakeKind, WarningKind};
use crate::Drain;

pub(super) const HOST: &str = "an IP address or localhost";
pub(super) const PORT: &str = "a whole number from 0 to 65535";
pub(super) const ACTIVITY_TIMEOUT: &str = "a whole number of seconds from 1 to 3600";
pub(super) const DEFAULT_ACTIVITY_TIMEOUT: Duration = Duration::from_mins(2);
const ACTIVITY_TIMEOUT_S: RangeInclusive<u64> = 1..=3600;
pub(super) const DRAIN: &str = "a whole number of seconds from 0 to 3600";
const DRAIN_TEXT: &str = "a time from 0s to 3600s, as in 60s or 5m";
/// Less than the ten seconds after which Docker ends who has not ended.
pub(super) const DEFAULT_DRAIN: Drain = Drain { delay: Duration::ZERO, window: Duration::from_secs(5) };
const DRAIN_S: RangeInclusive<u64> = 0..=3600;
const ID: &str = "1 to 64 of the characters A-Z a-z 0-9 _ -";
const KEY: &str = "1 to 128 of the characters A-Z a-z 0-9 _ -";
const SECRET: &str = "at least 1 character";
pub(super) const BRAND_ID: &str = "a whole number from 1 to 2147483647";
const BRAND_NAME: &str = "1 to 64 of the characters a-z 0-9 _ -";
pub(super) const SID_URL: &str = "an address as https://shop.example/authenticate";
pub(super) const WEBHOOK_URL: &str =
    "an address as https://shop.example/webhooks, without a user name and without a fragment";
pub(super) const WEBHOOK_KINDS: &str = "a list of names of events";
pub(super) const WEBHOOK_KIND: &str = "channel_occupied, channel_vacated, member_added, member_removed, client_event, cache_miss or subscription_count";
const HEADER_NAME: &str = "under a name that a header can have, without spaces";
const OTHER_HEADER: &str = "under a name that Tidings does not set itself";
pub(super) const HEADER: &str = "printable characters";
pub(super) const RETRY_FOR: &str = "a whole number of seconds from 300 to 2592000";
pub(super) const RETRY_FOR_S: RangeInclusive<u64> = 300..=2_592_000;
pub(super) const TIMEOUT: &str = "a whole number of seconds from 1 to 60";
pub(super) const TIMEOUT_S: RangeInclusive<u64> = 1..=60;
/// What a webhook's request has of its own.
const OWN_HEADERS: [&str; 8] = [
    "content-type",
    "content-length",
    "transfer-encoding",
    "connection",
    "host",
    "user-agent",
    "x-pusher-key",
    "x-pusher-signature",
];
pub(super) const API_KEY: &str = "a text of at least 16 printable characters";
/// The shortest secret that nobody guesses.
pub(super) const SECRET_MIN: usize = 16;

/// Reads the address to listen on.
///
/// # Errors
/// [`MistakeKind::Value`] if it is none.
pub fn parse_host(text: &str) -> Result<IpAddr, MistakeKind> {
    if text == "localhost" {
        return Ok(Ipv4Addr::LOCALHOST.into());
    }
    text.parse().map_err(|_| MistakeKind::value(HOST, text))
}

/// Reads a port.
///
/// # Errors
/// [`MistakeKind::Value`] if it is none.
pub fn parse_port(text: &str) -> Result<u16, MistakeKind> {
    text.parse().map_err(|_| MistakeKind::value(PORT, text))
}

pub(super) fn activity_timeout(value: u64) -> Result<Duration, MistakeKind> {
    seconds(value, ACTIVITY_TIMEOUT_S, ACTIVITY_TIMEOUT)
}

pub(super) fn seconds(
    seconds: u64,
    range: RangeInclusive<u64>,
    expected: &'static str,
) -> Result<Duration, MistakeKind> {
    if range.contains(&seconds) {
        Ok(Duration::from_secs(seconds))
    } else {
        Err(MistakeKind::Value { expected, found: seconds.to_string() })
    }
}

pub(super) fn parse_activity_timeout(text: &str) -> Result<Duration, MistakeKind> {
    activity_timeout(text.parse().map_err(|_| MistakeKind::value(ACTIVITY_TIMEOUT, text))?)
}

pub(super) fn drain(seconds: u64) -> Result<Duration, MistakeKind> {
    if DRAIN_S.contains(&seconds) {
        Ok(Duration::from_secs(seconds))
    } else {
        Err(MistakeKind::Value { expected: DRAIN, found: seconds.to_string() })
    }
}

/// Reads a time in seconds or, with an `m`, in minutes: `60s`, `60`, `5m`.
///
/// # Errors
/// [`MistakeKind::Value`] if it is none, or too long.
pub fn parse_drain(text: &str) -> Result<Duration, MistakeKind> {
    let (number, unit) = match text.strip_suffix('m') {
        Some(minutes) => (minutes, 60),
        None => (text.strip_suffix('s').unwrap_or(text), 1),
    };
    let wrong = || MistakeKind::value(DRAIN_TEXT, text);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    drain(number.saturating_mul(unit)).map_err(|_| wrong())
}

/// Reads an app's id. Whether it suits every library is another question: [`WarningKind::of_id`].
///
/// # Errors
/// [`MistakeKind::Value`] if it is none.
pub fn parse_id(text: &str) -> Result<String, MistakeKind> {
    word(text, 64, ID)
}

/// Reads an app's key.
///
/// # Errors
/// [`MistakeKind::Value`] if it is none.
pub fn parse_key(text: &str) -> Result<String, MistakeKind> {
    word(text, 128, KEY)
}

/// Reads an app's secret. Whether it is a good one is another question: [`WarningKind::of_secret`].
///
/// # Errors
/// [`MistakeKind::Value`] if it is none.
pub fn parse_secret(text: &str) -> Result<AppSecret, MistakeKind> {
    if text.is_empty() {
        return Err(MistakeKind::Value { expected: SECRET, found: "none".to_owned() });
    }
    Ok(AppSecret::new(text))
}

/// Reads a brand's id.
///
/// # Errors
/// [`MistakeKind::Value`] if it is none.
pub fn parse_brand_id(text: &str) -> Result<BrandId, MistakeKind> {
    text.parse().ok().and_then(BrandId::new).ok_or_else(|| MistakeKind::value(BRAND_ID, text))
}

/// Reads a brand's name.
///
/// # Errors
/// [`MistakeKind::Value`] if it is none.
pub fn parse_brand_name(text: &str) -> Result<String, MistakeKind> {
    if is_brand_name(text) { Ok(text.to_owned()) } else { Err(MistakeKind::value(BRAND_NAME, text)) }
}

/// Reads the address where an operator says whether a sid is good.
///
/// # Errors
/// [`MistakeKind::Value`] if it is none.
pub fn parse_sid_url(text: &str) -> Result<String, MistakeKind> {
    if tidings_inbox::is_web_address(text) {
        Ok(text.to_owned())
    } else {
        Err(MistakeKind::value(SID_URL, text))
    }
}

/// Reads the address of a webhook.
pub(super) fn parse_webhook_url(text: &str) -> Result<String, MistakeKind> {
    let has_user = |uri: &Uri| uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
    let uri: Option<Uri> = text.parse().ok();
    let is_fit =
        tidings_inbox::is_web_address(text) && !text.contains('#') && !uri.as_ref().is_some_and(has_user);
    if is_fit { Ok(text.to_owned()) } else { Err(MistakeKind::value(WEBHOOK_URL, text)) }
}

/// Reads the name of an event of webhooks.
pub(super) fn parse_webhook_kind(text: &str) -> Result<WebhookKind, MistakeKind> {
    WebhookKind::of_name(text).ok_or_else(|| MistakeKind::value(WEBHOOK_KIND, text))
}

/// Reads a header that goes with a webhook; what is wrong with it is told without its value.
pub(super) fn parse_header(name: &str, value: &str) -> Result<(String, String), MistakeKind> {
    let parsed: HeaderName = name.parse().map_err(|_| MistakeKind::value(HEADER_NAME, name))?;
    if OWN_HEADERS.contains(&parsed.as_str()) {
        return Err(MistakeKind::value(OTHER_HEADER, name));
    }
    match HeaderValue::from_str(value) {
        Ok(_) => Ok((name.to_owned(), value.to_owned())),
        Err(_) => Err(MistakeKind::Value { expected: HEADER, found: "what stands there".to_owned() }),
    }
}

/// Reads a sender's key; what is wrong with it is told without it.
pub(super) fn parse_api_key(text: &str) -> Result<String, MistakeKind> {
    let is_printable = text.bytes().all(|byte| byte.is_ascii_graphic());
    if text.len() >= SECRET_MIN && is_printable {
        return Ok(text.to_owned());
    }
    let found =
        if is_printable { format!("{} characters", text.len()) } else { "other characters".to_owned() };
    Err(MistakeKind::Value { expected: API_KEY, found })
}

fn word(text: &str, max: usize, expected: &'static str) -> Result<String, MistakeKind> {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if (1..=max).contains(&text.len()) && text.bytes().all(valid) {
        Ok(text.to_owned())
    } else {
        Err(MistakeKind::value(expected, text))
    }
}

impl WarningKind {
    /// What there is to say about an app's id.
    #[must_use]
    pub fn of_id(id: &str) -> Option<Self> {
        (!id.bytes().all(|byte| byte.is_ascii_digit())).then_some(WarningKind::IdNotDigits)
    }

    /// What there is to say about an app's secret.
    #[must_use]
    pub fn of_secret(secret: &AppSecret) -> Option<Self> {
        (secret.reveal().chars().count() < SECRET_MIN).then_some(WarningKind::ShortSecret)
    }
}
