//! The people of a brand, and their logins.

use std::fmt;

use crate::{BrandId, SecretHash, time::Timestamp};

/// A user's number, one of a kind in the installation; it stands in channel names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(i64);

impl UserId {
    /// The number, if it can be a user's: above 0.
    #[must_use]
    pub fn new(number: i64) -> Option<Self> {
        (number > 0).then_some(UserId(number))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A user, with the brand without which nothing of theirs is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UserKey {
    /// The brand.
    pub brand: BrandId,
    /// The user.
    pub user: UserId,
}

/// The most characters of an external id.
pub const EXTERNAL_ID_MAX: usize = 255;

/// A user as kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Whose.
    pub key: UserKey,
    /// What the operator calls them; one of a kind in the brand.
    pub external_id: String,
    /// What is known of them.
    pub profile: Profile,
    /// Whether it is the one that the test sid logs in.
    pub is_test: bool,
    /// The segments they are in, sorted.
    pub tags: Vec<String>,
    /// Since when they are known.
    pub created_at: Timestamp,
}

/// What is known of a user; empty is unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// E-mail address.
    pub email: String,
    /// Telephone number.
    pub phone: String,
    /// Language, as `de` or `de-AT`.
    pub locale: String,
}

/// A login to be kept.
#[derive(Clone, Debug)]
pub struct NewLogin {
    /// Where.
    pub brand: BrandId,
    /// Who, in the operator's words.
    pub external_id: String,
    /// Whether it is the test user.
    pub is_test: bool,
    /// Of the token that was given out.
    pub token_hash: SecretHash,
    /// Of the sid that the operator has just accepted; nothing where an earlier answer was good enough: that one ends in
    /// its own time.
    pub sid_hash: Option<SecretHash>,
    /// When it ends.
    pub expires_at: Timestamp,
}
