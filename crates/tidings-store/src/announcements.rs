//! What open pages are to be told of a committed change.

use crate::{Counts, Notification, NotificationId, Set, UserKey};

/// A change of one inbox, committed and to be told to the user's open pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Its place in the order of commits.
    pub seq: i64,
    /// Whose inbox.
    pub owner: UserKey,
    /// What happened.
    pub news: News,
    /// What the inbox holds after it.
    pub counts: Counts,
    /// Whether it comes from a process that ended before it could tell.
    pub is_left_over: bool,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// There is a new notification.
    Created(Box<Notification>),
    /// Some were changed.
    Changed {
        /// How.
        set: Set,
        /// Which.
        ids: Ids,
    },
    /// Nothing that is still there; only the counts are news.
    Counts,
}

/// Which notifications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ids {
    /// The whole inbox.
    All,
    /// These.
    These(Vec<NotificationId>),
}
