//! `GET /apps/{id}/channels` and what is below it.

use serde_json::{Map, Value, json as value};
use tidings_protocol::{
    ChannelName,
    api::{ApiError, ChannelsQuery, channel_info, check_users},
    auth::request::percent_decode,
    channel::ChannelKind,
};

use super::{Reply, error::HttpError, json, signed::Signed};
use crate::node::Node;

/// The occupied channels; users' own channels are left out.
pub(super) fn list(node: &Node, signed: &Signed) -> Result<Reply, HttpError> {
    signed.count_read(node)?;
    let query = ChannelsQuery::parse(&signed.query())?;
    let occupied = signed.live.hub.occupied(&query.prefix).into_iter();
    let channels: Map<String, Value> = occupied
        .filter(|(channel, _)| channel.kind() != ChannelKind::User)
        .map(|(channel, users)| {
            (channel.to_string(), if query.user_count { value!({"user_count": users}) } else { value!({}) })
        })
        .collect();
    Ok(signed.answered(json(&value!({"channels": channels}))))
}

/// One channel: whether it is occupied, and the attributes asked for.
pub(super) fn one(node: &Node, signed: &Signed, channel: &str) -> Result<Reply, HttpError> {
    signed.count_read(node)?;
    let channel = parse(channel)?;
    let wanted = channel_info(&signed.query(), &channel)?;
    let now = node.clock.now();
    let info = signed.live.hub.info(&channel, now);
    let mut attributes = Map::from_iter([("occupied".to_owned(), Value::from(info.subscribers > 0))]);
    if wanted.user_count {
        attributes.insert("user_count".to_owned(), info.users.into());
    }
    if wanted.subscription_count {
        attributes.insert("subscription_count".to_owned(), info.subscribers.into());
    }
    if wanted.cache {
        let cache = info.last_event.map(|event| {
            let ttl = event.expires.saturating_duration_since(now).as_secs();
            value!({"data": event.data.text(), "ttl": ttl})
        });
        attributes.insert("cache".to_owned(), cache.into());
    }
    Ok(signed.answered(json(&attributes.into())))
}

/// The users of a presence channel.
pub(super) fn users(node: &Node, signed: &Signed, channel: &str) -> Result<Reply, HttpError> {
    signed.count_read(node)?;
    let channel = parse(channel)?;
    check_users(&signed.query(), &channel)?;
    let users: Vec<Value> =
        signed.live.hub.user_ids(&channel).into_iter().map(|id| value!({"id": id})).collect();
    Ok(signed.answered(json(&value!({"users": users}))))
}

fn parse(segment: &str) -> Result<ChannelName, HttpError> {
    Ok(ChannelName::parse(&percent_decode(segment)).map_err(ApiError::from)?)
}
