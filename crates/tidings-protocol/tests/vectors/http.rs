//! The HTTP API over a [`World`]: as much of a server as the replies need. What is tested by it is the parsing, the
//! refusals and the signatures of the crate; routes and the like are for the runner with a whole server.

use serde_json::{Map, Value, json};
use tidings_protocol::{
    ChannelName,
    api::{self, ApiError, ChannelsQuery, Info, Trigger},
    auth::request::{self, Query, Request},
    channel::ChannelKind,
    roster::Roster,
};

use crate::{format::HttpRequest, world::World};

/// A status, and the body of the reply: JSON if it went well, else a line of text.
pub(crate) type Reply = (u16, Result<Value, String>);

/// Answers a request.
pub(crate) fn handle(world: &mut World, http: &HttpRequest) -> Reply {
    let query = Query::parse(&http.query);
    let path: Vec<&str> = http.path.trim_start_matches('/').splitn(4, '/').collect();
    let app = match path[..] {
        ["apps", id, ..] if id == world.app.id => &*world.app,
        ["apps", id, ..] if id == world.other.id => &world.other,
        _ => return (404, Err("Not found".to_owned())),
    };
    let signed =
        Request { method: &http.method, path: &http.path, query: &http.query, body: http.body.as_bytes() };
    if let Err(error) = request::check(&app.key, &app.secret, signed, &query, world.now_s()) {
        return (401, Err(error.to_string()));
    }
    match answer(world, http, &query, &path[2..]) {
        Ok(Some(reply)) => (200, Ok(reply)),
        Ok(None) => (404, Err("Not found".to_owned())),
        Err(error) => (error.status(), Err(error.to_string())),
    }
}

fn answer(
    world: &mut World,
    http: &HttpRequest,
    query: &Query<'_>,
    path: &[&str],
) -> Result<Option<Value>, ApiError> {
    let limits = world.app.limits;
    let reply = match (http.method.as_str(), path) {
        ("POST", ["events"]) => {
            let trigger = Trigger::parse(http.body.as_bytes(), &limits)?;
            publish(world, &trigger);
            let infos = |channel: &ChannelName| (channel.to_string(), info(world, channel, trigger.info));
            let channels: Map<String, Value> = trigger.channels.iter().map(infos).collect();
            if trigger.info.any() { json!({"channels": channels}) } else { json!({}) }
        }
        ("POST", ["batch_events"]) => {
            let batch = api::parse_batch(http.body.as_bytes(), &limits)?;
            for trigger in &batch {
                publish(world, trigger);
            }
            let infos: Vec<Value> =
                batch.iter().map(|trigger| info(world, &trigger.channels[0], trigger.info)).collect();
            if batch.iter().any(|trigger| trigger.info.any()) { json!({"batch": infos}) } else { json!({}) }
        }
        ("POST", ["users", rest]) => {
            let Some(user_id) = rest.strip_suffix("/terminate_connections") else { return Ok(None) };
            world.terminate(&request::percent_decode(user_id));
            json!({})
        }
        ("GET", ["channels"]) => {
            let wanted = ChannelsQuery::parse(query)?;
            let asked = Info { user_count: wanted.user_count, ..Info::default() };
            let channels: Map<String, Value> = world
                .channels
                .iter()
                .filter(|(name, channel)| {
                    channel.roster.subscribers() > 0 && name.starts_with(&wanted.prefix)
                })
                .map(|(name, _)| ChannelName::parse(name).expect("a channel that is there has a valid name"))
                .filter(|channel| channel.kind() != ChannelKind::User)
                .map(|channel| (channel.to_string(), info(world, &channel, asked)))
                .collect();
            json!({"channels": channels})
        }
        ("GET", ["channels", rest]) => {
            let (name, users) = rest.strip_suffix("/users").map_or((*rest, false), |name| (name, true));
            let channel = ChannelName::parse(&request::percent_decode(name))?;
            if users {
                api::check_users(query, &channel)?;
                let roster = world.channels.get(channel.as_str()).map(|channel| &channel.roster);
                let ids = roster.into_iter().flat_map(Roster::user_ids);
                json!({"users": ids.map(|id| json!({"id": id})).collect::<Vec<_>>()})
            } else {
                let asked = api::channel_info(query, &channel)?;
                let mut reply = info(world, &channel, asked);
                let there = world.channels.get(channel.as_str());
                reply["occupied"] = there.is_some_and(|there| there.roster.subscribers() > 0).into();
                if asked.cache {
                    let cached = world.cached(channel.as_str());
                    reply["cache"] = cached
                        .map_or(Value::Null, |(event, ttl)| json!({"data": event.data.text(), "ttl": ttl}));
                }
                reply
            }
        }
        _ => return Ok(None),
    };
    Ok(Some(reply))
}

fn publish(world: &mut World, trigger: &Trigger) {
    for publication in trigger.publications() {
        world.publish(&publication);
    }
}

/// The counts that were asked for and that the channel has.
fn info(world: &World, channel: &ChannelName, asked: Info) -> Value {
    let roster = world.channels.get(channel.as_str()).map(|channel| &channel.roster);
    let mut reply = json!({});
    if asked.user_count && channel.kind() == ChannelKind::Presence {
        reply["user_count"] = roster.map_or(0, Roster::users).into();
    }
    if asked.subscription_count {
        reply["subscription_count"] = roster.map_or(0, Roster::subscribers).into();
    }
    reply
}
