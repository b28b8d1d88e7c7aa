//! The CRM's senders: single and batch.
//!
//! A sender skips for good what is answered with 4xx, and repeats what is answered with anything else but 2xx. So what
//! is our own trouble is 503, never 4xx and never 429; and a repetition is the same notification, not another.
//!
//! Source: `facts/notifications.md`, section 2.

use std::{
    collections::{BTreeMap, HashSet},
    mem,
};

use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Number, Value, json, value::RawValue};
use tidings_store::{
    BrandId, Content, EXTERNAL_ID_MAX, KeyScope, NewNotification, NotificationId, Recipient, SourceKey,
    StoreError, User, sending::TemplateName,
};

use crate::{
    COMMIT_MAX, Inbox,
    content::{ContentError, Fields},
    http::{self, BodyError, Call, Reply},
    template::{Template, user_values},
};

/// The door's name among senders' keys.
const SOURCE: &str = "site";
/// So many items of a batch are taken; the sender repeats the rest.
const BATCH_MAX: usize = 1000;

/// Why an item is not taken. What is not passing is lost at the sender.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("no x-api-key header")]
    NoKey,
    #[error("wrong api key")]
    Key,
    #[error("unreadable body: {0}")]
    Unreadable(String),
    #[error("unknown brand")]
    UnknownBrand,
    #[error("unknown brand")]
    NoBrand(i64),
    #[error("the api key is another brand's")]
    OtherBrand,
    #[error("bad field {field}: {expected} is expected")]
    Field { field: &'static str, expected: &'static str },
    #[error(transparent)]
    Content(#[from] ContentError),
    #[error("not found")]
    NotFound,
    #[error("use POST")]
    Method,
    #[error("the request body is over {max} bytes")]
    TooLarge { max: usize },
    #[error("storage busy")]
    Store(#[from] StoreError),
    #[error("the request body did not arrive")]
    Incomplete,
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Refusal::NoKey | Refusal::Key => StatusCode::UNAUTHORIZED,
            Refusal::Unreadable(_) => StatusCode::BAD_REQUEST,
            Refusal::UnknownBrand | Refusal::NoBrand(_) | Refusal::NotFound => StatusCode::NOT_FOUND,
            Refusal::OtherBrand => StatusCode::FORBIDDEN,
            Refusal::Field { .. } | Refusal::Content(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Refusal::Method => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::Store(_) | Refusal::Incomplete => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// An item that can be stored.
struct Item {
    /// As the sender wrote it.
    id: Value,
    then: Then,
}

/// What is to be done for an item.
enum Then {
    Store(Box<NewNotification>),
    /// It was stored when it came before.
    Nothing(NotificationId),
}

/// What of an item names it, whatever else may be wrong with it.
#[derive(Deserialize)]
struct Identified {
    activity: Identity,
}

#[derive(Deserialize)]
struct Identity {
    id: Value,
    brand_id: Option<Value>,
}

/// What a batch's answer says of its items.
#[derive(Default)]
struct Report {
    successful: Vec<Value>,
    failed: Vec<Value>,
    fatal: Vec<Value>,
}

impl Inbox {
    pub(crate) async fn onsite(&self, call: Call) -> Reply {
        let done = match call.segments.last().map(String::as_str) {
            _ if call.parts.method != Method::POST => Err(Refusal::Method),
            Some("single") => self.single(&call).await,
            Some("batch") => self.batch(&call).await,
            _ => Err(Refusal::NotFound),
        };
        done.map_or_else(|refusal| refused(&refusal), |answer| http::json(StatusCode::OK, &answer))
    }

    async fn single(&self, call: &Call) -> Result<Value, Refusal> {
        let scope = self.sender(call)?;
        let body: Value =
            serde_json::from_slice(&call.body).map_err(|error| Refusal::Unreadable(error.to_string()))?;
        let item = self.item(call, scope, &body).await?;
        let id = match item.then {
            Then::Nothing(id) => id,
            Then::Store(new) => {
                let added = self.store.add(vec![*new], self.now()).await?;
                added.into_iter().next().unwrap_or(Err(StoreError::Stopped))?.id()
            }
        };
        Ok(json!({"site_notification_id": reference(id)}))
    }

    async fn batch(&self, call: &Call) -> Result<Value, Refusal> {
        let scope = self.sender(call)?;
        let text = String::from_utf8_lossy(&call.body);
        let items = items(&text)?;
        let mut report = Report::default();
        let mut taken = Vec::new();
        let mut seen = HashSet::new();
        for (at, text) in items.into_iter().enumerate() {
            let identified = serde_json::from_str::<Identified>(text.get()).ok();
            let identified = identified.and_then(|Identified { activity: Identity { id, brand_id } }| {
                let (id, key) = named(&id)?;
                Some((id, (brand_id, key)))
            });
            let Some((id, key)) = identified else {
                tracing::warn!(at, "an item of a batch has no id to be named by; its sender will repeat it");
                continue;
            };
            // The first of several with one id speaks for all.
            if !seen.insert(key) {
                continue;
            }
            if taken.len() == BATCH_MAX {
                report.fatal.push(json!({"id": id, "error": format!("more than {BATCH_MAX} items")}));
                continue;
            }
            let item = match serde_json::from_str(text.get()) {
                Ok(body) => self.item(call, scope, &body).await,
                Err(error) => Err(Refusal::Unreadable(error.to_string())),
            };
            match item {
                Ok(Item { id, then: Then::Store(new) }) => taken.push((id, *new)),
                Ok(Item { id, then: Then::Nothing(known) }) => report.stored(&id, known),
                Err(refusal) => report.refused(&id, &refusal),
            }
        }
        while !taken.is_empty() {
            let rest = taken.split_off(taken.len().min(COMMIT_MAX));
            let chunk = mem::replace(&mut taken, rest);
            let (ids, new): (Vec<_>, Vec<_>) = chunk.into_iter().unzip();
            match self.store.add(new, self.now()).await {
                Ok(added) => {
                    for (id, added) in ids.iter().zip(added) {
                        match added {
                            Ok(added) => report.stored(id, added.id()),
                            Err(error) => report.refused(id, &error.into()),
                        }
                    }
                }
                // What is stored already is known when it comes again.
                Err(error @ (StoreError::Overloaded | StoreError::Stopped)) => return Err(error.into()),
                Err(error) => {
                    tracing::error!(%error, "a part of a batch could not be stored");
                    // The rest would wait as long again.
                    for id in ids.iter().chain(taken.iter().map(|(id, _)| id)) {
                        report.fatal.push(json!({"id": id, "error": "storage busy"}));
                    }
                    break;
                }
            }
        }
        let Report { successful, failed, fatal } = report;
        Ok(json!({"successful": successful, "failed": failed, "fatal": fatal}))
    }

    /// What the sender's key opens.
    fn sender(&self, call: &Call) -> Result<KeyScope, Refusal> {
        let key = http::header(&call.parts.headers, "x-api-key").ok_or(Refusal::NoKey)?;
        self.brands.scope(key.trim()).ok_or(Refusal::Key)
    }

    /// Reads one item.
    async fn item(&self, call: &Call, scope: KeyScope, body: &Value) -> Result<Item, Refusal> {
        if !body.is_object() {
            return Err(Refusal::Unreadable("an object is expected".to_owned()));
        }
        let activity = activity(body).ok_or(Refusal::Field { field: "activity", expected: "an object" })?;
        let brand = self.brand_of(call, scope, activity)?;
        let (id, key) = activity
            .get("id")
            .and_then(named)
            .ok_or(Refusal::Field { field: "activity.id", expected: "a number or a text" })?;
        let (_, external_id) = activity
            .get("user_id")
            .and_then(named)
            .ok_or(Refusal::Field { field: "activity.user_id", expected: "a text" })?;
        let source_key = SourceKey { source: SOURCE, key };
        let then = match self.content(brand, body, activity, &external_id).await {
            Ok(content) => {
                let recipient = Recipient::External { brand, external_id };
                let source_key = Some(source_key);
                Then::Store(Box::new(NewNotification { recipient, content, source_key }))
            }
            // The store finds a repetition by itself; what has changed since must not hide it.
            Err(Refusal::Content(error)) => {
                let known = self.store.known(brand, vec![source_key]).await?.into_iter().flatten().next();
                Then::Nothing(known.ok_or(error)?)
            }
            Err(refusal) => return Err(refusal),
        };
        Ok(Item { id, then })
    }

    /// The brand that the item names, or else the one that the path or the key means.
    fn brand_of(
        &self,
        call: &Call,
        scope: KeyScope,
        activity: &Map<String, Value>,
    ) -> Result<BrandId, Refusal> {
        let mounted = call.mount.as_ref().map(|mount| mount.id);
        let brand = match (activity.get("brand_id"), scope) {
            (Some(value), _) if !value.is_null() => {
                let expected = Refusal::Field { field: "activity.brand_id", expected: "a number" };
                let number = integer(value).ok_or(expected)?;
                let brand = BrandId::new(number).and_then(|id| self.brands.by_id(id));
                brand.ok_or(Refusal::NoBrand(number))?.id
            }
            (_, KeyScope::Brand(id)) => mounted.unwrap_or(id),
            (_, KeyScope::Installation) => {
                mounted.ok_or(Refusal::Field { field: "activity.brand_id", expected: "a number" })?
            }
        };
        if mounted.is_some_and(|mounted| mounted != brand) {
            return Err(Refusal::UnknownBrand);
        }
        match scope {
            KeyScope::Brand(own) if own != brand => Err(Refusal::OtherBrand),
            KeyScope::Brand(_) | KeyScope::Installation => Ok(brand),
        }
    }

    /// What the item says itself, or what the template for it says.
    async fn content(
        &self,
        brand: BrandId,
        body: &Value,
        activity: &Map<String, Value>,
        external_id: &str,
    ) -> Result<Content, Refusal> {
        let fields = body.as_object().map(Fields::pick).unwrap_or_default();
        if fields.say_something() {
            return Ok(fields.into_content(self.now())?);
        }
        let id = |name: &str| activity.get(name).and_then(integer);
        let names = [
            id("action_id").map(TemplateName::Action),
            id("activity_id").map(TemplateName::Activity),
            Some(TemplateName::Default),
        ];
        let names = names.into_iter().flatten().collect();
        let Some(template) = self.store.template(brand, names).await? else {
            return Err(ContentError::None.into());
        };
        let said: Map<String, Value> =
            serde_json::from_str(&template.body).map_err(|_| ContentError::None)?;
        let template = Template::parse(&said)?;
        let user = self.store.user_called(brand, external_id.to_owned()).await?;
        let of_user = user.as_ref().map_or_else(|| json!({"external_id": external_id}), user_values);
        let locale = user.as_ref().map_or("", |user: &User| &user.profile.locale);
        Ok(template.render(locale, body, &of_user, self.now())?)
    }
}

impl Report {
    fn stored(&mut self, id: &Value, as_one: NotificationId) {
        self.successful.push(json!({"id": id, "site_notification_id": reference(as_one)}));
    }

    fn refused(&mut self, id: &Value, refusal: &Refusal) {
        let list = match refusal {
            Refusal::Store(error) => {
                tracing::error!(%error, "an item of a batch could not be stored");
                &mut self.fatal
            }
            _ => &mut self.failed,
        };
        list.push(json!({"id": id, "error": refusal.to_string()}));
    }
}

/// The answer where there is no body.
pub(crate) fn no_body(error: BodyError) -> Reply {
    refused(&match error {
        BodyError::TooLarge { max } => Refusal::TooLarge { max },
        BodyError::Incomplete => Refusal::Incomplete,
    })
}

fn refused(refusal: &Refusal) -> Reply {
    let status = refusal.status();
    if let Refusal::Store(error) = refusal {
        tracing::error!(%error, "a notification could not be stored");
    }
    let reply = http::json(status, &json!({"error": refusal.to_string(), "code": status.as_u16()}));
    let reason = match refusal {
        Refusal::NoBrand(id) => format!("unknown brand {id}"),
        other => other.to_string(),
    };
    let reply = http::because(reply, reason);
    match refusal {
        Refusal::Store(_) | Refusal::Incomplete => http::later(reply),
        Refusal::Method => http::use_method(reply, "POST"),
        _ => reply,
    }
}

/// The items of a batch: an array, or an object with just one in it. Each is read by itself, so that one that cannot be
/// read does not make the sender repeat them all for ever.
fn items(body: &str) -> Result<Vec<&RawValue>, Refusal> {
    let unreadable = |error: serde_json::Error| Refusal::Unreadable(error.to_string());
    let wrong = || Refusal::Unreadable("an array of items is expected".to_owned());
    let is_array = |value: &&RawValue| value.get().starts_with('[');
    let body: &RawValue = serde_json::from_str(body).map_err(unreadable)?;
    let array = if is_array(&body) {
        body
    } else {
        let object: BTreeMap<String, &RawValue> = serde_json::from_str(body.get()).map_err(|_| wrong())?;
        let mut arrays = object.into_values().filter(is_array);
        let array = arrays.next().ok_or_else(wrong)?;
        if arrays.next().is_some() {
            return Err(wrong());
        }
        array
    };
    serde_json::from_str(array.get()).map_err(unreadable)
}

fn activity(item: &Value) -> Option<&Map<String, Value>> {
    item.get("activity")?.as_object()
}

/// A number or a text that names something: as it was sent, and as text.
fn named(value: &Value) -> Option<(Value, String)> {
    let text = match value {
        Value::Number(number) => whole(number)?,
        Value::String(text) => text.clone(),
        _ => return None,
    };
    (1..=EXTERNAL_ID_MAX).contains(&text.chars().count()).then(|| (value.clone(), text))
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => whole(number)?.parse().ok(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// The digits of a whole number. Some senders have but one type of number, and write `5.0`.
fn whole(number: &Number) -> Option<String> {
    /// From here on a float that was read may be another number than was written.
    const EXACT: f64 = 1e14;
    if !number.is_f64() {
        return Some(number.to_string());
    }
    let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < EXACT)?;
    // Zero has no sign.
    Some(format!("{:.0}", float + 0.0))
}

/// What the sender is told to call the notification.
fn reference(id: NotificationId) -> String {
    format!("n_{}", data_encoding::BASE32HEX_NOPAD.encode(&id.get().to_be_bytes()).to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_may_be_wrapped_once() {
        let count = |body: &str| items(body).map(|items| items.len()).ok();
        assert_eq!(count("[{},{}]"), Some(2));
        assert_eq!(count(r#"{"items":[{}],"n":1}"#), Some(1));
        assert_eq!(count(r#"{"a":[],"b":[]}"#), None);
        for bad in ["{}", "5", "", "{", "[{]", "[] []"] {
            assert_eq!(count(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_item_is_named_whatever_else_is_wrong_with_it() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for wrong in [r#""half an emoji \ud83d""#, "1e999", &deep] {
            let batch =
                format!(r#"[{{"title": {wrong}, "activity": {{"id": 5}}}}, {{"activity": {{"id": 6}}}}]"#);
            let items = items(&batch).expect(wrong);
            serde_json::from_str::<Value>(items[0].get()).expect_err(wrong);
            let ids = items.iter().map(|item| serde_json::from_str::<Identified>(item.get()));
            let ids: Vec<Value> = ids.map(|item| item.expect(wrong).activity.id).collect();
            assert_eq!(ids, [json!(5), json!(6)], "{wrong}");
        }
    }

    #[test]
    fn whole_numbers_are_what_they_are_however_they_are_written() {
        let check = |number: &str, expected: Option<&str>| {
            let value: Value = serde_json::from_str(number).expect(number);
            assert_eq!(named(&value).map(|(_, text)| text).as_deref(), expected, "{number}");
            assert!(named(&value).is_none_or(|(sent, _)| sent == value), "{number}");
            assert_eq!(integer(&value), expected.and_then(|text| text.parse().ok()), "{number}");
        };
        check("4211", Some("4211"));
        check("4211.0", Some("4211"));
        check("4.211e3", Some("4211"));
        check("-0.0", Some("0"));
        check("18446744073709551615", Some("18446744073709551615"));
        check("99999999999999.0", Some("99999999999999"));
        check("9007199254740991", Some("9007199254740991"));
        for none in ["4211.5", "1e300", "100000000000000.0", "true", "[1]"] {
            check(none, None);
        }
    }

    #[test]
    fn our_own_trouble_is_never_the_senders_fault() {
        for ours in
            [Refusal::Store(StoreError::Overloaded), Refusal::Store(StoreError::Stopped), Refusal::Incomplete]
        {
            assert_eq!(refused(&ours).status(), StatusCode::SERVICE_UNAVAILABLE, "{ours}");
        }
    }
}
