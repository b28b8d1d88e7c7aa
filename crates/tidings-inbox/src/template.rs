//! Templates: what is said to many, in each one's language and with each one's name.
//!
//! A template is an object of content fields, or `{"default": "en", "languages": {"en": {..}, "de": {..}}}`. In its
//! texts `{{user.first_name}}` and the like stand for values; what there is not is empty.

use std::cell::{Cell, OnceCell};

use serde_json::{Map, Value, json};
use tidings_store::{Content, User, time::Timestamp};

use crate::content::{BODY_MAX, ContentError, Fields};

/// A template that can be sent.
#[derive(Clone, Debug)]
pub struct Template {
    default: String,
    languages: Map<String, Value>,
}

/// So many bytes may values add to what is said: a few of them named a thousand times would be as large as memory.
const FILLED_MAX: usize = 4 * BODY_MAX;

/// The name of the language of a template that has one alone.
const ONLY: &str = "";

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// [`ContentError`] says what cannot be sent.
    pub fn parse(body: &Map<String, Value>) -> Result<Self, ContentError> {
        let wrong = |field: &str, problem: &str| ContentError::Field {
            field: field.to_owned(),
            problem: problem.to_owned(),
        };
        let template = match body.get("languages") {
            None => Template {
                default: ONLY.to_owned(),
                languages: Map::from_iter([(ONLY.to_owned(), Value::Object(body.clone()))]),
            },
            Some(Value::Object(languages)) => {
                if let Some(other) = body.keys().find(|key| !["default", "languages"].contains(&key.as_str()))
                {
                    return Err(wrong(other, "it stands beside languages; put it into each of them"));
                }
                let first = languages.keys().next().ok_or_else(|| wrong("languages", "there is none"))?;
                let default = match body.get("default") {
                    None => first.clone(),
                    Some(name) => name
                        .as_str()
                        .filter(|name| languages.contains_key(*name))
                        .ok_or_else(|| wrong("default", "it is none of the languages"))?
                        .to_owned(),
                };
                Template { default, languages: languages.clone() }
            }
            Some(_) => return Err(wrong("languages", "an object is expected")),
        };
        for (language, fields) in &template.languages {
            let fields =
                fields.as_object().ok_or_else(|| wrong(language, "an object of fields is expected"))?;
            if let Some(name) = Fields::unknown(fields).next() {
                return Err(wrong(name, "there is no such field"));
            }
            Fields::pick(fields).into_content(Timestamp::default())?;
        }
        Ok(template)
    }

    /// What it says in a language, with these values and those of the user, who is `user` in it.
    ///
    /// # Errors
    /// If the values make it something that cannot be sent.
    pub fn render(
        &self,
        locale: &str,
        values: &Value,
        user: &Value,
        now: Timestamp,
    ) -> Result<Content, ContentError> {
        let language = locale.split(['-', '_']).next().unwrap_or_default();
        let chosen = [locale, language, &self.default];
        let fields = chosen.iter().find_map(|name| self.languages.get(*name)?.as_object());
        let fields = fields.map(Fields::pick).unwrap_or_default();
        let room = Cell::new(Some(FILLED_MAX));
        let filled = fields.map_texts(|text, is_html| fill(text, (values, user), is_html, &room));
        if room.get().is_none() {
            return Err(ContentError::Field {
                field: "values".to_owned(),
                problem: format!("they would fill more than {FILLED_MAX} bytes"),
            });
        }
        filled.into_content(now)
    }
}

/// What is sent in a broadcast: `{"template": {..}, "values": {..}, "now": ms}`.
struct Payload {
    template: Template,
    values: Value,
    now: Timestamp,
}

/// Makes what users get of one broadcast. Its payload is read once, however many they are.
pub(crate) fn teller() -> impl Fn(&str, &User) -> Option<Content> + Send + 'static {
    let read = OnceCell::new();
    move |payload, user| read.get_or_init(|| Payload::read(payload)).as_ref()?.say(user)
}

impl Payload {
    fn read(text: &str) -> Option<Self> {
        let mut payload: Value = serde_json::from_str(text).ok()?;
        let template = Template::parse(payload.get("template")?.as_object()?).ok()?;
        let now = Timestamp::from_ms(payload.get("now").and_then(Value::as_i64).unwrap_or_default());
        Some(Payload { template, values: payload["values"].take(), now })
    }

