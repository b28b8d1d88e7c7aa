//! The signature of an HTTP API request.

use std::borrow::Cow;

use md5::{Digest as _, Md5};

use crate::app::AppSecret;

/// How far `auth_timestamp` may be from the server's time, either way, in seconds.
pub const TIMESTAMP_WINDOW_S: u64 = 600;

/// A request as it came in: everything that is signed, nothing decoded.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `GET` or `POST`.
    pub method: &'a str,
    /// The path as on the request line.
    pub path: &'a str,
    /// The query string as on the request line.
    pub query: &'a str,
    /// The raw body, empty if there is none.
    pub body: &'a [u8],
}

/// The parameters of a request's query, decoded, in the order received.
#[derive(Clone, Debug)]
pub struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

/// Why a request is refused; every one is answered with 401.
///
/// Source of the texts: hosted Pusher and its Ruby library.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestAuthError {
    /// A parameter is not there.
    #[error("Missing parameter: {0}")]
    Missing(&'static str),
    /// The key is nobody's, or not that of the app in the path.
    #[error("Unknown auth_key")]
    UnknownKey,
    /// No `auth_timestamp`, or not a number.
    #[error("Timestamp required")]
    TimestampRequired,
    /// Too old, or from the future.
    #[error("Timestamp expired: Given timestamp ({}) not within {TIMESTAMP_WINDOW_S}s of server time ({})", iso(*.given), iso(*.server))]
    TimestampExpired {
        /// Seconds since 1970, as sent.
        given: u64,
        /// Seconds since 1970, here.
        server: u64,
    },
    /// No `auth_version`.
    #[error("Version required")]
    VersionRequired,
    /// Another than `1.0`.
    #[error("Version not supported")]
    VersionNotSupported,
    /// `body_md5` is not that of the body.
    #[error("Invalid body_md5: the MD5 of the body received is {0}")]
    BodyMd5(String),
    /// The signature is not that of the request.
    #[error("Invalid signature: you should have sent HmacSHA256Hex({:?}, your_secret_key), but you sent {:?}", .signed, .signature)]
    BadSignature {
        /// What should have been signed.
        signed: String,
        /// What came.
        signature: String,
    },
}

impl<'a> Query<'a> {
    /// Splits and percent-decodes a query string; `+` stays `+`.
    #[must_use]
    pub fn parse(query: &'a str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        Query(
            pairs
                .map(|pair| {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (percent_decode(key), percent_decode(value))
                })
                .collect(),
        )
    }

    /// The first value of a parameter.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_ref())
    }

    /// The names of all parameters.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(k, _)| k.as_ref())
    }

    /// What of the query is signed: all parameters but `auth_signature`, keys in lower case and sorted, values
    /// decoded, those of one key in the order received.
    #[must_use]
    pub fn to_signed(&self) -> String {
        let mut pairs: Vec<_> = self.0.iter().map(|(key, value)| (lower_case(key), value)).collect();
        pairs.retain(|(key, _)| key != "auth_signature");
        pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut signed = String::with_capacity(160);
        for (key, value) in pairs {
            if !signed.is_empty() {
                signed.push('&');
            }
            signed.push_str(&key);
            signed.push('=');
            signed.push_str(value);
        }
        signed
    }
}

fn lower_case(key: &str) -> Cow<'_, str> {
    if key.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(key.to_ascii_lowercase())
    } else {
        Cow::Borrowed(key)
    }
}

/// The text that is signed: `METHOD\npath\nquery`.
#[must_use]
pub fn string_to_sign(method: &str, path: &str, query: &Query<'_>) -> String {
    format!("{method}\n{path}\n{}", query.to_signed())
}

/// Verifies a request of the app with this key and secret. `now_s` is in seconds since 1970.
///
/// The path counts as received or percent-decoded: the Node library signs the raw user id and sends it encoded.
/// An empty body may have no `body_md5` or that of nothing, which the Python library signs on every GET.
///
/// # Errors
/// [`RequestAuthError`] names the first thing that is wrong.
///
/// Source: Pusher, "Generating authentication signatures". Vectors: `protocol-spec/auth.json`, `api/`.
pub fn check(
    key: &str,
    secret: &AppSecret,
    request: Request<'_>,
    query: &Query<'_>,
    now_s: u64,
) -> Result<(), RequestAuthError> {
    check_head(key, secret, request, query, now_s)?;
    check_body(query, request.body)
}

