//! `POST /inbox-admin/v1/notifications`: to one user or many, now or at a time.

use std::collections::{HashMap, HashSet};

use hyper::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tidings_store::{
    Added, Brand, NewNotification, NotificationId, Recipient, SourceKey, StoreError, User,
    sending::{Audience, NewBroadcast},
    time::Timestamp,
};

use super::{broadcasts, external_id, ok, repeats::Keyed, saying::Saying};
use crate::{
    COMMIT_MAX, Inbox,
    content::ContentError,
    http::{Call, Reply},
    own::read_json,
    params::{self, Params},
    problem::Problem,
};

/// The door's name among senders' keys.
const SOURCE: &str = "api";
/// So many users one call serves; a broadcast may list more.
const USERS_MAX: usize = 1000;

/// The body of the call.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    users: Vec<String>,
    content: Option<Map<String, Value>>,
    template: Option<String>,
    values: Option<Map<String, Value>>,
    deliver_at: Option<String>,
}

impl Inbox {
    pub(super) async fn admin_notifications(
        &self,
        call: &Call,
        brand: &Brand,
        path: &[&str],
    ) -> Result<Reply, Problem> {
        match (&call.parts.method, path) {
            (&Method::POST, []) => self.send(call, brand).await,
            (_, []) => Err(Problem::Method("POST")),
            _ => Err(Problem::NotFound("path")),
        }
    }

    async fn send(&self, call: &Call, brand: &Brand) -> Result<Reply, Problem> {
        Params::read(call.parts.uri.query(), &[])?;
        let key = params::idempotency_key(&call.parts.headers)?;
        let Sent { users, content, template, values, deliver_at } = read_json(&call.body)?;
        let users = listed(users, USERS_MAX)?;
        let keyed = key.map(|key| {
            // Users may be others: to whom it was sent, it is not sent again.
            let is_scheduled = deliver_at.is_some();
            let said =
                json!({"content": content, "template": template, "values": values, "later": is_scheduled});
            Keyed::new("notifications", key, &said)
        });
        let is_repeated = match &keyed {
            Some(keyed) => self.is_repeated(brand, keyed).await?,
            None => false,
        };
        // Also where the time has come: a repetition must not be sent by the other road.
        if let Some(deliver_at) = deliver_at {
            if is_repeated
                && let Some(keyed) = &keyed
                && let Some(same) = self.store.broadcast_called(brand.id, keyed.key.clone()).await?
            {
                return Ok(broadcasts::accepted(&same, call));
            }
            let saying = self.saying(brand, content, template, values).await?;
            let due_at = moment("deliver_at", &deliver_at)?.max(self.now());
            saying.check_lasts(due_at)?;
            if let Some(keyed) = &keyed {
                self.use_key(brand, keyed).await?;
            }
            let new = NewBroadcast {
                brand: brand.id,
                audience: Audience::Users(users),
                payload: saying.payload(due_at),
                due_at,
                key: keyed.map(|keyed| keyed.key),
            };
            let broadcast = self.store.add_broadcast(new, self.now()).await?;
            return Ok(broadcasts::accepted(&broadcast, call));
        }
        let known = match key {
            Some(key) if is_repeated => self.known_to(brand, &users, key).await?,
            _ => HashMap::new(),
        };
        let rest: Vec<String> = users.iter().filter(|user| !known.contains_key(*user)).cloned().collect();
        let mut sent = Vec::new();
        if !rest.is_empty() {
            let saying = self.saying(brand, content, template, values).await;
            let saying = saying.and_then(|saying| saying.check_lasts(self.now()).map(|()| saying));
            sent = match saying {
                Ok(saying) => {
                    if let Some(keyed) = &keyed {
                        self.use_key(brand, keyed).await?;
                    }
                    self.send_now(brand, &rest, &saying, key).await?
                }
                // Whoever has it keeps it; the rest cannot get it any more.
                Err(Problem::Unacceptable(detail)) if !known.is_empty() => {
                    rest.iter().map(|user| refused(user, &detail)).collect()
                }
                Err(problem) => return Err(problem),
            };
        }
        let mut sent = sent.into_iter();
        let results: Vec<Value> = users
            .iter()
            .filter_map(|user| known.get(user).map_or_else(|| sent.next(), |id| Some(repeated(user, *id))))
            .collect();
        Ok(ok(&json!({"results": results})))
    }

    /// Those of these users who have been sent something under this key.
    async fn known_to(
        &self,
        brand: &Brand,
        users: &[String],
        key: &str,
    ) -> Result<HashMap<String, NotificationId>, StoreError> {
        let keys = users.iter().map(|user| source_key(key, user)).collect();
        let known = self.store.known(brand.id, keys).await?;
        Ok(users.iter().zip(known).filter_map(|(user, id)| Some((user.clone(), id?))).collect())
    }