    fn say(&self, user: &User) -> Option<Content> {
        match self.template.render(&user.profile.locale, &self.values, &user_values(user), self.now) {
            Ok(content) => Some(content),
            Err(error) => {
                tracing::warn!(user = %user.key.user, %error, "a broadcast says nothing to this user");
                None
            }
        }
    }
}

/// What a template may say of a user.
pub(crate) fn user_values(user: &User) -> Value {
    json!({
        "id": user.key.user.get(),
        "external_id": user.external_id,
        "first_name": user.profile.first_name,
        "last_name": user.profile.last_name,
        "email": user.profile.email,
        "locale": user.profile.locale,
    })
}

/// Puts values into the places that name them, as long as there is room; into HTML as text.
fn fill(text: &str, (values, user): (&Value, &Value), is_html: bool, room: &Cell<Option<usize>>) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((name, behind)) = after.split_once("}}") else { break };
        filled.push_str(before);
        let name = name.trim();
        let (values, name) = name.strip_prefix("user.").map_or((values, name), |name| (user, name));
        let value = match values.pointer(&format!("/{}", name.replace('.', "/"))) {
            Some(Value::String(text)) => text.clone(),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string(),
            _ => String::new(),
        };
        room.set(room.get().and_then(|room| room.checked_sub(value.len())));
        if room.get().is_none() {
            break;
        }
        if is_html {
            push_escaped(&mut filled, &value);
        } else {
            filled.push_str(&value);
        }
        rest = behind;
    }
    filled.push_str(rest);
    filled
}

fn push_escaped(html: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(body: &Value) -> Result<Template, ContentError> {
        Template::parse(body.as_object().expect("an object"))
    }

    #[test]
    fn speaks_the_users_language() {
        let template = template(&json!({
            "default": "en",
            "languages": {"en": {"title": "Hello"}, "de": {"title": "Hallo"}, "de-AT": {"title": "Servus"}},
        }))
        .expect("template");
        let check = |locale: &str, title: &str| {
            let content =
                template.render(locale, &json!({}), &json!({}), Timestamp::default()).expect("content");
            assert_eq!(content.title, title, "{locale}");
        };
        check("de", "Hallo");
        check("de-CH", "Hallo");
        check("de-AT", "Servus");
        check("fr", "Hello");
        check("", "Hello");
    }

    #[test]
    fn fills_in_values_and_trusts_none() {
        let template = template(&json!({
            "title": "Hi {{ user.first_name }}{{nobody}}", "message": "<b>{{user.first_name}}</b> {{n}} {{open",
            "cta_button_link": "{{link}}",
        }))
        .expect("template");
        let (values, user) = (json!({"user": "x", "n": 5, "link": "/ok"}), json!({"first_name": "<A&B>"}));
        let content = template.render("", &values, &user, Timestamp::default()).expect("content");
        assert_eq!(content.title, "Hi <A&B>");
        assert_eq!(content.body, "<b>&lt;A&amp;B&gt;</b> 5 {{open");
        let values = json!({"link": "javascript:alert(1)"});
        template.render("", &values, &user, Timestamp::default()).expect_err("such a link is not sent");
    }

    #[test]
    fn a_few_values_named_often_do_not_fill_the_memory() {
        let template = template(&json!({"title": "T", "message": "{{a}}".repeat(13_000)})).expect("template");
        let render =
            |value: &str| template.render("", &json!({"a": value}), &json!({}), Timestamp::default());
        assert_eq!(render("abc").expect("content").body.len(), 39_000);
        assert_eq!(
            render(&"a".repeat(1_000_000)).expect_err("13 GB").to_string(),
            "bad field values: they would fill more than 262144 bytes"
        );
    }

    #[test]
    fn says_what_cannot_be_sent() {
        let check = |body: Value, expected: &str| {
            assert_eq!(template(&body).expect_err(expected).to_string(), expected);
        };
        check(json!({}), "no content");
        check(json!({"titel": "x"}), "bad field titel: there is no such field");
        check(json!({"languages": {}}), "bad field languages: there is none");
        check(
            json!({"languages": {"en": {"title": "x"}}, "default": "de"}),
            "bad field default: it is none of the languages",
        );
        check(json!({"languages": {"en": 1}}), "bad field en: an object of fields is expected");
    }
}
