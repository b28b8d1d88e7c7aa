//! What a notification says, read from whatever words its sender has for it.
//!
//! Source: `facts/notifications.md`, 2.2 and 6.8.

use serde_json::{Map, Value};
use tidings_store::{
    Content,
    notifications::{Display, Kind},
    time::Timestamp,
};

const TITLE_MAX_CHARS: usize = 255;
pub(crate) const BODY_MAX: usize = 64 * 1024;
const PREVIEW_MAX: usize = 4 * 1024;
const LINK_MAX: usize = 2 * 1024;
const LABEL_MAX_CHARS: usize = 255;
const DATA_MAX: usize = 16 * 1024;
const WORD_MAX_CHARS: usize = 64;
const TAGS_MAX: usize = 20;

/// A field, and the names that senders have for it, written in any case and with or without underscores. The first
/// that is there counts.
const NAMES: [(Field, &[&str]); 16] = [
    (Field::Title, &["title", "subject"]),
    (Field::Body, &["message", "content", "body", "text"]),
    (Field::Preview, &["previewtext", "preview"]),
    (Field::Footer, &["footertext", "footer"]),
    (Field::Image, &["imageurl", "image"]),
    (Field::Link, &["ctabuttonlink", "buttonlink"]),
    (Field::LinkText, &["ctabuttontext", "buttontext"]),
    (Field::Link2, &["ctabutton2link", "button2link"]),
    (Field::Link2Text, &["ctabutton2text", "button2text"]),
    (Field::Event, &["event"]),
    (Field::Display, &["displaytype", "display"]),
    (Field::Data, &["data"]),
    (Field::Expires, &["expires", "expiresat"]),
    (Field::Lifetime, &["expiresin"]),
    (Field::Category, &["category"]),
    (Field::Tags, &["tags"]),
];
/// Objects that hold the fields for some senders.
const NESTS: [&str; 3] = ["notification", "message", "content"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Title,
    Body,
    Preview,
    Footer,
    Image,
    Link,
    LinkText,
    Link2,
    Link2Text,
    Event,
    Display,
    Data,
    Expires,
    Lifetime,
    Category,
    Tags,
}

