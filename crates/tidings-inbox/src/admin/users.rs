//! `/inbox-admin/v1/users`, by what the operator calls them.

use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tidings_store::{Brand, Profile, User, UserId, UserKey};

use super::{decoded, external_id, gone, ok, page, within};
use crate::{
    Inbox, content,
    http::{Call, Reply},
    own::read_json,
    params::Params,
    problem::Problem,
};

const PROFILE_MAX: usize = 255;
const LOCALE_MAX: usize = 35;

/// A user as it is sent: all that is to be known of them from now on.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Sent {
    first_name: String,
    last_name: String,
    email: String,
    phone: String,
    locale: String,
    tags: Vec<String>,
}

impl Inbox {
    pub(super) async fn admin_users(
        &self,
        call: &Call,
        brand: &Brand,
        path: &[&str],
    ) -> Result<Reply, Problem> {
        match (&call.parts.method, path) {
            (&Method::GET, []) => self.list_users(call, brand).await,
            (&Method::GET, [id]) => {
                Params::read(call.parts.uri.query(), &[])?;
                let user = self.store.user_called(brand.id, decoded(id)).await?;
                Ok(ok(&shown(&user.ok_or(NO_USER)?)))
            }
            (&Method::PUT, [id]) => {
                Params::read(call.parts.uri.query(), &[])?;
                let external_id = external_id(&decoded(id)).ok_or(NO_USER)?;
                let (profile, tags) = read_user(&call.body)?;
                let user = self.store.put_user(brand.id, external_id, profile, tags, self.now()).await?;
                Ok(ok(&shown(&user)))
            }
            (&Method::DELETE, [id]) => {
                Params::read(call.parts.uri.query(), &[])?;
                let deleted = self.store.delete_user(brand.id, decoded(id)).await?;
                if deleted { Ok(gone()) } else { Err(NO_USER) }
            }
            (&Method::GET, [id, "notifications"]) => {
                self.notifications_of(self.owner_called(brand, id).await?, call).await
            }
            (&Method::GET, [id, "counts"]) => self.counts_of(self.owner_called(brand, id).await?, call).await,
            (_, [] | [_, "notifications" | "counts"]) => Err(Problem::Method("GET")),
            (_, [_]) => Err(Problem::Method("GET, PUT, DELETE")),
            _ => Err(Problem::NotFound("path")),
        }
    }

    async fn list_users(&self, call: &Call, brand: &Brand) -> Result<Reply, Problem> {
        let asked = Params::read(call.parts.uri.query(), &["cursor", "limit"])?.page()?;
        let after = asked.after.and_then(UserId::new);
        let mut users = self.store.users(brand.id, after, asked.wanted()).await?;
        let next = asked.cut(&mut users, |user| user.key.user.get());
        Ok(ok(&page("users", users.iter().map(shown).collect(), next)))
    }

    async fn owner_called(&self, brand: &Brand, id: &str) -> Result<UserKey, Problem> {
        let user = self.store.user_called(brand.id, decoded(id)).await?;
        Ok(user.ok_or(NO_USER)?.key)
    }
}

const NO_USER: Problem = Problem::NotFound("user");

fn read_user(body: &[u8]) -> Result<(Profile, Vec<String>), Problem> {
    let Sent { first_name, last_name, email, phone, locale, tags } = read_json(body)?;
    for (name, text) in
        [("first_name", &first_name), ("last_name", &last_name), ("email", &email), ("phone", &phone)]
    {
        within(name, text, PROFILE_MAX)?;
    }
    within("locale", &locale, LOCALE_MAX)?;
    if tags.iter().any(String::is_empty) {
        return Err(Problem::Unacceptable("tags: an empty one is none".to_owned()));
    }
    let tags =
        content::tags(&tags.into()).map_err(|problem| Problem::Unacceptable(format!("tags: {problem}")))?;
    Ok((Profile { first_name, last_name, email, phone, locale }, tags))
}

fn shown(user: &User) -> Value {
    json!({
        "id": user.key.user.get(),
        "external_id": user.external_id,
        "first_name": user.profile.first_name,
        "last_name": user.profile.last_name,
        "email": user.profile.email,
        "phone": user.profile.phone,
        "locale": user.profile.locale,
        "tags": user.tags,
        "is_test": user.is_test,
        "created_at": user.created_at.to_string(),
    })
}
