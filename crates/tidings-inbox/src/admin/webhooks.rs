//! `/inbox-admin/v1/webhooks`: what waits for backends, and what they did not take. It is the installation's: webhooks
//! are those of apps, and several brands may share one.

use hyper::Method;
use serde_json::{Value, json};
use tidings_store::{
    KeyScope,
    deliveries::{DeliveryId, DeliveryState, Replay, StoredDelivery},
    time::Timestamp,
};

use super::{need_installation, ok, page};
use crate::{
    Inbox,
    http::{Call, Reply},
    params::Params,
    problem::Problem,
};

const NO_WEBHOOK: Problem = Problem::NotFound("webhook");

impl Inbox {
    pub(super) async fn admin_webhooks(
        &self,
        call: &Call,
        scope: KeyScope,
        path: &[&str],
    ) -> Result<Reply, Problem> {
        need_installation(scope)?;
        let query = call.parts.uri.query();
        match (&call.parts.method, path) {
            (&Method::GET, []) => self.list_webhooks(query).await,
            (&Method::POST, ["replay"]) => {
                let asked = Params::read(query, &["app"])?;
                let which = asked.text("app").map_or(Replay::All, |app| Replay::OfApp(app.to_owned()));
                self.replay_webhooks(which).await
            }
            (&Method::POST, [id, "replay"]) => {
                Params::read(query, &[])?;
                let id = parse_id(id)?;
                let found = self.store.delivery(id).await?.ok_or(NO_WEBHOOK)?;
                if found.died_at.is_none() {
                    return Err(Problem::Conflict(format!("webhook {id} is no dead letter: it waits")));
                }
                self.replay_webhooks(Replay::One(id)).await
            }
            (_, ["replay"] | [_, "replay"]) => Err(Problem::Method("POST")),
            (&Method::GET, [id]) => {
                Params::read(query, &[])?;
                let found = self.store.delivery(parse_id(id)?).await?;
                Ok(ok(&webhook_json(&found.ok_or(NO_WEBHOOK)?)))
            }
            (_, [] | [_]) => Err(Problem::Method("GET")),
            _ => Err(Problem::NotFound("path")),
        }
    }

    async fn list_webhooks(&self, query: Option<&str>) -> Result<Reply, Problem> {
        let asked = Params::read(query, &["state", "app", "cursor", "limit"])?;
        let state = match asked.text("state") {
            None | Some("dead") => DeliveryState::Dead,
            Some("waiting") => DeliveryState::Waiting,
            Some(_) => return Err(Problem::Unreadable("state must be dead or waiting".to_owned())),
        };
        let (app, asked) = (asked.text("app").map(str::to_owned), asked.page()?);
        let mut found = self.store.deliveries(state, app, asked.after, asked.wanted()).await?;
        let next = asked.cut(&mut found, |delivery| delivery.id);
        Ok(ok(&page("webhooks", found.iter().map(webhook_json).collect(), next)))
    }

    async fn replay_webhooks(&self, which: Replay) -> Result<Reply, Problem> {
        let replayed = self.store.replay_dead_letters(which, self.now()).await?;
        Ok(ok(&json!({"replayed": replayed})))
    }
}

fn parse_id(text: &str) -> Result<DeliveryId, Problem> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit())).ok_or(NO_WEBHOOK)
}

/// A delivery as operators are shown it.
#[must_use]
pub fn webhook_json(delivery: &StoredDelivery) -> Value {
    let moment = |moment: Option<Timestamp>| moment.map(|moment| moment.to_string());
    json!({
        "id": delivery.id,
        "app": &*delivery.target.app_id,
        "url": &*delivery.target.url,
        "channel": delivery.lane,
        "event": delivery.event,
        "event_id": delivery.event_id,
        "body": serde_json::from_str::<Value>(&delivery.body).unwrap_or_default(),
        "queued_at": delivery.queued_at.to_string(),
        "attempts": delivery.attempts,
        "due_at": moment(delivery.due_at),
        "last_error": delivery.last_error,
        "died_at": moment(delivery.died_at),
    })
}
