//! Our own API for operators: `/inbox-admin/v1`, for whoever has a key.
//!
//! A brand's key opens what is that brand's; an installation's key opens everything, and alone makes brands and keys and
//! looks into the queue of webhooks.
//! The brand that a call is about is the one of the path's prefix, or else the key's, or else the first. Nothing is
//! passed over: a name that is not known is refused. `openapi.yaml` describes all of it.
//!
//! Source: `facts/notifications.md`, 6.4 and 6.8.

mod brands;
mod broadcasts;
mod keys;
mod notifications;
mod repeats;
mod saying;
mod templates;
mod users;
mod webhooks;

pub use webhooks::webhook_json;

use std::sync::Arc;

use hyper::{StatusCode, header::LOCATION, http::HeaderValue};
use serde_json::{Value, json};
use tidings_protocol::auth::request::percent_decode;
use tidings_store::{Brand, EXTERNAL_ID_MAX, KeyScope};

use crate::{
    Inbox,
    http::{self, Call, Reply},
    problem::Problem,
};

impl Inbox {
    pub(crate) async fn admin(&self, call: &Call) -> Reply {
        self.admin_call(call).await.unwrap_or_else(|problem| problem.reply())
    }

    async fn admin_call(&self, call: &Call) -> Result<Reply, Problem> {
        let scope = self.admin_scope(call)?;
        let path: Vec<&str> = call.segments.iter().skip(2).map(String::as_str).collect();
        let Some((resource, rest)) = path.split_first() else { return Err(Problem::NotFound("path")) };
        let brand = || self.admin_brand(call, scope);
        match *resource {
            "brands" => self.admin_brands(call, scope, rest).await,
            "keys" => self.admin_keys(call, scope, rest).await,
            "webhooks" => self.admin_webhooks(call, scope, rest).await,
            "users" => self.admin_users(call, &*brand()?, rest).await,
            "templates" => self.admin_templates(call, &*brand()?, rest).await,
            "notifications" => self.admin_notifications(call, &*brand()?, rest).await,
            "broadcasts" => self.admin_broadcasts(call, &*brand()?, rest).await,
            _ => Err(Problem::NotFound("path")),
        }
    }

    /// What the caller's key opens.
    fn admin_scope(&self, call: &Call) -> Result<KeyScope, Problem> {
        let key = key(call)
            .ok_or(Problem::Unauthorized("send a key as Authorization: Bearer <key>, or as x-api-key"))?;
        let unknown = "this key is not known here: it was deleted, or is another server's";
        self.brands.scope(key).ok_or(Problem::Unauthorized(unknown))
    }

    /// The brand that the call is about.
    fn admin_brand(&self, call: &Call, scope: KeyScope) -> Result<Arc<Brand>, Problem> {
        let brand = match (scope, &call.mount) {
            (KeyScope::Brand(own), Some(mount)) if mount.id != own => {
                return Err(Problem::Forbidden("the key is another brand's"));
            }
            (KeyScope::Brand(own), _) => self.brands.by_id(own),
            (KeyScope::Installation, Some(mount)) => Some(mount.clone()),
            (KeyScope::Installation, None) => self.brands.first(),
        };
        brand.ok_or(Problem::NotFound("brand"))
    }
}

/// The key that a call shows.
fn key(call: &Call) -> Option<&str> {
    http::bearer(&call.parts.headers)
        .or_else(|| http::header(&call.parts.headers, "x-api-key"))
        .map(str::trim)
}

/// Refuses a brand's key where an installation's is needed.
fn need_installation(scope: KeyScope) -> Result<(), Problem> {
    match scope {
        KeyScope::Installation => Ok(()),
        KeyScope::Brand(_) => Err(Problem::Forbidden("this needs an installation's key")),
    }
}

fn ok(value: &Value) -> Reply {
    http::json(StatusCode::OK, value)
}

/// Says what was made, and where it is from now on.
fn made(status: StatusCode, value: &Value, call: &Call, name: &str) -> Reply {
    let mut reply = http::json(status, value);
    let path = call.parts.uri.path().trim_end_matches('/');
    if let Ok(location) = HeaderValue::try_from(format!("{path}/{name}")) {
        reply.headers_mut().insert(LOCATION, location);
    }
    reply
}

fn gone() -> Reply {
    http::empty(StatusCode::NO_CONTENT)
}

/// What the operator calls a user, if it can be that.
fn external_id(text: &str) -> Option<String> {
    (1..=EXTERNAL_ID_MAX).contains(&text.chars().count()).then(|| text.to_owned())
}

/// The segment of a path as text.
fn decoded(segment: &str) -> String {
    percent_decode(segment).into_owned()
}

/// Refuses a text that is too long.
fn within(name: &str, text: &str, max_chars: usize) -> Result<(), Problem> {
    let chars = text.chars().count();
    if chars <= max_chars {
        return Ok(());
    }
    Err(Problem::Unacceptable(format!("{name} has {chars} characters, the most is {max_chars}")))
}

/// A list with the cursor of its next page.
fn page(name: &str, entries: Value, next: Option<String>) -> Value {
    let mut page = json!({});
    page["next_cursor"] = next.into();
    page[name] = entries;
    page
}
