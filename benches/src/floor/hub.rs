//! Who is in which channel of the floor.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::wire::{Member, Subscribe, presence_data};

/// All channels that somebody is in.
#[derive(Default)]
pub(super) struct Channels(HashMap<Rc<str>, Channel>);

#[derive(Default)]
struct Channel {
    subscribers: Vec<usize>,
    /// Members of a presence channel by user id.
    members: BTreeMap<String, Present>,
    /// The user id of each subscriber of a presence channel.
    users: HashMap<usize, String>,
}

struct Present {
    member: Member,
    connections: usize,
}

/// What a join tells.
pub(super) struct Joined {
    pub(super) channel: Rc<str>,
    /// The data of the confirmation.
    pub(super) data: String,
    /// The member to be announced to the others.
    pub(super) added: Option<Member>,
}

/// What a leave tells.
pub(super) enum Leave {
    Silent,
    MemberGone(Member),
}

impl Channels {
    pub(super) fn subscribers(&self, channel: &str) -> &[usize] {
        self.0.get(channel).map_or(&[], |channel| &channel.subscribers)
    }

    pub(super) fn join(&mut self, token: usize, subscribe: &Subscribe) -> Joined {
        let name: Rc<str> = match self.0.get_key_value(subscribe.channel.as_str()) {
            Some((name, _)) => Rc::clone(name),
            None => subscribe.channel.as_str().into(),
        };
        let channel = self.0.entry(Rc::clone(&name)).or_default();
        channel.subscribers.push(token);
        let Some(member) = &subscribe.member else {
            return Joined { channel: name, data: "{}".to_owned(), added: None };
        };
        let user_id = member.user_id.clone();
        channel.users.insert(token, user_id.clone());
        let present = channel
            .members
            .entry(user_id)
            .or_insert_with(|| Present { member: member.clone(), connections: 0 });
        present.connections += 1;
        let added = (present.connections == 1).then(|| member.clone());
        let data = presence_data(channel.members.values().map(|present| &present.member));
        Joined { channel: name, data, added }
    }

    pub(super) fn leave(&mut self, token: usize, name: &str) -> Leave {
        let Some(channel) = self.0.get_mut(name) else { return Leave::Silent };
        if let Some(at) = channel.subscribers.iter().position(|&subscriber| subscriber == token) {
            channel.subscribers.swap_remove(at);
        }
        let mut leave = Leave::Silent;
        if let Some(user_id) = channel.users.remove(&token)
            && let Some(present) = channel.members.get_mut(&user_id)
        {
            present.connections -= 1;
            if present.connections == 0
                && let Some(present) = channel.members.remove(&user_id)
            {
                leave = Leave::MemberGone(present.member);
            }
        }
        if channel.subscribers.is_empty() {
            self.0.remove(name);
        }
        leave
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscribe(user: &str) -> Subscribe {
        let member = Member { user_id: user.to_owned(), user_info: "{}".to_owned() };
        Subscribe { channel: "presence-a".to_owned(), member: Some(member) }
    }

    #[test]
    fn a_member_is_announced_with_its_first_connection_and_removed_with_its_last() {
        let mut channels = Channels::default();
        assert!(channels.join(1, &subscribe("u1")).added.is_some());
        assert!(channels.join(2, &subscribe("u1")).added.is_none());
        assert!(matches!(channels.leave(1, "presence-a"), Leave::Silent));
        assert!(matches!(channels.leave(2, "presence-a"), Leave::MemberGone(_)));
        assert!(channels.subscribers("presence-a").is_empty() && channels.0.is_empty());
    }
}
