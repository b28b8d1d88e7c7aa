//! `/inbox-admin/v1/templates`, by name: `default`, `action:5`, `activity:31`, `name:welcome`.

use hyper::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tidings_store::{
    Brand,
    sending::{StoredTemplate, TemplateName},
};

use super::{decoded, gone, ok, saying::Saying};
use crate::{
    Inbox,
    http::{Call, Reply},
    own::{content_fields, read_json},
    params::Params,
    problem::Problem,
};

/// For whom a template is shown as it would be sent.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Preview {
    user: Option<String>,
    values: Map<String, Value>,
}

impl Inbox {
    pub(super) async fn admin_templates(
        &self,
        call: &Call,
        brand: &Brand,
        path: &[&str],
    ) -> Result<Reply, Problem> {
        Params::read(call.parts.uri.query(), &[])?;
        match (&call.parts.method, path) {
            (&Method::GET, []) => {
                let templates = self.store.templates(brand.id).await?;
                let templates: Value = templates.iter().map(shown).collect();
                Ok(ok(&json!({"templates": templates})))
            }
            (&Method::GET, [name]) => {
                let found = self.store.template(brand.id, vec![parse(name)?]).await?;
                Ok(ok(&shown(&found.ok_or(NO_TEMPLATE)?)))
            }
            (&Method::PUT, [name]) => {
                let name = parse(name).map_err(|_| {
                    let forms = "a template's name is default, action:<id>, activity:<id> or name:<word>";
                    Problem::Unacceptable(forms.to_owned())
                })?;
                let body: Map<String, Value> = read_json(&call.body)?;
                let Saying { body, .. } = Saying::of_content(body, Map::new())?;
                let stored = StoredTemplate { name, body: body.to_string(), updated_at: self.now() };
                self.store.put_template(brand.id, stored.clone()).await?;
                Ok(ok(&shown(&stored)))
            }
            (&Method::DELETE, [name]) => {
                let deleted = self.store.delete_template(brand.id, parse(name)?).await?;
                if deleted { Ok(gone()) } else { Err(NO_TEMPLATE) }
            }
            (&Method::POST, [name, "preview"]) => {
                let found = self.store.template(brand.id, vec![parse(name)?]).await?.ok_or(NO_TEMPLATE)?;
                let Preview { user, values } = read_json(&call.body)?;
                let saying = Saying::of_template(&found, values)?;
                let user = user.unwrap_or_default();
                let known = self.store.user_called(brand.id, user.clone()).await?;
                let content = saying.content_for(&user, known.as_ref(), self.now());
                let content = content.map_err(|error| Problem::Unacceptable(error.to_string()))?;
                Ok(ok(&content_fields(&content)))
            }
            (_, []) => Err(Problem::Method("GET")),
            (_, [_]) => Err(Problem::Method("GET, PUT, DELETE")),
            (_, [_, "preview"]) => Err(Problem::Method("POST")),
            _ => Err(Problem::NotFound("path")),
        }
    }
}

const NO_TEMPLATE: Problem = Problem::NotFound("template");

fn parse(segment: &str) -> Result<TemplateName, Problem> {
    TemplateName::parse(&decoded(segment)).ok_or(NO_TEMPLATE)
}

fn shown(template: &StoredTemplate) -> Value {
    json!({
        "name": template.name.to_string(),
        "body": serde_json::from_str::<Value>(&template.body).unwrap_or_default(),
        "updated_at": template.updated_at.to_string(),
    })
}
