//! Notifications: what they say, what has become of them, and how an inbox is read and changed.

use std::fmt;

use crate::{BrandId, Held, UserKey, time::Timestamp};

/// The most notifications in one inbox; beyond it the oldest read ones go, then the oldest.
pub const INBOX_MAX: u32 = 1000;

/// A notification's number: below 2^53, so that JavaScript holds it, and larger than every earlier one's.
///
/// Milliseconds since 2025 began, times 4096, plus a number within the millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NotificationId(i64);

/// The beginning of 2025, in unix milliseconds.
const EPOCH_MS: i64 = 1_735_689_600_000;
const PER_MS: i64 = 4096;

impl NotificationId {
    /// The number as one, if it can be: 1 to 2^53 - 1.
    #[must_use]
    pub fn new(number: i64) -> Option<Self> {
        (1..1 << 53).contains(&number).then_some(NotificationId(number))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> i64 {
        self.0
    }

    /// The next after `last`, at this time.
    pub(crate) fn after(last: i64, now: Timestamp) -> Self {
        NotificationId((last + 1).max((now.ms() - EPOCH_MS) * PER_MS))
    }
}

impl fmt::Display for NotificationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a notification is; also the name of its event on the user's channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Shown on the page at once.
    Message,
    /// A short banner.
    Shoutout,
    /// Put into the inbox.
    #[default]
    Inbox,
}

/// Whether a page disturbs its user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Display {
    /// It shows that something came.
    #[default]
    Push,
    /// It does not.
    Silent,
}

macro_rules! words {
    ($type:ident { $($variant:ident = $word:literal),+ }) => {
        impl $type {
            /// Every one there is.
            pub const ALL: &'static [$type] = &[$($type::$variant),+];

            /// Its word on the wire and in the store.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $($type::$variant => $word),+ }
            }

            /// The one of this word.
            #[must_use]
            pub fn of_word(word: &str) -> Option<Self> {
                match word { $($word => Some($type::$variant),)+ _ => None }
            }
        }
    };
}

words!(Kind { Message = "message", Shoutout = "shoutout", Inbox = "inbox" });
words!(Display { Push = "push", Silent = "silent" });
words!(Set {
    Seen = "seen",
    Read = "read",
    Unread = "unread",
    Archived = "archived",
    Unarchived = "unarchived",
    Deleted = "deleted"
});

/// A link that a notification offers; empty texts: none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Button {
    /// Where it leads.
    pub link: String,
    /// What stands on it.
    pub text: String,
}

/// What a notification says. An absent text is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// What it is.
    pub kind: Kind,
    /// Whether it disturbs.
    pub display: Display,
    /// Plain text.
    pub title: String,
    /// May hold HTML.
    pub body: String,
    /// Plain text.
    pub preview: String,
    /// May hold HTML.
    pub footer: String,
    /// Up to two.
    pub buttons: [Button; 2],
    /// The address of a picture.
    pub image_url: String,
    /// The brand's own fields: the text of a JSON object; empty: none.
    pub data: String,
    /// One word of the brand's.
    pub category: String,
    /// More words of the brand's.
    pub tags: Vec<String>,
    /// When it is listed no more.
    pub expires_at: Option<Timestamp>,
}

impl Content {
    /// How many bytes its texts have.
    #[must_use]
    pub fn size(&self) -> usize {
        let Content {
            title, body, preview, footer, buttons: [first, second], image_url, data, category, ..
        } = self;
        let texts = [title, body, preview, footer, image_url, data, category];
        let buttons = [&first.link, &first.text, &second.link, &second.text];
        texts.into_iter().chain(buttons).chain(&self.tags).map(String::len).sum()
    }
}

/// A notification as it is kept. Deleted ones are never handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Its number.
    pub id: NotificationId,
    /// Whose it is.
    pub owner: UserKey,
    /// What it says.
    pub content: Content,
    /// When it was stored.
    pub created_at: Timestamp,
    /// When it was first shown in a list.
    pub seen_at: Option<Timestamp>,
    /// When it was read.
    pub read_at: Option<Timestamp>,
    /// When it was put aside.
    pub archived_at: Option<Timestamp>,
}

/// A notification to be stored.
#[derive(Clone, Debug)]
pub struct NewNotification {
    /// For whom.
    pub recipient: Recipient,
    /// What it says.
    pub content: Content,
    /// What its sender calls it: the same again is not another.
    pub source_key: Option<SourceKey>,
}

/// For whom a notification is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipient {
    /// A user that is known.
    User(UserKey),
    /// Whoever the operator calls so; a user is made if need be.
    External {
        /// The brand.
        brand: BrandId,
        /// The operator's id.
        external_id: String,
    },
}

impl Recipient {
    /// The brand.
    #[must_use]
    pub fn brand(&self) -> BrandId {
        match self {
            Recipient::User(key) => key.brand,
            Recipient::External { brand, .. } => *brand,
        }
    }
}

/// The door that a notification came through, and the sender's word for it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceKey {
    /// The door.
    pub source: &'static str,
    /// The word.
    pub key: String,
}

/// What became of a notification that was to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is stored.
    New(NotificationId),
    /// It was stored before.
    Known(NotificationId),
}

impl Added {
    /// Its number.
    #[must_use]
    pub fn id(self) -> NotificationId {
        match self {
            Added::New(id) | Added::Known(id) => id,
        }
    }
}

/// What an inbox holds that is neither archived nor expired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Not read.
    pub unread: u32,
    /// Not seen.
    pub unseen: u32,
    /// All.
    pub total: u32,
}

/// Which part of an inbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Archived ones, or those that are not.
    pub archived: bool,
    /// Read or unread ones only.
    pub read: Option<bool>,
    /// One kind only.
    pub kind: Option<Kind>,
    /// One category only.
    pub category: Option<String>,
    /// Those with this tag only.
    pub tag: Option<String>,
    /// Those older than this one only: how pages follow each other.
    pub before: Option<NotificationId>,
}

/// A part of an inbox as it was read.
#[derive(Debug)]
pub struct Listed {
    /// Newest first.
    pub notifications: Vec<Notification>,
    /// About how many bytes that is.
    pub size: usize,
    /// What a large one holds of the room for all large ones; it is kept as long as any copy is in memory.
    pub held: Held,
}

/// Which notifications of an inbox are changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// This one, archived or not.
    One(NotificationId),
    /// All of this part.
    All(Filter),
}

/// What is done to them. Reading is seeing as well; unread again stays seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Set {
    /// Shown in a list.
    Seen,
    /// Read.
    Read,
    /// To be read again.
    Unread,
    /// Put aside.
    Archived,
    /// Taken back from there.
    Unarchived,
    /// Gone for good.
    Deleted,
}

/// What a change found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// How many there were to change.
    pub found: usize,
    /// How many were not so already.
    pub changed: usize,
    /// What the inbox holds then.
    pub counts: Counts,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_fit_into_javascript() {
        let at = |ms: i64| Timestamp::from_ms(EPOCH_MS + ms);
        let first = NotificationId::after(0, at(1000));
        assert_eq!(first.get(), 1000 * PER_MS);
        let second = NotificationId::after(first.get(), at(1000));
        assert_eq!(second.get(), first.get() + 1);
        let clock_went_back = NotificationId::after(second.get(), at(10));
        assert_eq!(clock_went_back.get(), second.get() + 1);
        let in_2090 = NotificationId::after(0, Timestamp::parse("2090-01-01 00:00:00").expect("a date"));
        assert_eq!(NotificationId::new(in_2090.get()), Some(in_2090));
    }
}
