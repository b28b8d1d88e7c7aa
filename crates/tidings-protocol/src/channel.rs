//! Channel names and what their prefixes mean.

use std::{fmt, hash, sync::Arc};

/// What a channel is for; told by its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelKind {
    /// Anybody may subscribe.
    Public,
    /// `private-`: needs a signature.
    Private,
    /// `private-encrypted-`: a private channel whose payloads the server cannot read.
    Encrypted,
    /// `presence-`: needs a signature, and its members see each other.
    Presence,
    /// `#server-to-user-<id>`: the events of one signed-in user.
    User,
}

/// Whether a channel keeps its last event for those who come later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caching {
    /// Nothing is kept.
    Off,
    /// `cache-` after the kind's prefix: the last event published over HTTP.
    LastEvent,
}

/// A valid channel name. Cloning shares the text.
#[derive(Clone)]
pub struct ChannelName {
    text: Arc<str>,
    kind: ChannelKind,
    caching: Caching,
}

/// Why a text is no channel name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChannelNameError {
    /// Nothing there.
    #[error("Invalid channel name: it is empty")]
    Empty,
    /// Longer than [`ChannelName::MAX_LEN`].
    #[error("Invalid channel name: it has {len} characters, the most is {max}")]
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// The most there may be.
        max: usize,
    },
    /// A character outside `A-Za-z0-9_-=@,.;`.
    #[error("Invalid channel name: {text:?} has characters other than A-Z a-z 0-9 _ - = @ , . ;")]
    Character {
        /// The text, cut where it is very long.
        text: String,
    },
}

const USER_PREFIX: &str = "#server-to-user-";

impl ChannelName {
    /// The most characters in a name; what the client and server libraries check. The prefix of a user channel is
    /// not counted.
    pub const MAX_LEN: usize = 200;

    /// Reads a name.
    ///
    /// # Errors
    /// [`ChannelNameError`] says what is wrong with it.
    ///
    /// Source: Pusher, "Channel naming conventions". Vectors: `protocol-spec/names.json`.
    pub fn parse(text: &str) -> Result<Self, ChannelNameError> {
        let (kind, caching) = kind_of(text);
        let named = text.strip_prefix(USER_PREFIX).unwrap_or(text);
        if named.is_empty() {
            return Err(ChannelNameError::Empty);
        }
        if named.len() > Self::MAX_LEN {
            return Err(ChannelNameError::TooLong { len: named.len(), max: Self::MAX_LEN });
        }
        if !named.bytes().all(is_name_byte) {
            return Err(ChannelNameError::Character { text: text.chars().take(80).collect() });
        }
        Ok(ChannelName { text: text.into(), kind, caching })
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What the channel is for.
    #[must_use]
    pub fn kind(&self) -> ChannelKind {
        self.kind
    }

    /// Whether its last event is kept.
    #[must_use]
    pub fn caching(&self) -> Caching {
        self.caching
    }

    /// The user whose channel this is.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        self.text.strip_prefix(USER_PREFIX)
    }

    /// Whether subscribing needs a signature of the app's backend.
    #[must_use]
    pub fn needs_auth(&self) -> bool {
        match self.kind {
            ChannelKind::Private | ChannelKind::Encrypted | ChannelKind::Presence => true,
            ChannelKind::Public | ChannelKind::User => false,
        }
    }
}

/// Whether a byte may stand in a channel name or the id of a signed-in user.
pub(crate) fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-=@,.;".contains(&byte)
}

fn kind_of(text: &str) -> (ChannelKind, Caching) {
    let (kind, rest) = if let Some(rest) = text.strip_prefix("private-encrypted-") {
        (ChannelKind::Encrypted, rest)
    } else if let Some(rest) = text.strip_prefix("private-") {
        (ChannelKind::Private, rest)
    } else if let Some(rest) = text.strip_prefix("presence-") {
        (ChannelKind::Presence, rest)
    } else if text.starts_with(USER_PREFIX) {
        return (ChannelKind::User, Caching::Off);
    } else {
        (ChannelKind::Public, text)
    };
    let caching = if rest.starts_with("cache-") { Caching::LastEvent } else { Caching::Off };
    (kind, caching)
}

impl PartialEq for ChannelName {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for ChannelName {}

impl hash::Hash for ChannelName {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}
