//! Our own API for pages: `/inbox/v1`, for a user who has logged in.
//!
//! A notification has the fields that it has for the CRM's pages, in `snake_case`, and times as `2026-01-02T03:04:05Z`.
//! `openapi.yaml` describes all of it.
//!
//! Source: `facts/notifications.md`, 6.4.

use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tidings_store::{
    Content, Counts, Filter, Listed, Notification, NotificationId, Set, UserKey, Which, time::Timestamp,
};

use crate::{
    Inbox, content,
    http::{self, Call, Reply},
    params::Params,
    problem::Problem,
    wire,
};

/// Describes this door and the operator's.
const DESCRIPTION: &str = include_str!("../openapi.yaml");
/// What a list may be narrowed by.
const LIST_PARAMS: &[&str] = &["cursor", "limit", "unread", "archived", "category", "tag"];

/// The body of `POST /notifications/all`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct All {
    set: String,
    unread: Option<bool>,
    archived: Option<bool>,
    category: Option<String>,
    tag: Option<String>,
    before: Option<i64>,
}

impl Inbox {
    pub(crate) async fn own(&self, call: &Call) -> Reply {
        self.own_call(call).await.unwrap_or_else(|problem| problem.reply())
    }

    async fn own_call(&self, call: &Call) -> Result<Reply, Problem> {
        let path: Vec<&str> = call.segments.iter().skip(2).map(String::as_str).collect();
        match (&call.parts.method, &path[..]) {
            (&Method::GET, ["notifications"]) => {
                let owner = self.reader(call).await?;
                self.notifications_of(owner, call).await
            }
            (&Method::GET, ["counts"]) => {
                let owner = self.reader(call).await?;
                self.counts_of(owner, call).await
            }
            (&Method::POST, ["notifications", "all"]) => self.change_all(call).await,
            (_, ["notifications", "all"]) => Err(Problem::Method("POST")),
            (&Method::GET, ["notifications", id]) => self.show(call, id).await,
            (&Method::DELETE, ["notifications", id]) => self.change_one(call, id, Set::Deleted).await,
            (&Method::POST, ["notifications", id, verb]) => {
                let set = set_of(verb).ok_or(Problem::NotFound("path"))?;
                self.change_one(call, id, set).await
            }
            (&Method::GET, ["openapi.yaml"]) => {
                Ok(http::reply(StatusCode::OK, "application/yaml", DESCRIPTION))
            }
            (_, ["notifications" | "counts" | "openapi.yaml"]) => Err(Problem::Method("GET")),
            (_, ["notifications", _]) => Err(Problem::Method("GET, DELETE")),
            (_, ["notifications", _, verb]) if set_of(verb).is_some() => Err(Problem::Method("POST")),
            _ => Err(Problem::NotFound("path")),
        }
    }

    /// A page of the list of an inbox.
    pub(crate) async fn notifications_of(&self, owner: UserKey, call: &Call) -> Result<Reply, Problem> {
        let params = Params::read(call.parts.uri.query(), LIST_PARAMS)?;
        let page = params.page()?;
        let filter = Filter {
            archived: params.switch("archived")?.unwrap_or(false),
            read: params.switch("unread")?.map(|unread| !unread),
            category: params.text("category").map(str::to_owned),
            tag: params.text("tag").map(tag).transpose().map_err(Problem::Unreadable)?,
            before: page.after.and_then(NotificationId::new),
            ..Filter::default()
        };
        let Listed { notifications: mut found, mut held, .. } =
            self.store.list(owner, filter, page.wanted(), self.now()).await?;
        let next = page.cut(&mut found, |notification| notification.id.get());
        let found: Value = found.into_iter().map(|found| notification(&found)).collect();
        let json = json!({"notifications": found, "next_cursor": next}).to_string();
        held.grow_to_list(json.len())?;
        Ok(http::list(json, held))
    }

    /// What an inbox holds.
    pub(crate) async fn counts_of(&self, owner: UserKey, call: &Call) -> Result<Reply, Problem> {
        Params::read(call.parts.uri.query(), &[])?;
        let counts = self.store.counts(owner, self.now()).await?;
        Ok(counted(counts))
    }

    async fn show(&self, call: &Call, id: &str) -> Result<Reply, Problem> {
        let owner = self.reader(call).await?;
        Params::read(call.parts.uri.query(), &[])?;
        let found = self.store.notification(owner, parse_id(id)?, self.now()).await?;
        let found = found.ok_or(NO_NOTIFICATION)?;
        Ok(http::json(StatusCode::OK, &notification(&found)))
    }

