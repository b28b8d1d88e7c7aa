//! Users: who a connection is signed in as.

use std::{collections::HashSet, sync::Arc};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::channel::is_name_byte;

/// The most characters in a user's id; what the server libraries check.
pub const USER_ID_MAX: usize = 200;
/// The most users on a watchlist. Source: Pusher, "Watchlist events".
pub const WATCHLIST_MAX: usize = 100;

/// A signed-in user.
#[derive(Clone, Debug)]
pub struct User {
    /// The id, of the characters of a channel name.
    pub id: Arc<str>,
    /// What presence channels are told where the subscription itself says nothing.
    pub info: Option<Box<RawValue>>,
    /// Whose coming and going the user is told of; at most [`WATCHLIST_MAX`], each once.
    pub watchlist: Vec<String>,
    /// Whether the watchlist was longer and has been cut.
    pub watchlist_cut: bool,
}

/// Why `user_data` names no user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// It is no JSON object of the right shape.
    #[error(
        "Invalid user_data: it must be a JSON object with a string id, and a watchlist, if any, of strings"
    )]
    Shape,
    /// The id is empty, too long, or has other characters than a channel name.
    #[error("Invalid user_data: id must be 1 to {USER_ID_MAX} of the characters A-Z a-z 0-9 _ - = @ , . ;")]
    Id,
}

impl User {
    /// Reads the `user_data` of a signin.
    ///
    /// # Errors
    /// [`UserError`] says what is wrong with it.
    ///
    /// Source: Pusher, "User authentication". Vectors: `protocol-spec/frames/`.
    pub fn parse(user_data: &str) -> Result<Self, UserError> {
        #[derive(Deserialize)]
        struct UserData {
            id: String,
            user_info: Option<Box<RawValue>>,
            watchlist: Option<Vec<String>>,
        }
        if !user_data.trim_start().starts_with('{') {
            return Err(UserError::Shape);
        }
        let data: UserData = serde_json::from_str(user_data).map_err(|_| UserError::Shape)?;
        if !is_user_id(&data.id) {
            return Err(UserError::Id);
        }
        let mut watchlist = data.watchlist.unwrap_or_default();
        let watchlist_cut = watchlist.len() > WATCHLIST_MAX;
        watchlist.truncate(WATCHLIST_MAX);
        let mut seen = HashSet::new();
        watchlist.retain(|id| seen.insert(id.clone()));
        Ok(User { id: data.id.into(), info: data.user_info, watchlist, watchlist_cut })
    }
}

/// Whether a text can be the id of a signed-in user.
#[must_use]
pub fn is_user_id(id: &str) -> bool {
    (1..=USER_ID_MAX).contains(&id.len()) && id.bytes().all(is_name_byte)
}
