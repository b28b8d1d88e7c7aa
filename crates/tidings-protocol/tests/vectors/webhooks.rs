//! `webhooks.json`

use serde::Deserialize;
use serde_json::Value;
use tidings_protocol::{
    ChannelName, auth,
    event::EventData,
    webhook::{WebhookEvent, WebhookKind, payload},
};

use crate::{
    format::Vector,
    values::{Outcome, app, same},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Webhooks {
    pub(crate) about: String,
    pub(crate) source: String,
    pub(crate) signatures: Vec<Signed>,
    pub(crate) events: Vec<Told>,
}

/// The signature of a body.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Signed {
    name: String,
    source: String,
    secret: String,
    body: String,
    signature: String,
}

/// An event and its text in a body.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Told {
    name: String,
    source: String,
    /// One key, the name of its kind, and under it what Pusher says of such an event.
    event: serde_json::Map<String, Value>,
    text: String,
}

vectors!(Signed, Told);

pub(crate) fn signature(vector: &Signed) -> Outcome {
    same(&vector.signature, &auth::webhook::sign(&app("key", &vector.secret), &vector.body))
}

pub(crate) fn event(vector: &Told) -> Outcome {
    let (kind, values) = vector.event.iter().next().expect("a kind");
    let event = event_of(WebhookKind::of_name(kind).expect("a kind that the crate knows"), values);
    let text = event.encode("1a");
    same(&vector.text, &text)?;
    let parsed: Value = serde_json::from_str(&text).expect("JSON");
    same(&Value::from(kind.as_str()), &parsed["name"])?;
    let body = payload(1_327_078_148_132, [text.as_str(), text.as_str()]);
    same(&format!("{{\"time_ms\":1327078148132,\"events\":[{text},{text}]}}"), &body)
}

fn event_of(kind: WebhookKind, json: &Value) -> WebhookEvent {
    let text = |key: &str| json[key].as_str().unwrap_or_else(|| panic!("{key} of {json}"));
    let channel = ChannelName::parse(text("channel")).expect("channel");
    match kind {
        WebhookKind::ChannelOccupied => WebhookEvent::ChannelOccupied { channel },
        WebhookKind::ChannelVacated => WebhookEvent::ChannelVacated { channel },
        WebhookKind::MemberAdded => WebhookEvent::MemberAdded { channel, user_id: text("user_id").into() },
        WebhookKind::MemberRemoved => {
            WebhookEvent::MemberRemoved { channel, user_id: text("user_id").into() }
        }
        WebhookKind::ClientEvent => WebhookEvent::ClientEvent {
            channel,
            event: text("event").into(),
            data: EventData::of_text(text("data")),
            socket_id: text("socket_id").parse().expect("socket_id"),
            user_id: json["user_id"].as_str().map(Into::into),
        },
        WebhookKind::CacheMiss => WebhookEvent::CacheMiss { channel },
        WebhookKind::SubscriptionCount => WebhookEvent::SubscriptionCount {
            channel,
            count: usize::try_from(json["subscription_count"].as_u64().expect("a count")).expect("a count"),
        },
    }
}
