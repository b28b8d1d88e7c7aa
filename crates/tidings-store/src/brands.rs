//! Brands: whose notifications, under which name, over which app; and the keys that senders show.

use std::fmt;

use crate::{settings::Origins, time::Timestamp};

/// A brand's number; it stands in channel names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BrandId(i64);

impl BrandId {
    /// The number, if it can be a brand's: 1 to 2^31 - 1.
    #[must_use]
    pub fn new(number: i64) -> Option<Self> {
        (1..=i64::from(i32::MAX)).contains(&number).then_some(BrandId(number))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for BrandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A brand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brand {
    /// Its number.
    pub id: BrandId,
    /// Its name in addresses, see [`is_brand_name`].
    pub name: String,
    /// The id of the app whose clients its pages are.
    pub app_id: String,
    /// What pages are told as the `cluster`; a label.
    pub region: String,
    /// Where the operator says whether a sid is good; without one nobody can log in but the test user.
    pub sid_url: Option<String>,
    /// Whether the test sid logs in the test user.
    pub test_sid: bool,
    /// The pages that may call; none named: all.
    pub allowed_origins: Origins,
}

/// Whether a text can be a brand's name: 1 to 64 lower-case letters, digits, `-` and `_`.
#[must_use]
pub fn is_brand_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(fits)
}

/// The SHA-256 of a secret that is not kept itself.
pub type SecretHash = [u8; 32];

/// What a key opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyScope {
    /// One brand: its senders' doors, and what of the admin API concerns it.
    Brand(BrandId),
    /// All brands, and making them.
    Installation,
}

/// A key as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    /// Of the key.
    pub hash: SecretHash,
    /// The first characters of the key, to tell it from others.
    pub hint: String,
    /// What it opens.
    pub scope: KeyScope,
    /// When it was made.
    pub created_at: Timestamp,
}
