//! soketi's lists of webhooks, which its file and its variables have: what they say here.

use std::sync::Arc;

use serde_json::{Map, Value};
use tidings_protocol::webhook::{Batching, ChannelFilter, Interest, Webhook, WebhookKinds};

use super::{MistakeKind, rules};

/// What a list says here.
#[derive(Debug, Default)]
pub struct SoketiWebhooks {
    /// What it says.
    pub webhooks: Vec<Webhook>,
    /// What of it says nothing here, and why; it tells no URL and no header's value, which may be secrets.
    pub left_out: Vec<String>,
}

/// Reads an app's `webhooks`, which is a list or the text of one.
///
/// # Errors
/// [`MistakeKind::Value`] if it is no list. What cannot be taken of a list is [`left_out`](SoketiWebhooks::left_out).
pub fn read_webhooks(value: &Value, batching: Batching) -> Result<SoketiWebhooks, MistakeKind> {
    let parsed: Option<Value> = value.as_str().and_then(|text| serde_json::from_str(text).ok());
    let list = parsed.as_ref().unwrap_or(value).as_array().ok_or_else(|| MistakeKind::Value {
        expected: "soketi's list of webhooks, as JSON",
        found: "something else".to_owned(),
    })?;
    let mut read = SoketiWebhooks::default();
    for (at, entry) in list.iter().enumerate() {
        let left_out = &mut read.left_out;
        let taken = webhook(entry, batching, |part| left_out.push(format!("webhooks[{at}]: {part}")))
            .and_then(|webhook| webhook.add_to(&mut read.webhooks).map_err(|error| error.to_string()));
        if let Err(why) = taken {
            read.left_out.push(format!("webhooks[{at}]: not taken: {why}"));
        }
    }
    Ok(read)
}

/// A webhook, if it can be one here; what is left out of it goes to `leave_out`.
fn webhook(entry: &Value, batching: Batching, mut leave_out: impl FnMut(String)) -> Result<Webhook, String> {
    let entry = entry.as_object().ok_or("it is no object")?;
    let url: Arc<str> = match text(entry, "url") {
        Some(url) => rules::parse_webhook_url(url)
            .map_err(|_| format!("its url is not {}", rules::WEBHOOK_URL))?
            .into(),
        None if entry.contains_key("lambda_function") => Err("Lambda functions are not called")?,
        None => Err("it has no url")?,
    };
    let kinds = match entry.get("event_types").and_then(Value::as_array) {
        None => WebhookKinds::all(),
        Some(names) => {
            let mut kinds = Vec::new();
            for name in names {
                match name.as_str().map(rules::parse_webhook_kind) {
                    Some(Ok(kind)) => kinds.push(kind),
                    _ => leave_out(format!("there is no event {name}")),
                }
            }
            kinds.into_iter().collect()
        }
    };
    if kinds == WebhookKinds::NONE {
        Err("there is nothing that it is told of")?;
    }
    let filter = entry.get("filter").and_then(Value::as_object);
    let part = |name| filter.and_then(|filter| text(filter, name)).unwrap_or("");
    let pattern = format!("{}*{}", part("channel_name_starts_with"), part("channel_name_ends_with"));
    let channels = ChannelFilter::parse([pattern.as_str()])
        .map_err(|_| "no name of a channel begins or ends as its filter says")?;
    let mut headers = Vec::new();
    for (name, value) in entry.get("headers").and_then(Value::as_object).into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match rules::parse_header(name, &value) {
            Ok(header) => headers.push(header),
            Err(kind) => leave_out(format!("its header {name} {kind}")),
        }
    }
    Ok(Webhook { url, interests: vec![Interest { kinds, channels }], headers, batching })
}

/// A text under a key; soketi takes an empty one for none.
fn text<'v>(object: &'v Map<String, Value>, key: &str) -> Option<&'v str> {
    object.get(key)?.as_str().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(list: &Value) -> SoketiWebhooks {
        read_webhooks(list, Batching::Single).expect("a list")
    }

    #[test]
    fn a_text_is_read_as_the_list_that_it_is() {
        let list = json!([{"url": "https://a.example/", "event_types": ["cache_miss"]}]);
        assert_eq!(read(&Value::from(list.to_string())).webhooks, read(&list).webhooks);
        assert_eq!(read(&list).webhooks.len(), 1);
        for wrong in [json!({}), json!("[{"), json!("x"), json!(1), Value::Null] {
            assert!(read_webhooks(&wrong, Batching::Single).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_cannot_be_taken_is_told_without_secrets() {
        let SoketiWebhooks { webhooks, left_out } = read(&json!([
            {"lambda_function": "fn", "event_types": ["cache_miss"]},
            {"url": "https://me:s3cret@a.example/", "event_types": ["cache_miss"]},
            {"url": "https://b.example/s3cret", "event_types": ["unheard_of", 1]},
            {"url": "https://c.example/s3cret", "event_types": ["cache_miss", "x"], "headers": {"Host": "s3cret", "X-A": 1}},
            {"url": "https://c.example/s3cret", "event_types": ["cache_miss"]},
            {"url": "https://d.example/s3cret", "filter": {"channel_name_starts_with": "a b"}},
            {},
            7,
        ]));
        let urls: Vec<&str> = webhooks.iter().map(|webhook| &*webhook.url).collect();
        assert_eq!(urls, ["https://c.example/s3cret"]);
        assert_eq!(webhooks[0].headers, [("X-A".to_owned(), "1".to_owned())]);
        assert_eq!(
            left_out,
            [
                "webhooks[0]: not taken: Lambda functions are not called",
                "webhooks[1]: not taken: its url is not an address as https://shop.example/webhooks, without a user name and without a fragment",
                "webhooks[2]: there is no event \"unheard_of\"",
                "webhooks[2]: there is no event 1",
                "webhooks[2]: not taken: there is nothing that it is told of",
                "webhooks[3]: there is no event \"x\"",
                "webhooks[3]: its header Host must be under a name that Tidings does not set itself, not \"Host\"",
                "webhooks[4]: not taken: a webhook with this URL has other `headers` or another `batch`; let both say the same",
                "webhooks[5]: not taken: no name of a channel begins or ends as its filter says",
                "webhooks[6]: not taken: it has no url",
                "webhooks[7]: not taken: it is no object",
            ]
        );
    }
}