/// Why there is no content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// Neither text nor picture nor button.
    #[error("no content")]
    None,
    /// A field that cannot be what it is.
    #[error("bad field {field}: {problem}")]
    Field {
        /// As the sender wrote it.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// The fields of a content as they were sent.
#[derive(Clone, Debug, Default)]
pub struct Fields(Vec<(Field, String, Value)>);

impl Fields {
    /// Picks the fields out of an object; what is no field is passed over.
    #[must_use]
    pub fn pick(object: &Map<String, Value>) -> Self {
        let nests =
            object.iter().filter(|(name, value)| value.is_object() && NESTS.contains(&plain(name).as_str()));
        let sources = std::iter::once(object).chain(nests.filter_map(|(_, value)| value.as_object()));
        // Of each field the first of its names that is there, and where it is first.
        let mut found: [Option<(usize, &String, &Value)>; NAMES.len()] = [None; NAMES.len()];
        for (name, value) in sources.flatten() {
            let plain = plain(name);
            let place = NAMES.iter().zip(&mut found).find_map(|((_, names), found)| {
                Some((names.iter().position(|known| *known == plain)?, found))
            });
            let Some((rank, found)) = place else { continue };
            let is_nest = value.is_object() && NESTS.contains(&plain.as_str());
            let is_first = found.is_none_or(|(other, ..)| rank < other);
            if is_first && !is_nest && !value.is_null() {
                *found = Some((rank, name, value));
            }
        }
        let fields = NAMES.iter().zip(found).filter_map(|((field, _), found)| {
            found.map(|(_, name, value)| (*field, name.clone(), value.clone()))
        });
        Fields(fields.collect())
    }

    /// The names in an object that are no field's.
    pub fn unknown(object: &Map<String, Value>) -> impl Iterator<Item = &str> {
        let is_known = |name: &str| {
            let name = plain(name);
            NAMES.iter().any(|(_, names)| names.contains(&name.as_str()))
        };
        object.keys().map(String::as_str).filter(move |name| !is_known(name))
    }

    /// Whether there is anything to show.
    #[must_use]
    pub fn say_something(&self) -> bool {
        use Field::{Body, Footer, Image, Link, LinkText, Preview, Title};
        let shown = [Title, Body, Preview, Footer, Image, Link, LinkText];
        self.0.iter().any(|(field, _, value)| shown.contains(field) && value.as_str() != Some(""))
    }

    /// Changes every text: `change` is told whether it may hold HTML.
    #[must_use]
    pub(crate) fn map_texts(mut self, change: impl Fn(&str, bool) -> String) -> Self {
        for (field, _, value) in &mut self.0 {
            map_texts(value, &|text| change(text, matches!(field, Field::Body | Field::Footer)));
        }
        self
    }

    /// The content, if every field can be what it is.
    ///
    /// # Errors
    /// [`ContentError`] says which cannot, or that there is nothing.
    pub fn into_content(self, now: Timestamp) -> Result<Content, ContentError> {
        if !self.say_something() {
            return Err(ContentError::None);
        }
        let mut content = Content::default();
        for (field, name, value) in self.0 {
            read(&mut content, field, &value, now)
                .map_err(|problem| ContentError::Field { field: name, problem })?;
        }
        Ok(content)
    }
}

/// A name without what senders write differently.
fn plain(name: &str) -> String {
    name.chars().filter(|c| *c != '_' && *c != '-').map(|c| c.to_ascii_lowercase()).collect()
}

fn map_texts(value: &mut Value, change: &impl Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = change(text),
        Value::Array(items) => items.iter_mut().for_each(|item| map_texts(item, change)),
        Value::Object(object) => object.values_mut().for_each(|value| map_texts(value, change)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn read(content: &mut Content, field: Field, value: &Value, now: Timestamp) -> Result<(), String> {
    let [first, second] = &mut content.buttons;
    match field {
        Field::Title => content.title = within(text(value, usize::MAX)?, TITLE_MAX_CHARS)?,
        Field::Body => content.body = text(value, BODY_MAX)?,
        Field::Preview => content.preview = text(value, PREVIEW_MAX)?,
        Field::Footer => content.footer = text(value, BODY_MAX)?,
        Field::Image => content.image_url = link(value)?,
        Field::Link => first.link = link(value)?,
        Field::LinkText => first.text = within(text(value, usize::MAX)?, LABEL_MAX_CHARS)?,
        Field::Link2 => second.link = link(value)?,
        Field::Link2Text => second.text = within(text(value, usize::MAX)?, LABEL_MAX_CHARS)?,
        Field::Event => content.kind = word(value, Kind::of_word, "message, shoutout or inbox")?,
        Field::Display => content.display = word(value, Display::of_word, "push or silent")?,
        Field::Data => content.data = data(value)?,
        Field::Expires => content.expires_at = Some(moment(value)?),
        Field::Lifetime => {
            let seconds = value.as_u64().ok_or("a number of seconds is expected")?;
            content.expires_at = Some(now.after(std::time::Duration::from_secs(seconds)));
        }
        Field::Category => content.category = tag(value)?,
        Field::Tags => content.tags = tags(value)?,
    }
    Ok(())
}

fn text(value: &Value, max: usize) -> Result<String, String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return Err("a text is expected".to_owned()),
    };
    if text.len() > max {
        return Err(format!("it has {} bytes, the most is {max}", text.len()));
    }
    Ok(text)
}

fn within(text: String, max_chars: usize) -> Result<String, String> {
    let chars = text.chars().count();
    if chars > max_chars {
        return Err(format!("it has {chars} characters, the most is {max_chars}"));
    }
    Ok(text)
}

/// An address that a page may offer: nothing that would run as a script.
fn link(value: &Value) -> Result<String, String> {
    let text = text(value, LINK_MAX)?.trim().to_owned();
    let scheme = text.split(['/', '?', '#']).next().and_then(|start| start.split_once(':'));
    let known = ["http", "https", "mailto", "tel"];
    match scheme {
        Some((scheme, _)) if !known.contains(&scheme.to_ascii_lowercase().as_str()) => {
            Err("http, https, mailto, tel or a relative address is expected".to_owned())
        }
        _ if text.chars().any(char::is_control) => Err("it has control characters".to_owned()),
        _ => Ok(text),
    }
}

fn word<T>(value: &Value, of_word: fn(&str) -> Option<T>, expected: &str) -> Result<T, String> {
    let word = value.as_str().map(str::to_ascii_lowercase);
    word.as_deref().and_then(of_word).ok_or_else(|| format!("{expected} is expected"))
}

/// The text of an object, which some senders send as text already.
fn data(value: &Value) -> Result<String, String> {
    let text = match value {
        Value::Object(_) => value.to_string(),
        Value::String(text) if text.is_empty() => String::new(),
        Value::String(text) if serde_json::from_str::<Value>(text).is_ok_and(|value| value.is_object()) => {
            text.clone()
        }
        _ => return Err("an object is expected".to_owned()),
    };
    if text.len() > DATA_MAX {
        return Err(format!("it has {} bytes, the most is {DATA_MAX}", text.len()));
    }
    Ok(text)
}

/// A moment as text, or as a number of seconds or milliseconds since 1970.
fn moment(value: &Value) -> Result<Timestamp, String> {
    const SECONDS_UNTIL_5138: i64 = 100_000_000_000;
    let moment = match value {
        Value::String(text) => Timestamp::parse(text),
        Value::Number(number) => number.as_i64().filter(|number| *number >= 0).map(|number| {
            Timestamp::from_ms(if number < SECONDS_UNTIL_5138 { number * 1000 } else { number })
        }),
        _ => None,
    };
    moment.ok_or_else(|| "a time as 2026-01-02T03:04:05Z is expected".to_owned())
}

/// A word that the store looks for between quotes.
pub(crate) fn tag(value: &Value) -> Result<String, String> {
    let text = within(text(value, usize::MAX)?, WORD_MAX_CHARS)?;
    let fits = |c: char| !c.is_control() && !"\"\\,".contains(c);
    if text.chars().all(fits) {
        Ok(text)
    } else {
        Err("quotes, backslashes, commas and control characters are not allowed".to_owned())
    }
}

/// A tag that must be one.
pub(crate) fn some_tag(text: String) -> Result<String, String> {
    if text.is_empty() {
        return Err("an empty one is none".to_owned());
    }
    tag(&text.into())
}

/// A list, or a text with commas.
pub(crate) fn tags(value: &Value) -> Result<Vec<String>, String> {
    let mut tags = match value {
        Value::Array(items) => items.iter().map(tag).collect::<Result<Vec<_>, _>>()?,
        Value::String(text) => {
            let named = text.split(',').map(str::trim).filter(|tag| !tag.is_empty());
            named.map(|text| tag(&text.into())).collect::<Result<Vec<_>, _>>()?
        }
        _ => return Err("a list of texts is expected".to_owned()),
    };
    tags.sort_unstable();
    tags.dedup();
    if tags.len() > TAGS_MAX {
        return Err(format!("there are {}, the most is {TAGS_MAX}", tags.len()));
    }
    Ok(tags)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tidings_store::notifications::Button;

    use super::*;

    fn read_json(value: &Value) -> Result<Content, ContentError> {
        Fields::pick(value.as_object().expect("an object")).into_content(Timestamp::default())
    }

    fn check_error(value: &Value, expected: &str) {
        assert_eq!(read_json(value).expect_err(expected).to_string(), expected);
    }

    #[test]
    fn reads_every_senders_words() {
        let content = read_json(&json!({
            "activity": {"id": 1}, "Subject": "T", "text": "B", "PreviewText": "P", "footer_text": "F",
            "ImageUrl": "https://a/b.png", "cta_button_link": "/x", "CTAButtonText": "X", "CTAButton2Link": "tel:1",
            "cta_button2_text": "Y", "Event": "SHOUTOUT", "display_type": "silent", "Data": {"a": 1},
            "Expires": "2026-02-01 00:00:00", "category": "c", "tags": "b, a",
        }))
        .expect("content");
        let expected = Content {
            kind: Kind::Shoutout,
            display: Display::Silent,
            title: "T".into(),
            body: "B".into(),
            preview: "P".into(),
            footer: "F".into(),
            buttons: [
                Button { link: "/x".into(), text: "X".into() },
                Button { link: "tel:1".into(), text: "Y".into() },
            ],
            image_url: "https://a/b.png".into(),
            data: r#"{"a":1}"#.into(),
            category: "c".into(),
            tags: vec!["a".into(), "b".into()],
            expires_at: Timestamp::parse("2026-02-01"),
        };
        assert_eq!(content, expected);
    }

    #[test]
    fn looks_into_one_nested_object() {
        for nest in ["notification", "Message", "content"] {
            let content = read_json(&json!({nest: {"title": "T", "message": "B"}})).expect(nest);
            assert_eq!((content.title.as_str(), content.body.as_str()), ("T", "B"), "{nest}");
        }
        let content =
            read_json(&json!({"title": "outer", "notification": {"title": "inner"}})).expect("content");
        assert_eq!(content.title, "outer");
        assert_eq!(read_json(&json!({"message": "m", "body": "b"})).expect("content").body, "m");
        let body = |value| read_json(&value).expect("content").body;
        assert_eq!(
            body(json!({"body": "b", "notification": {"message": "m"}})),
            "m",
            "the first name counts"
        );
        assert_eq!(body(json!({"content": {"Body": "first"}, "message": {"body": "second"}})), "first");
        assert_eq!(body(json!({"message": null, "notification": {"message": "m"}})), "m");
    }

    #[test]
    fn says_what_is_wrong() {
        check_error(&json!({}), "no content");
        check_error(&json!({"title": "", "data": {"a": 1}}), "no content");
        check_error(&json!({"title": null}), "no content");
        check_error(
            &json!({"title": "T", "event": "x"}),
            "bad field event: message, shoutout or inbox is expected",
        );
        check_error(&json!({"Title": ["T"]}), "bad field Title: a text is expected");
        check_error(
            &json!({"title": "T".repeat(256)}),
            "bad field title: it has 256 characters, the most is 255",
        );
        check_error(&json!({"title": "T", "data": [1]}), "bad field data: an object is expected");
        check_error(
            &json!({"title": "T", "expires": "soon"}),
            "bad field expires: a time as 2026-01-02T03:04:05Z is expected",
        );
        check_error(
            &json!({"title": "T", "cta_button_link": "JavaScript:alert(1)"}),
            "bad field cta_button_link: http, https, mailto, tel or a relative address is expected",
        );
        check_error(
            &json!({"title": "T", "tags": ["a\"b"]}),
            "bad field tags: quotes, backslashes, commas and control characters are not allowed",
        );
    }
}