/// Verifies all but the body: the signature covers its MD5, so that nobody's body need be read who cannot sign.
///
/// # Errors
/// As [`check`], but for the body.
pub fn check_head(
    key: &str,
    secret: &AppSecret,
    request: Request<'_>,
    query: &Query<'_>,
    now_s: u64,
) -> Result<(), RequestAuthError> {
    check_key(key, query)?;
    check_version(query)?;
    check_timestamp(query, now_s)?;
    let signature = query.value("auth_signature").ok_or(RequestAuthError::Missing("auth_signature"))?;
    let signed_query = query.to_signed();
    let verifies = |path: &str| {
        let parts: [&[u8]; 5] =
            [request.method.as_bytes(), b"\n", path.as_bytes(), b"\n", signed_query.as_bytes()];
        secret.verifies(&parts, signature)
    };
    let verifies_decoded = || {
        let decoded = percent_decode(request.path);
        decoded != request.path && verifies(&decoded)
    };
    if !verifies(request.path) && !verifies_decoded() {
        return Err(RequestAuthError::BadSignature {
            signed: string_to_sign(request.method, request.path, query),
            signature: signature.to_owned(),
        });
    }
    Ok(())
}

fn check_key(key: &str, query: &Query<'_>) -> Result<(), RequestAuthError> {
    match query.value("auth_key") {
        None => Err(RequestAuthError::Missing("auth_key")),
        Some(given) if given == key => Ok(()),
        Some(_) => Err(RequestAuthError::UnknownKey),
    }
}

/// The MD5 of a body: 32 lower-case hex digits.
#[must_use]
pub fn body_md5(body: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Md5::digest(body))
}

fn check_version(query: &Query<'_>) -> Result<(), RequestAuthError> {
    match query.value("auth_version") {
        None => Err(RequestAuthError::VersionRequired),
        Some("1.0") => Ok(()),
        Some(_) => Err(RequestAuthError::VersionNotSupported),
    }
}

fn check_timestamp(query: &Query<'_>, now_s: u64) -> Result<(), RequestAuthError> {
    let given: u64 = query
        .value("auth_timestamp")
        .and_then(|text| text.parse().ok())
        .ok_or(RequestAuthError::TimestampRequired)?;
    if given.abs_diff(now_s) > TIMESTAMP_WINDOW_S {
        return Err(RequestAuthError::TimestampExpired { given, server: now_s });
    }
    Ok(())
}

/// Checks the body against the MD5 that was signed.
///
/// # Errors
/// [`RequestAuthError`] if the MD5 is missing or another.
pub fn check_body(query: &Query<'_>, body: &[u8]) -> Result<(), RequestAuthError> {
    match query.value("body_md5") {
        None if body.is_empty() => Ok(()),
        None => Err(RequestAuthError::Missing("body_md5")),
        Some(given) => {
            let digest = body_md5(body);
            if given == digest { Ok(()) } else { Err(RequestAuthError::BodyMd5(digest)) }
        }
    }
}

/// Decodes `%XX`; what is not such a group, or no UTF-8 when decoded, stays as it is.
#[must_use]
pub fn percent_decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair = (bytes[at] == b'%').then(|| bytes.get(at + 1..at + 3)).flatten();
        if let Some([high, low]) = pair.and_then(|pair| Some([hex(pair[0])?, hex(pair[1])?])) {
            decoded.push(high << 4 | low);
            at += 3;
        } else {
            decoded.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(decoded).map_or(Cow::Borrowed(text), Cow::Owned)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Seconds since 1970 as `2013-09-29T08:46:33Z`. Source of the calendar: the proleptic Gregorian one, counted in
/// eras of 400 years that begin in March.
fn iso(seconds: u64) -> String {
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_times() {
        assert_eq!(iso(0), "1970-01-01T00:00:00Z");
        assert_eq!(iso(1_380_444_393), "2013-09-29T08:46:33Z");
        assert_eq!(iso(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(iso(951_782_400), "2000-02-29T00:00:00Z");
    }

    #[test]
    fn decodes_percent_groups_only() {
        assert_eq!(percent_decode("a%2Cb+c"), "a,b+c");
        assert_eq!(percent_decode("100%"), "100%");
        assert_eq!(percent_decode("%zz%4"), "%zz%4");
        assert_eq!(percent_decode("%C3%A4"), "ä");
        assert_eq!(percent_decode("%ff"), "%ff");
        assert_eq!(percent_decode("%+1"), "%+1");
    }
}
