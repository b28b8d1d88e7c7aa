//! Members of presence channels.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::limit::Limit;

/// The most characters in a member's `user_id`. Source: Pusher, "Presence channels".
pub const USER_ID_MAX: usize = 128;

/// Who is in a presence channel: one user, on however many connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The user's id; a number is its decimal text.
    pub user_id: Arc<str>,
    /// What the others are told about the user: JSON text, `{}` where nothing was given.
    pub info: Arc<str>,
}

/// Why `channel_data` names no member.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// There is none, and the connection is not signed in either.
    #[error("Presence channels need channel_data with a user_id, or a signed-in user")]
    Missing,
    /// It is no JSON object.
    #[error("Invalid channel_data: it must be a JSON object with a user_id")]
    NotAnObject,
    /// `user_id` is absent, empty, or neither a string nor a number.
    #[error("Invalid channel_data: user_id must be a non-empty string or a number")]
    UserId,
    /// `user_id` is longer than [`USER_ID_MAX`].
    #[error("Invalid channel_data: user_id has {len} characters, the most is {USER_ID_MAX}")]
    UserIdTooLong {
        /// Its length in characters.
        len: usize,
    },
    /// `user_info` is over the app's limit.
    #[error("user_info has {len} bytes, the most is {max}")]
    InfoTooBig {
        /// Its length in bytes.
        len: usize,
        /// The most there may be.
        max: u32,
    },
}

impl Member {
    /// A member of this id and `user_info`.
    ///
    /// # Errors
    /// [`MemberError::InfoTooBig`] if `info` is over the limit.
    pub fn new(user_id: &str, info: Option<&RawValue>, bytes: Limit) -> Result<Self, MemberError> {
        let info = info.map_or("{}", RawValue::get);
        if let Some(max) = bytes.max().filter(|max| info.len() > *max as usize) {
            return Err(MemberError::InfoTooBig { len: info.len(), max });
        }
        Ok(Member { user_id: user_id.into(), info: info.into() })
    }

    /// Reads the `channel_data` of a subscription.
    ///
    /// # Errors
    /// [`MemberError`] says what is wrong with it.
    ///
    /// Source: Pusher, "Presence channels". Vectors: `protocol-spec/frames/`.
    pub fn parse(channel_data: &str, bytes: Limit) -> Result<Self, MemberError> {
        #[derive(Deserialize)]
        struct ChannelData<'a> {
            #[serde(borrow)]
            user_id: Option<&'a RawValue>,
            #[serde(borrow)]
            user_info: Option<&'a RawValue>,
        }
        if !channel_data.trim_start().starts_with('{') {
            return Err(MemberError::NotAnObject);
        }
        let data: ChannelData<'_> =
            serde_json::from_str(channel_data).map_err(|_| MemberError::NotAnObject)?;
        let user_id = data.user_id.and_then(id_text).ok_or(MemberError::UserId)?;
        let len = user_id.chars().count();
        if len > USER_ID_MAX {
            return Err(MemberError::UserIdTooLong { len });
        }
        Member::new(&user_id, data.user_info, bytes)
    }
}

/// A non-empty string, or a number as it is written: parsing could make one of two.
fn id_text(raw: &RawValue) -> Option<String> {
    let json = raw.get();
    if json.starts_with('"') {
        return serde_json::from_str(json).ok().filter(|text: &String| !text.is_empty());
    }
    let number: Result<serde_json::Number, _> = serde_json::from_str(json);
    number.is_ok().then(|| json.to_owned())
}
