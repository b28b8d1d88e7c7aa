//! What is said to one user or many: content, or a template and its values.

use serde_json::{Map, Value, json};
use tidings_store::{
    Brand, Content, User,
    sending::{StoredTemplate, TemplateName},
    time::Timestamp,
};

use crate::{
    Inbox,
    content::ContentError,
    problem::Problem,
    template::{Template, user_values},
};

/// The fields that are texts, as this API calls them; no other spelling is taken here.
const TEXTS: [&str; 13] = [
    "event",
    "display_type",
    "title",
    "message",
    "preview_text",
    "footer_text",
    "cta_button_link",
    "cta_button_text",
    "cta_button2_link",
    "cta_button2_text",
    "image_url",
    "category",
    "expires_at",
];

/// Something that can be said. Content that is sent along is a template that is used once.
pub(super) struct Saying {
    /// The template's JSON.
    pub(super) body: Value,
    template: Template,
    values: Value,
}

impl Inbox {
    /// What a call says: its content, or the template that it names, with its values.
    pub(super) async fn saying(
        &self,
        brand: &Brand,
        content: Option<Map<String, Value>>,
        template: Option<String>,
        values: Option<Map<String, Value>>,
    ) -> Result<Saying, Problem> {
        let wrong = |problem: String| Err(Problem::Unacceptable(problem));
        match (content, template) {
            (Some(content), None) => Saying::of_content(content, values.unwrap_or_default()),
            (None, Some(name)) => {
                let Some(parsed) = TemplateName::parse(&name) else {
                    return wrong(
                        "template must be default, action:5, activity:31, name:welcome or the like"
                            .to_owned(),
                    );
                };
                match self.store.template(brand.id, vec![parsed]).await? {
                    Some(found) => Saying::of_template(&found, values.unwrap_or_default()),
                    None => wrong(format!("there is no template {name}")),
                }
            }
            _ => wrong("send either content or template".to_owned()),
        }
    }
}

impl Saying {
    pub(super) fn of_content(
        content: Map<String, Value>,
        values: Map<String, Value>,
    ) -> Result<Self, Problem> {
        check(&content)?;
        let template = Template::parse(&content).map_err(|error| Problem::Unacceptable(error.to_string()))?;
        Ok(Saying { body: content.into(), template, values: values.into() })
    }

    pub(super) fn of_template(stored: &StoredTemplate, values: Map<String, Value>) -> Result<Self, Problem> {
        let unfit = |error: &dyn std::fmt::Display| {
            Problem::Unacceptable(format!("the template {} cannot be used: {error}", stored.name))
        };
        let body: Map<String, Value> = serde_json::from_str(&stored.body).map_err(|error| unfit(&error))?;
        let template = Template::parse(&body).map_err(|error| unfit(&error))?;
        Ok(Saying { body: body.into(), template, values: values.into() })
    }

    /// What it says to a user, of whom nothing else may be known.
    pub(super) fn content_for(
        &self,
        external_id: &str,
        user: Option<&User>,
        now: Timestamp,
    ) -> Result<Content, ContentError> {
        let of_user = user.map_or_else(|| json!({"external_id": external_id}), user_values);
        self.template.render(user.map_or("", |user| &user.profile.locale), &self.values, &of_user, now)
    }

    /// Refuses what would be over when it is sent.
    pub(super) fn check_lasts(&self, sent_at: Timestamp) -> Result<(), Problem> {
        let ends = self.content_for("", None, sent_at).ok().and_then(|content| content.expires_at);
        if ends.is_some_and(|end| end <= sent_at) {
            return Err(Problem::Unacceptable("it would expire before it is sent".to_owned()));
        }
        Ok(())
    }

    /// As it is kept for a broadcast that is sent then.
    pub(super) fn payload(&self, sent_at: Timestamp) -> String {
        json!({"template": self.body, "values": self.values, "now": sent_at.ms()}).to_string()
    }
}

/// Refuses fields that are not spelt or typed as this API has them.
fn check(content: &Map<String, Value>) -> Result<(), Problem> {
    if let Some(languages) = content.get("languages").and_then(Value::as_object) {
        return languages.values().filter_map(Value::as_object).try_for_each(check_fields);
    }
    check_fields(content)
}

fn check_fields(fields: &Map<String, Value>) -> Result<(), Problem> {
    for (name, value) in fields {
        let is_tag = |tag: &Value| tag.as_str().is_some_and(|tag| !tag.is_empty());
        let (fits, expected) = match name.as_str() {
            "data" => (value.is_object(), "an object"),
            "tags" => (value.as_array().is_some_and(|tags| tags.iter().all(is_tag)), "a list of texts"),
            "expires_in" => (value.is_u64(), "a number of seconds"),
            name if TEXTS.contains(&name) => (value.is_string(), "a text"),
            _ => return Err(Problem::Unacceptable(format!("there is no field {name:?}"))),
        };
        if !fits {
            return Err(Problem::Unacceptable(format!("{name} must be {expected}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(content: Value) -> Result<Saying, Problem> {
        let Value::Object(content) = content else { panic!("an object") };
        Saying::of_content(content, Map::new())
    }

    fn check(content: Value, expected: &str) {
        let Err(error) = said(content) else { panic!("{expected}") };
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn takes_one_spelling_and_one_type() {
        check(json!({"titel": "x"}), "there is no field \"titel\"");
        check(json!({"Title": "x"}), "there is no field \"Title\"");
        check(json!({"title": 5}), "title must be a text");
        check(json!({"title": "x", "tags": "a,b"}), "tags must be a list of texts");
        check(json!({"languages": {"en": {"title": "x", "body": "y"}}}), "there is no field \"body\"");
        check(json!({"data": {}}), "no content");
        assert!(said(json!({"title": "x", "data": {"a": 1}, "tags": ["a"], "expires_in": 5})).is_ok());
    }

    #[test]
    fn what_is_over_is_not_sent() {
        let now = Timestamp::parse("2026-01-02").expect("a date");
        let lasting = |content| said(content).expect("content").check_lasts(now);
        assert!(lasting(json!({"title": "x", "expires_at": "2026-01-01T00:00:00Z"})).is_err());
        assert!(lasting(json!({"title": "x", "expires_in": 0})).is_err());
        assert!(lasting(json!({"title": "x", "expires_in": 1})).is_ok());
    }
}
