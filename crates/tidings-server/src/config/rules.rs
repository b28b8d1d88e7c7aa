//! What values may be, wherever they come from.

use std::{
    net::{IpAddr, Ipv4Addr},
    ops::RangeInclusive,
    time::Duration,
};

use tidings_protocol::app::AppSecret;
use tidings_store::{BrandId, is_brand_name};

use super::{MistakeKind, WarningKind};
use crate::Drain;

pub(super) const HOST: &str = "an IP address or localhost";
pub(super) const PORT: &str = "a whole number from 0 to 65535";
pub(super) const ACTIVITY_TIMEOUT: &str = "a whole number of seconds from 1 to 3600";
pub(super) const DEFAULT_ACTIVITY_TIMEOUT: Duration = Duration::from_mins(2);
const ACTIVITY_TIMEOUT_S: RangeInclusive<u64> = 1..=3600;
pub(super) const DRAIN: &str = "a whole number of seconds from 0 to 3600";
/// Less than the ten seconds after which Docker ends who has not ended.
pub(super) const DEFAULT_DRAIN: Drain = Drain { delay: Duration::ZERO, window: Duration::from_secs(5) };
const DRAIN_S: RangeInclusive<u64> = 0..=3600;
const ID: &str = "1 to 64 of the characters A-Z a-z 0-9 _ -";
const KEY: &str = "1 to 128 of the characters A-Z a-z 0-9 _ -";
const SECRET: &str = "at least 1 character";
pub(super) const BRAND_ID: &str = "a whole number from 1 to 2147483647";
const BRAND_NAME: &str = "1 to 64 of the characters a-z 0-9 _ -";
pub(super) const SID_URL: &str = "an address as https://shop.example/authenticate";
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

pub(super) fn activity_timeout(seconds: u64) -> Result<Duration, MistakeKind> {
    if ACTIVITY_TIMEOUT_S.contains(&seconds) {
        Ok(Duration::from_secs(seconds))
    } else {
        Err(MistakeKind::Value { expected: ACTIVITY_TIMEOUT, found: seconds.to_string() })
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
    let number: u64 = number.parse().map_err(|_| MistakeKind::value(DRAIN, text))?;
    drain(number.saturating_mul(unit))
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
    if tidings_inbox::is_sid_url(text) { Ok(text.to_owned()) } else { Err(MistakeKind::value(SID_URL, text)) }
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