    async fn change_one(&self, call: &Call, id: &str, set: Set) -> Result<Reply, Problem> {
        let owner = self.reader(call).await?;
        Params::read(call.parts.uri.query(), &[])?;
        let changed = self.store.change(owner, Which::One(parse_id(id)?), set, self.now()).await?;
        if changed.found == 0 { Err(NO_NOTIFICATION) } else { Ok(counted(changed.counts)) }
    }

    async fn change_all(&self, call: &Call) -> Result<Reply, Problem> {
        let owner = self.reader(call).await?;
        Params::read(call.parts.uri.query(), &[])?;
        let All { set, unread, archived, category, tag: wanted, before } = read_json(&call.body)?;
        let set = Set::of_word(&set).ok_or_else(|| {
            let words: Vec<&str> = Set::ALL.iter().map(|set| set.word()).collect();
            Problem::Unacceptable(format!("set must be one of {}", words.join(", ")))
        })?;
        let no_id = || Problem::Unacceptable("before must be the id of a notification".to_owned());
        let filter = Filter {
            // Only what is archived can be taken back from there.
            archived: archived.unwrap_or(set == Set::Unarchived),
            read: unread.map(|unread| !unread),
            category,
            tag: wanted.as_deref().map(tag).transpose().map_err(Problem::Unacceptable)?,
            before: before.map(|id| NotificationId::new(id).ok_or_else(no_id)).transpose()?,
            ..Filter::default()
        };
        let changed = self.store.change(owner, Which::All(filter), set, self.now()).await?;
        Ok(counted(changed.counts))
    }

    /// Whose inbox the call is about.
    async fn reader(&self, call: &Call) -> Result<UserKey, Problem> {
        let wrong = Problem::Unauthorized("log in, and send the token as Authorization: Bearer <token>");
        let Some(token) =
            http::bearer(&call.parts.headers).or_else(|| http::header(&call.parts.headers, "authtoken"))
        else {
            return Err(wrong);
        };
        self.owner_in(call, token.trim()).await?.ok_or(wrong)
    }
}

const NO_NOTIFICATION: Problem = Problem::NotFound("notification");

/// Reads a body: what is no JSON cannot be read, what is no such object is not acceptable.
pub(crate) fn read_json<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        if error.is_data() {
            Problem::Unacceptable(format!("the body is not what is expected: {error}"))
        } else {
            Problem::Unreadable(format!("the body is no JSON: {error}"))
        }
    })
}

/// The notification as this API shows it.
fn notification(notification: &Notification) -> Value {
    let time = |moment: Option<Timestamp>| moment.map(|moment| moment.to_string());
    let mut shown = content_fields(&notification.content);
    shown["id"] = notification.id.get().into();
    shown["user_id"] = notification.owner.user.get().into();
    shown["created_at"] = notification.created_at.to_string().into();
    shown["seen_at"] = time(notification.seen_at).into();
    shown["read_at"] = time(notification.read_at).into();
    shown["archived_at"] = time(notification.archived_at).into();
    shown
}

/// What a notification says, by the names under which it is sent.
pub(crate) fn content_fields(content: &Content) -> Value {
    let [first, second] = &content.buttons;
    json!({
        "event": content.kind.word(),
        "display_type": content.display.word(),
        "title": content.title,
        "message": content.body,
        "preview_text": content.preview,
        "footer_text": content.footer,
        "data": wire::data(&content.data),
        "cta_button_link": first.link,
        "cta_button_text": first.text,
        "cta_button2_link": second.link,
        "cta_button2_text": second.text,
        "image_url": content.image_url,
        "category": content.category,
        "tags": content.tags,
        "expires_at": content.expires_at.map(|end| end.to_string()),
    })
}

fn counted(counts: Counts) -> Reply {
    let Counts { unread, unseen, total } = counts;
    http::json(StatusCode::OK, &json!({"unread": unread, "unseen": unseen, "total": total}))
}

fn parse_id(text: &str) -> Result<NotificationId, Problem> {
    text.parse().ok().and_then(NotificationId::new).ok_or(NO_NOTIFICATION)
}

fn set_of(verb: &str) -> Option<Set> {
    Some(match verb {
        "seen" => Set::Seen,
        "read" => Set::Read,
        "unread" => Set::Unread,
        "archive" => Set::Archived,
        "unarchive" => Set::Unarchived,
        _ => return None,
    })
}

/// A tag to look for; only what can be one is looked for.
fn tag(text: &str) -> Result<String, String> {
    content::some_tag(text.to_owned()).map_err(|problem| format!("tag: {problem}"))
}
