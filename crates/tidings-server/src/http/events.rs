//! `POST /apps/{id}/events` and `POST /apps/{id}/batch_events`.

use serde_json::{Map, Value};
use tidings_protocol::{
    ChannelName,
    api::{Info, Trigger, parse_batch},
    channel::ChannelKind,
};

use super::{Reply, empty_json, error::HttpError, json, signed::Signed};
use crate::node::Node;

/// Publishes one event to its channels.
pub(super) async fn trigger(node: &Node, signed: Signed) -> Result<Reply, HttpError> {
    let trigger = Trigger::parse(&signed.body, &signed.app.limits)?;
    let publish = || {
        publish(node, &signed, std::slice::from_ref(&trigger))?;
        if !trigger.info.any() {
            return Ok(None);
        }
        let channels = trigger.channels.iter();
        let infos =
            channels.map(|channel| (channel.to_string(), attributes(node, &signed, channel, trigger.info)));
        Ok(Some(Value::from(Map::from_iter([("channels".to_owned(), infos.collect::<Map<_, _>>().into())]))))
    };
    finish(node, &signed, publish).await
}

/// Publishes the events of a batch, all or none.
pub(super) async fn trigger_batch(node: &Node, signed: Signed) -> Result<Reply, HttpError> {
    let batch = parse_batch(&signed.body, &signed.app.limits)?;
    let publish = || {
        publish(node, &signed, &batch)?;
        if !batch.iter().any(|trigger| trigger.info.any()) {
            return Ok(None);
        }
        let infos = batch.iter().map(|trigger| attributes(node, &signed, &trigger.channels[0], trigger.info));
        Ok(Some(Value::from(Map::from_iter([("batch".to_owned(), infos.collect::<Vec<_>>().into())]))))
    };
    finish(node, &signed, publish).await
}

/// Publishes unless the request's idempotency key says that this has been done; then waits until there is room for
/// more. The answer is that of the first time, and `{}` where nothing was asked.
async fn finish(
    node: &Node,
    signed: &Signed,
    publish: impl FnOnce() -> Result<Option<Value>, HttpError>,
) -> Result<Reply, HttpError> {
    let answer = signed.live.idempotency.once(&signed.parts, &signed.body, node.clock.now(), publish)?;
    node.room().await;
    Ok(signed.answered(answer.as_ref().map_or_else(empty_json, json)))
}

fn publish(node: &Node, signed: &Signed, triggers: &[Trigger]) -> Result<(), HttpError> {
    let events = triggers.iter().map(|trigger| trigger.channels.len()).sum();
    let per_second = signed.app.limits.backend_events_per_second;
    if let Some(max) = per_second.max().filter(|_| !per_second.allows(events)) {
        return Err(HttpError::TooManyEventsAtOnce { events, max });
    }
    if !signed.live.may_publish(events, per_second, node.clock.now()) {
        return Err(HttpError::TooManyEvents);
    }
    node.publish(&signed.live, triggers.iter().flat_map(Trigger::publications));
    Ok(())
}

/// What of the wanted attributes a channel has.
fn attributes(node: &Node, signed: &Signed, channel: &ChannelName, wanted: Info) -> Value {
    let mut attributes = Map::new();
    let info = signed.live.hub.info(channel, node.clock.now());
    if wanted.user_count && channel.kind() == ChannelKind::Presence {
        attributes.insert("user_count".to_owned(), info.users.into());
    }
    if wanted.subscription_count {
        attributes.insert("subscription_count".to_owned(), info.subscribers.into());
    }
    attributes.into()
}
