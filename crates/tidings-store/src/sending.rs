//! Templates and broadcasts: what is sent, kept before it is sent. What it says is the inbox's business.

use std::fmt;

use crate::{BrandId, UserId, time::Timestamp};

/// What a template is found by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TemplateName {
    /// Where nothing else fits.
    Default,
    /// A sender's single action.
    Action(i64),
    /// A sender's campaign.
    Activity(i64),
    /// By name: 1 to 64 letters, digits, `-` and `_`.
    Named(String),
}

impl TemplateName {
    /// Reads `default`, `action:5`, `activity:31` or `name:welcome`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "default" {
            return Some(TemplateName::Default);
        }
        let (kind, rest) = text.split_once(':')?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        match kind {
            "action" => rest.parse().ok().map(TemplateName::Action),
            "activity" => rest.parse().ok().map(TemplateName::Activity),
            "name" if (1..=64).contains(&rest.len()) && rest.bytes().all(plain) => {
                Some(TemplateName::Named(rest.to_owned()))
            }
            _ => None,
        }
    }
}

impl fmt::Display for TemplateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TemplateName::Default => f.write_str("default"),
            TemplateName::Action(id) => write!(f, "action:{id}"),
            TemplateName::Activity(id) => write!(f, "activity:{id}"),
            TemplateName::Named(name) => write!(f, "name:{name}"),
        }
    }
}

/// A template as kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTemplate {
    /// What it is found by.
    pub name: TemplateName,
    /// The text of a JSON object.
    pub body: String,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// A broadcast's number.
pub type BroadcastId = i64;

/// Who gets a broadcast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Every user of the brand.
    All,
    /// Users with this tag.
    Tag(String),
    /// Those that the operator calls so; users are made if need be.
    Users(Vec<String>),
}

/// Who gets a broadcast, in few words: listed users are not listed again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AudienceKind {
    /// Every user of the brand.
    All,
    /// Users with this tag.
    Tag(String),
    /// Users that were named.
    Listed,
}

/// A broadcast to be kept.
#[derive(Clone, Debug)]
pub struct NewBroadcast {
    /// Whose users.
    pub brand: BrandId,
    /// Which.
    pub audience: Audience,
    /// What is sent: the text of a JSON object.
    pub payload: String,
    /// When it begins.
    pub due_at: Timestamp,
    /// What its sender calls it: the same again is not another.
    pub key: Option<String>,
}

impl NewBroadcast {
    /// How many bytes its texts have.
    pub(crate) fn size(&self) -> usize {
        let listed = match &self.audience {
            Audience::Users(users) => users.iter().map(String::len).sum(),
            Audience::All | Audience::Tag(_) => 0,
        };
        self.payload.len() + listed
    }
}

/// How far a broadcast is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BroadcastState {
    /// Not begun.
    Scheduled,
    /// Some have it.
    Running,
    /// All have it.
    Done,
    /// Stopped; who has it keeps it.
    Cancelled,
}

impl BroadcastState {
    /// Its word on the wire and in the store.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            BroadcastState::Scheduled => "scheduled",
            BroadcastState::Running => "running",
            BroadcastState::Done => "done",
            BroadcastState::Cancelled => "cancelled",
        }
    }

    pub(crate) fn of_word(word: &str) -> Option<Self> {
        use BroadcastState::{Cancelled, Done, Running, Scheduled};
        [Scheduled, Running, Done, Cancelled].into_iter().find(|state| state.word() == word)
    }
}

/// A broadcast as kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broadcast {
    /// Its number.
    pub id: BroadcastId,
    /// Whose users.
    pub brand: BrandId,
    /// Which.
    pub audience: AudienceKind,
    /// What is sent.
    pub payload: String,
    /// When it begins.
    pub due_at: Timestamp,
    /// How far it is.
    pub state: BroadcastState,
    /// How many users have it.
    pub sent: u64,
    /// The last who has it.
    pub last_user: Option<UserId>,
    /// When it was made.
    pub created_at: Timestamp,
}
