//! Events and what is published of them.

use std::sync::Arc;

use serde_json::value::RawValue;

use crate::{
    ChannelName, SocketId,
    frame::server::{ServerFrame, quoted},
    limit::Limit,
};

/// The most characters in an event's name. Source: the server libraries check it.
pub const EVENT_NAME_MAX: usize = 200;

/// An event's data, as the JSON string literal that goes out with every frame: what came as one is passed on as it
/// came, neither decoded nor encoded again. Cloning shares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventData(Arc<str>);

impl EventData {
    /// The data of this text.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        EventData(quoted(text).into())
    }

    /// The data that JSON gives: a string is its text, anything else is itself as text. Nothing, if it is a string
    /// that is no text: half a surrogate pair.
    #[must_use]
    pub fn of_json(json: &RawValue) -> Option<Self> {
        let json = json.get();
        if !json.starts_with('"') {
            return Some(Self::of_text(json));
        }
        let is_text = !json.contains("\\u") || serde_json::from_str::<String>(json).is_ok();
        is_text.then(|| EventData(json.into()))
    }

    /// The JSON string literal, quotes and all.
    #[must_use]
    pub fn literal(&self) -> &str {
        &self.0
    }

    /// The text.
    ///
    /// # Panics
    /// Never: the literal is one.
    #[must_use]
    pub fn text(&self) -> String {
        serde_json::from_str(&self.0).expect("event data is a JSON string")
    }

    /// The bytes of the text, if they are more than the limit allows. Escapes only shorten: a literal that is short
    /// enough need not be decoded.
    #[must_use]
    pub fn over(&self, limit: Limit) -> Option<usize> {
        if limit.allows(self.0.len() - 2) {
            return None;
        }
        let len = self.text().len();
        (!limit.allows(len)).then_some(len)
    }
}

/// Who published an event; it decides what is kept of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The app's backend, over HTTP: a caching channel keeps it.
    Backend,
    /// Another client or the server itself: never kept.
    Socket,
}

/// One event bound for one channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Publication {
    /// Where it goes.
    pub channel: ChannelName,
    /// What every subscriber receives.
    pub frame: ServerFrame,
    /// The one connection that does not get it.
    pub except: Option<SocketId>,
    /// Who published it.
    pub origin: Origin,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, text: Option<&str>) {
        let raw: Box<RawValue> = serde_json::from_str(json).expect(json);
        let data = EventData::of_json(&raw);
        assert_eq!(data.as_ref().map(EventData::text).as_deref(), text, "{json}");
        if let Some(data) = data {
            assert_eq!(serde_json::from_str::<String>(data.literal()).expect(json), data.text());
        }
    }

    #[test]
    fn a_string_is_its_text_and_anything_else_is_itself() {
        check(r#""plain""#, Some("plain"));
        check(r#""a\/b \u00e9 \ud83d\ude00 \"q\"""#, Some("a/b é 😀 \"q\""));
        check(r#"{"a": [1]}"#, Some(r#"{"a": [1]}"#));
        check("null", Some("null"));
        check(r#""\ud83d""#, None);
    }

    #[test]
    fn the_limit_counts_the_texts_bytes() {
        let escaped = r#""\u00e9\u00e9""#;
        let raw: Box<RawValue> = serde_json::from_str(escaped).expect("JSON");
        let data = EventData::of_json(&raw).expect("text");
        assert_eq!(data.over(Limit::new(4)), None);
        assert_eq!(data.over(Limit::new(3)), Some(4));
        assert_eq!(data.over(Limit::NONE), None);
    }
}