    /// Sends to each of these users, and says what became of it.
    async fn send_now(
        &self,
        brand: &Brand,
        users: &[String],
        saying: &Saying,
        key: Option<&str>,
    ) -> Result<Vec<Value>, Problem> {
        let mut results = Vec::with_capacity(users.len());
        let mut is_any_stored = false;
        let mut trouble = None;
        for chunk in users.chunks(COMMIT_MAX) {
            match self.send_chunk(brand, chunk, saying, key).await {
                Ok(outcomes) => {
                    for (user, outcome) in chunk.iter().zip(outcomes) {
                        results.push(outcome.shown(user));
                        match outcome {
                            Outcome::Stored(_) => is_any_stored = true,
                            Outcome::Refused(_) => {}
                            Outcome::Failed(error) => trouble = Some(error),
                        }
                    }
                }
                Err(error) => {
                    results.extend(chunk.iter().map(|user| failed(user)));
                    trouble = Some(error);
                }
            }
        }
        match trouble {
            Some(error) if !is_any_stored => return Err(error.into()),
            Some(error) => tracing::error!(%error, "a part of a call could not be stored"),
            None => {}
        }
        Ok(results)
    }

    /// Stores one notification for each of these users.
    async fn send_chunk(
        &self,
        brand: &Brand,
        users: &[String],
        saying: &Saying,
        key: Option<&str>,
    ) -> Result<Vec<Outcome>, StoreError> {
        let now = self.now();
        let known = self.store.users_called(brand.id, users.to_vec()).await?;
        let known: HashMap<&str, &User> = known.iter().map(|user| (&*user.external_id, user)).collect();
        let mut new = Vec::with_capacity(users.len());
        let mut refused = Vec::with_capacity(users.len());
        for external_id in users {
            let content = saying.content_for(external_id, known.get(&**external_id).copied(), now);
            refused.push(content.as_ref().err().cloned());
            new.extend(content.ok().map(|content| NewNotification {
                recipient: Recipient::External { brand: brand.id, external_id: external_id.clone() },
                content,
                source_key: key.map(|key| source_key(key, external_id)),
            }));
        }
        let mut added = self.store.add(new, now).await?.into_iter();
        let outcome = |refused: Option<ContentError>| match refused {
            Some(error) => Outcome::Refused(error),
            None => match added.next().unwrap_or(Err(StoreError::Stopped)) {
                Ok(added) => Outcome::Stored(added),
                Err(error) => Outcome::Failed(error),
            },
        };
        Ok(refused.into_iter().map(outcome).collect())
    }
}

/// What became of one user's notification.
enum Outcome {
    Stored(Added),
    Refused(ContentError),
    Failed(StoreError),
}

impl Outcome {
    fn shown(&self, user: &str) -> Value {
        match self {
            Outcome::Stored(Added::New(id)) => json!({"user": user, "status": "created", "id": id.get()}),
            Outcome::Stored(Added::Known(id)) => repeated(user, *id),
            Outcome::Refused(error) => refused(user, &error.to_string()),
            Outcome::Failed(_) => failed(user),
        }
    }
}

fn repeated(user: &str, id: NotificationId) -> Value {
    json!({"user": user, "status": "repeated", "id": id.get()})
}

fn refused(user: &str, detail: &str) -> Value {
    json!({"user": user, "status": "refused", "detail": detail})
}

fn failed(user: &str) -> Value {
    json!({"user": user, "status": "failed", "detail": "the store did not take it; send it again"})
}

/// What is sent to one user under a key. JSON, so that no two pairs read alike.
fn source_key(key: &str, user: &str) -> SourceKey {
    SourceKey { source: SOURCE, key: json!([key, user]).to_string() }
}

/// Users as they are listed in a call, each once.
pub(super) fn listed(users: Vec<String>, max: usize) -> Result<Vec<String>, Problem> {
    let wrong = |problem: String| Err(Problem::Unacceptable(problem));
    if users.is_empty() {
        return wrong("users: there is none".to_owned());
    }
    if users.len() > max {
        return wrong(format!("users: there are {}, the most is {max}", users.len()));
    }
    if let Some(at) = users.iter().position(|user| external_id(user).is_none()) {
        return wrong(format!("users[{at}] must have 1 to {} characters", tidings_store::EXTERNAL_ID_MAX));
    }
    let mut seen = HashSet::new();
    Ok(users.into_iter().filter(|user| seen.insert(user.clone())).collect())
}

/// A time as it is sent.
pub(super) fn moment(name: &str, text: &str) -> Result<Timestamp, Problem> {
    let wrong = || Problem::Unacceptable(format!("{name} must be a time as 2026-01-02T03:04:05Z"));
    Timestamp::parse(text).ok_or_else(wrong)
}
