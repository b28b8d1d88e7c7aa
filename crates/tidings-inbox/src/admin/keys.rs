//! `/inbox-admin/v1/keys`: those that are kept in the store; those of the configuration are not told of.

use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tidings_store::{KeyScope, StoredKey};

use super::{gone, key, made, need_installation, ok};
use crate::{
    Inbox,
    brands::{hash, new_key},
    http::{Call, Reply},
    own::read_json,
    params::Params,
    problem::Problem,
};

/// The bytes of a key's hash that name it.
const ID_BYTES: usize = 8;

/// A key as it is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    scope: Scope,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Scope {
    Brand,
    Installation,
}

impl Inbox {
    pub(super) async fn admin_keys(
        &self,
        call: &Call,
        scope: KeyScope,
        path: &[&str],
    ) -> Result<Reply, Problem> {
        Params::read(call.parts.uri.query(), &[])?;
        match (&call.parts.method, path) {
            (&Method::GET, []) => {
                let (_, keys) = self.store.brands_and_keys().await?;
                let is_open = |key: &&StoredKey| scope == KeyScope::Installation || key.scope == scope;
                let keys: Value = keys.iter().filter(is_open).map(shown).collect();
                Ok(ok(&json!({"keys": keys})))
            }
            (&Method::POST, []) => {
                need_installation(scope)?;
                let wanted: Wanted = read_json(&call.body)?;
                let wanted = match wanted.scope {
                    Scope::Brand => KeyScope::Brand(self.admin_brand(call, scope)?.id),
                    Scope::Installation => KeyScope::Installation,
                };
                let (new, stored) = new_key((self.outside.random)(), wanted, self.now());
                self.store.add_key(stored.clone()).await?;
                self.reload().await?;
                let mut shown = shown(&stored);
                shown["key"] = new.into();
                Ok(made(StatusCode::CREATED, &shown, call, &id(&stored)))
            }
            (&Method::DELETE, [wanted]) => {
                need_installation(scope)?;
                let (_, keys) = self.store.brands_and_keys().await?;
                let found = keys.iter().find(|key| id(key) == *wanted).ok_or(Problem::NotFound("key"))?;
                if key(call).is_some_and(|key| hash(key) == found.hash) {
                    return Err(Problem::Conflict(
                        "this key is in use for this call; use another".to_owned(),
                    ));
                }
                if !self.store.delete_key(found.hash).await? {
                    return Err(Problem::NotFound("key"));
                }
                self.reload().await?;
                Ok(gone())
            }
            (_, []) => Err(Problem::Method("GET, POST")),
            (_, [_]) => Err(Problem::Method("DELETE")),
            _ => Err(Problem::NotFound("path")),
        }
    }
}

fn shown(key: &StoredKey) -> Value {
    let (scope, brand) = match key.scope {
        KeyScope::Brand(brand) => ("brand", Some(brand.get())),
        KeyScope::Installation => ("installation", None),
    };
    json!({
        "id": id(key),
        "hint": key.hint,
        "scope": scope,
        "brand_id": brand,
        "created_at": key.created_at.to_string(),
    })
}

/// What a key is called. It does not tell the key.
fn id(key: &StoredKey) -> String {
    data_encoding::HEXLOWER.encode(&key.hash[..ID_BYTES])
}
