//! Who is subscribed to one channel.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{limit::Limit, member::Member};

/// How many subscribe to a channel and, on a presence channel, who. One user on several connections is one member.
#[derive(Debug, Default)]
pub struct Roster {
    subscribers: usize,
    members: BTreeMap<Arc<str>, Presence>,
}

#[derive(Debug)]
struct Presence {
    info: Arc<str>,
    connections: usize,
}

/// What a join or leave means for the other members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing: no presence channel, or the user is there on another connection.
    None,
    /// The user's first connection came.
    MemberAdded(Member),
    /// The user's last connection went.
    MemberRemoved(Arc<str>),
}

/// A presence channel has as many members as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("The presence channel is full: {max} members are the most")]
pub struct RosterFull {
    /// The most members there may be.
    pub max: u32,
}

impl Roster {
    /// Adds a connection, as `member` on a presence channel. The first `user_info` of a user stands until the user
    /// has left: no frame exists to announce another.
    ///
    /// # Errors
    /// [`RosterFull`] if a new member would be one too many.
    pub fn join(&mut self, member: Option<Member>, members: Limit) -> Result<Change, RosterFull> {
        let mut change = Change::None;
        if let Some(member) = member {
            let count = self.members.len();
            match self.members.entry(member.user_id.clone()) {
                Entry::Occupied(mut there) => there.get_mut().connections += 1,
                Entry::Vacant(free) => {
                    if let Some(max) = members.max().filter(|max| count >= *max as usize) {
                        return Err(RosterFull { max });
                    }
                    free.insert(Presence { info: member.info.clone(), connections: 1 });
                    change = Change::MemberAdded(member);
                }
            }
        }
        self.subscribers += 1;
        Ok(change)
    }

    /// Takes a connection out that had joined, as `user_id` on a presence channel.
    ///
    /// # Panics
    /// If it had not joined.
    pub fn leave(&mut self, user_id: Option<&str>) -> Change {
        self.subscribers = self.subscribers.checked_sub(1).expect("a connection that leaves has joined");
        let Some(user_id) = user_id else { return Change::None };
        let member = self.members.get_mut(user_id).expect("a member that leaves has joined");
        member.connections -= 1;
        if member.connections > 0 {
            return Change::None;
        }
        let (user_id, _) = self.members.remove_entry(user_id).expect("the member was just there");
        Change::MemberRemoved(user_id)
    }

    /// The number of connections.
    #[must_use]
    pub fn subscribers(&self) -> usize {
        self.subscribers
    }

    /// The number of distinct users.
    #[must_use]
    pub fn users(&self) -> usize {
        self.members.len()
    }

    /// The users' ids, sorted.
    pub fn user_ids(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(AsRef::as_ref)
    }

    /// The members as JSON text, for `subscription_succeeded`: `{"count":..,"ids":[..],"hash":{..}}`.
    #[must_use]
    pub fn to_json(&self) -> String {
        let quoted: Vec<String> = self.user_ids().map(|id| serde_json::Value::from(id).to_string()).collect();
        let mut json = format!("{{\"count\":{},\"ids\":[{}],\"hash\":{{", quoted.len(), quoted.join(","));
        for (at, (id, presence)) in quoted.iter().zip(self.members.values()).enumerate() {
            if at > 0 {
                json.push(',');
            }
            json.push_str(id);
            json.push(':');
            json.push_str(&presence.info);
        }
        json.push_str("}}");
        json
    }
}

/// When the subscribers of a channel are told how many they are: at every change, but above
/// [`CountPace::EVERY_CHANGE_UP_TO`] at most once in [`CountPace::PAUSE`].
///
/// Source: Pusher, "Subscription count events".
#[derive(Clone, Copy, Debug, Default)]
pub struct CountPace {
    told: Option<Instant>,
    due: bool,
}

impl CountPace {
    /// Up to so many subscribers each change is told.
    pub const EVERY_CHANGE_UP_TO: usize = 100;
    /// Above, so much time is between two.
    pub const PAUSE: Duration = Duration::from_secs(5);

    /// The number has changed: whether to tell it now. If not, it is due at [`next`](Self::next).
    pub fn changed(&mut self, subscribers: usize, now: Instant) -> bool {
        let pausing = self.told.is_some_and(|told| now < told + Self::PAUSE);
        self.due = subscribers > Self::EVERY_CHANGE_UP_TO && pausing;
        if !self.due {
            self.told = Some(now);
        }
        !self.due
    }

    /// When a number that was held back is to be told.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.due.then_some(self.told? + Self::PAUSE)
    }

    /// Whether a number that was held back is to be told now.
    pub fn tick(&mut self, now: Instant) -> bool {
        let due = self.next().is_some_and(|at| now >= at);
        if due {
            *self = CountPace { told: Some(now), due: false };
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str, info: &str) -> Member {
        Member { user_id: id.into(), info: info.into() }
    }

    #[test]
    fn a_user_on_two_connections_is_one_member() {
        let mut roster = Roster::default();
        let ann = member("ann", "{}");
        assert_eq!(roster.join(Some(ann.clone()), Limit::NONE), Ok(Change::MemberAdded(ann)));
        assert_eq!(roster.join(Some(member("ann", "[1]")), Limit::NONE), Ok(Change::None));
        assert_eq!((roster.users(), roster.subscribers()), (1, 2));
        assert_eq!(roster.to_json(), r#"{"count":1,"ids":["ann"],"hash":{"ann":{}}}"#);
        assert_eq!(roster.leave(Some("ann")), Change::None);
        assert_eq!(roster.leave(Some("ann")), Change::MemberRemoved("ann".into()));
        assert_eq!((roster.users(), roster.subscribers()), (0, 0));
    }

    #[test]
    fn a_full_channel_still_takes_who_is_there() {
        let mut roster = Roster::default();
        let one = Limit::new(1);
        roster.join(Some(member("ann", "{}")), one).expect("room");
        assert_eq!(roster.join(Some(member("bob", "{}")), one), Err(RosterFull { max: 1 }));
        assert_eq!(roster.join(Some(member("ann", "{}")), one), Ok(Change::None));
        assert_eq!(roster.subscribers(), 2);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
    fn counts_above_a_hundred_are_paced() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut pace = CountPace::default();
        assert!(pace.changed(100, start) && pace.changed(99, start) && pace.next().is_none());
        assert!(!pace.changed(101, after(1)));
        assert!(!pace.changed(102, after(4)) && !pace.tick(after(4)));
        assert_eq!(pace.next(), Some(after(5)));
        assert!(pace.tick(after(5)) && !pace.tick(after(5)) && pace.next().is_none());
        assert!(!pace.changed(101, after(9)));
        assert!(pace.changed(100, after(9)) && pace.next().is_none());
        assert!(pace.changed(101, after(20)));
    }
}
