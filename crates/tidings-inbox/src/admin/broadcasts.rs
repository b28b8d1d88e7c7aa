//! `/inbox-admin/v1/broadcasts`: to all users of a brand, to those with a tag, or to those that are listed.

use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tidings_store::{
    Brand,
    sending::{Audience, AudienceKind, Broadcast, BroadcastId, BroadcastState, NewBroadcast},
};

use super::{
    made,
    notifications::{listed, moment},
    ok, page,
    repeats::Keyed,
};
use crate::{
    Inbox, content,
    http::{Call, Reply},
    own::read_json,
    params::{self, Params},
    problem::Problem,
};

/// So many users one broadcast may list.
const USERS_MAX: usize = 10_000;

/// A broadcast as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    audience: To,
    content: Option<Map<String, Value>>,
    template: Option<String>,
    values: Option<Map<String, Value>>,
    deliver_at: Option<String>,
}

/// Who gets it: `"all"`, `{"tag": "vip"}` or `{"users": ["u-88"]}`.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum To {
    All,
    Tag(String),
    Users(Vec<String>),
}

impl Inbox {
    pub(super) async fn admin_broadcasts(
        &self,
        call: &Call,
        brand: &Brand,
        path: &[&str],
    ) -> Result<Reply, Problem> {
        match (&call.parts.method, path) {
            (&Method::GET, []) => self.list_broadcasts(call, brand).await,
            (&Method::POST, []) => self.broadcast(call, brand).await,
            (&Method::GET, [id]) => {
                Params::read(call.parts.uri.query(), &[])?;
                let found = self.store.broadcast(brand.id, parse_id(id)?).await?;
                Ok(ok(&whole(&found.ok_or(NO_BROADCAST)?)))
            }
            (&Method::POST, [id, "cancel"]) => {
                Params::read(call.parts.uri.query(), &[])?;
                let found = self.store.cancel_broadcast(brand.id, parse_id(id)?).await?;
                let found = found.ok_or(NO_BROADCAST)?;
                if found.state == BroadcastState::Done {
                    return Err(Problem::Conflict(format!("broadcast {} is done already", found.id)));
                }
                Ok(ok(&shown(&found)))
            }
            (_, []) => Err(Problem::Method("GET, POST")),
            (_, [_]) => Err(Problem::Method("GET")),
            (_, [_, "cancel"]) => Err(Problem::Method("POST")),
            _ => Err(Problem::NotFound("path")),
        }
    }

    async fn list_broadcasts(&self, call: &Call, brand: &Brand) -> Result<Reply, Problem> {
        let asked = Params::read(call.parts.uri.query(), &["cursor", "limit"])?.page()?;
        let mut found = self.store.broadcasts(brand.id, asked.after, asked.wanted()).await?;
        let next = asked.cut(&mut found, |broadcast| broadcast.id);
        Ok(ok(&page("broadcasts", found.iter().map(shown).collect(), next)))
    }

    async fn broadcast(&self, call: &Call, brand: &Brand) -> Result<Reply, Problem> {
        Params::read(call.parts.uri.query(), &[])?;
        let key = params::idempotency_key(&call.parts.headers)?;
        let Sent { audience, content, template, values, deliver_at } = read_json(&call.body)?;
        let audience = match audience {
            To::All => Audience::All,
            To::Tag(tag) => Audience::Tag(
                content::some_tag(tag).map_err(|problem| Problem::Unacceptable(format!("tag: {problem}")))?,
            ),
            To::Users(users) => Audience::Users(listed(users, USERS_MAX)?),
        };
        let keyed = key.map(|key| {
            let to = shown_audience(&kind(&audience));
            let said = json!({"audience": to, "content": content, "template": template, "values": values});
            Keyed::new("broadcasts", key, &said)
        });
        if let Some(keyed) = &keyed
            && self.is_repeated(brand, keyed).await?
            && let Some(same) = self.store.broadcast_called(brand.id, keyed.key.clone()).await?
        {
            return Ok(accepted(&same, call));
        }
        let saying = self.saying(brand, content, template, values).await?;
        let now = self.now();
        let due_at = deliver_at.map_or(Ok(now), |at| moment("deliver_at", &at))?.max(now);
        saying.check_lasts(due_at)?;
        if let Some(keyed) = &keyed {
            self.use_key(brand, keyed).await?;
        }
        let new = NewBroadcast {
            brand: brand.id,
            audience,
            payload: saying.payload(due_at),
            due_at,
            key: keyed.map(|keyed| keyed.key),
        };
        let broadcast = self.store.add_broadcast(new, now).await?;
        Ok(accepted(&broadcast, call))
    }
}

fn kind(audience: &Audience) -> AudienceKind {
    match audience {
        Audience::All => AudienceKind::All,
        Audience::Tag(tag) => AudienceKind::Tag(tag.clone()),
        Audience::Users(_) => AudienceKind::Listed,
    }
}

const NO_BROADCAST: Problem = Problem::NotFound("broadcast");

/// Says that it will be sent, and where to look how far it is.
pub(super) fn accepted(broadcast: &Broadcast, call: &Call) -> Reply {
    made(StatusCode::ACCEPTED, &shown(broadcast), call, &broadcast.id.to_string())
}

fn parse_id(text: &str) -> Result<BroadcastId, Problem> {
    text.parse().map_err(|_| NO_BROADCAST)
}

/// A broadcast without what it says.
fn shown(broadcast: &Broadcast) -> Value {
    json!({
        "id": broadcast.id,
        "audience": shown_audience(&broadcast.audience),
        "state": broadcast.state.word(),
        "sent": broadcast.sent,
        "deliver_at": broadcast.due_at.to_string(),
        "created_at": broadcast.created_at.to_string(),
    })
}

fn shown_audience(audience: &AudienceKind) -> Value {
    match audience {
        AudienceKind::All => json!("all"),
        AudienceKind::Tag(tag) => json!({"tag": tag}),
        AudienceKind::Listed => json!("listed"),
    }
}

fn whole(broadcast: &Broadcast) -> Value {
    let payload: Value = serde_json::from_str(&broadcast.payload).unwrap_or_default();
    let mut shown = shown(broadcast);
    shown["content"] = payload["template"].clone();
    shown["values"] = payload["values"].clone();
    shown
}
