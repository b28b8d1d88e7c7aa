//! What can be wrong with a signature.

use tidings_protocol::auth::request::TIMESTAMP_WINDOW_S;

/// Something wrong, and what it comes from as far as that can be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Finding {
    #[error("no signature was given")]
    NoSignature,
    #[error("{0:?} is no socket id; it is two numbers, as in 123.456")]
    SocketId(String),
    #[error("auth must be KEY:SIGNATURE, with a colon between")]
    NoColon,
    #[error("the key is {given:?}; that of app {app} is {key:?}")]
    OtherKey { given: String, app: String, key: String },
    #[error("the path names app {given}, and the key is that of app {app}")]
    OtherApp { given: String, app: String },
    #[error("there is white space around it")]
    WhiteSpace,
    #[error("the digits of the signature must be in lower case")]
    UpperCase,
    #[error("the signature is in base64, and must be 64 hex digits")]
    Base64,
    #[error("the signature has {len} characters instead of 64{}", algorithm(*.len))]
    Length { len: usize },
    #[error("the signature has characters that are no hex digits")]
    NotHex,

    #[error("it was made with the secret of app {0}")]
    SecretOfApp(String),
    #[error("it was made with the key instead of the secret")]
    KeyAsSecret,
    #[error(
        "it was made with white space after the secret; look at the line end in the file it was read from"
    )]
    SecretWithWhiteSpace,

    #[error("it was made without {0}")]
    Without(&'static str),
    #[error(
        "that of a presence channel covers channel_data, unless the user is signed in; none was given here"
    )]
    NoChannelData,
    #[error(
        "it was made over {0} in other JSON (spaces, escapes or the order of keys): sign the very text that is sent"
    )]
    OtherJson(&'static str),
    #[error("it was made over {0} that was encoded as JSON twice")]
    JsonTwice(&'static str),
    #[error("it was made with channel and socket id in the wrong order")]
    Swapped,
    #[error("it was made over the channel {0:?}")]
    OtherChannel(String),
    #[error("it was made as that of a user, with ::user::")]
    AsUser,
    #[error("it was made as that of a channel, with one colon; a user's has ::user:: between")]
    AsChannel,
    #[error("it was made with line ends or spaces after the text")]
    TextWithWhiteSpace,

    #[error("it was made for the method {0}")]
    OtherMethod(String),
    #[error("it was made for the path {0:?}")]
    OtherPath(String),
    #[error("it was made over percent-encoded values; they are signed decoded")]
    EncodedValues,
    #[error("it was made over parameters that were not sorted by name")]
    Unsorted,
    #[error("it was made with {0} between method, path and query, where a line feed must be")]
    OtherLineEnds(&'static str),

    #[error("the parameter {0} is missing")]
    MissingParameter(&'static str),
    #[error("auth_version must be 1.0, not {0:?}")]
    Version(String),
    #[error("auth_timestamp {0:?} is no number of seconds since 1970")]
    Timestamp(String),
    #[error("auth_timestamp is in milliseconds, and must be in seconds")]
    TimestampMilliseconds,
    #[error(
        "auth_timestamp {given} is {} s {}, and {TIMESTAMP_WINDOW_S} s are allowed; compare the clocks",
        .given.abs_diff(*.now),
        if .given < .now { "old" } else { "in the future" }
    )]
    TimestampWindow { given: u64, now: u64 },
    #[error("body_md5 is {given:?}, that of the body is {actual:?}{}", .cause.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default())]
    BodyMd5 { given: String, actual: String, cause: Option<BodyCause> },

    #[error("the signature is that of another text or another secret; no usual mistake leads to it")]
    Unexplained,
}

/// Where the MD5 of another body comes from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BodyCause {
    #[error("its digits must be in lower case")]
    UpperCase,
    #[error("it is that of an empty body")]
    Empty,
    #[error("it is that of this body with other white space at its end")]
    WhiteSpaceAtEnd,
    #[error("it is that of the same JSON written otherwise; sign the bytes that are sent")]
    OtherJson,
}

impl Finding {
    /// Its name for programs.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Finding::NoSignature => "no_signature",
            Finding::SocketId(_) => "socket_id",
            Finding::NoColon => "no_colon",
            Finding::OtherKey { .. } => "other_key",
            Finding::OtherApp { .. } => "other_app",
            Finding::WhiteSpace => "white_space",
            Finding::UpperCase => "upper_case",
            Finding::Base64 => "base64",
            Finding::Length { .. } => "length",
            Finding::NotHex => "not_hex",
            Finding::SecretOfApp(_) => "secret_of_app",
            Finding::KeyAsSecret => "key_as_secret",
            Finding::SecretWithWhiteSpace => "secret_with_white_space",
            Finding::Without(_) => "without",
            Finding::NoChannelData => "no_channel_data",
            Finding::OtherJson(_) => "other_json",
            Finding::JsonTwice(_) => "json_twice",
            Finding::Swapped => "swapped",
            Finding::OtherChannel(_) => "other_channel",
            Finding::AsUser => "as_user",
            Finding::AsChannel => "as_channel",
            Finding::TextWithWhiteSpace => "text_with_white_space",
            Finding::OtherMethod(_) => "other_method",
            Finding::OtherPath(_) => "other_path",
            Finding::EncodedValues => "encoded_values",
            Finding::Unsorted => "unsorted",
            Finding::OtherLineEnds(_) => "other_line_ends",
            Finding::MissingParameter(_) => "missing_parameter",
            Finding::Version(_) => "version",
            Finding::Timestamp(_) => "timestamp",
            Finding::TimestampMilliseconds => "timestamp_milliseconds",
            Finding::TimestampWindow { .. } => "timestamp_window",
            Finding::BodyMd5 { .. } => "body_md5",
            Finding::Unexplained => "unexplained",
        }
    }
}

fn algorithm(len: usize) -> &'static str {
    match len {
        32 => ", as MD5 has; it must be HMAC-SHA256",
        40 => ", as SHA-1 has; it must be HMAC-SHA256",
        96 => ", as SHA-384 has; it must be HMAC-SHA256",
        128 => ", as SHA-512 has; it must be HMAC-SHA256",
        _ => "",
    }
}
