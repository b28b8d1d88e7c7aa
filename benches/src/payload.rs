//! What is published: a small JSON text that carries a stamp, padded to the size asked for.

use std::borrow::Cow;

use serde::Deserialize;

use crate::stamp::{Stamp, WIDTH};

const HEAD: &str = r#"{"m":""#;
const MIDDLE: &str = r#"","p":""#;
const TAIL: &str = r#""}"#;

/// The smallest data that holds a stamp.
pub(crate) const SMALLEST: usize = HEAD.len() + WIDTH + MIDDLE.len() + TAIL.len();

/// The name and the data of all events of a run.
pub(crate) struct Payload {
    name: &'static str,
    /// `MIDDLE`, padding and `TAIL`, plain and as JSON escapes it.
    rest: String,
    rest_escaped: String,
}

impl Payload {
    /// Events called `name` with `size` bytes of data.
    pub(crate) fn new(name: &'static str, size: usize) -> Self {
        let padding = "x".repeat(size.saturating_sub(SMALLEST));
        let rest = format!("{MIDDLE}{padding}{TAIL}");
        Self { name, rest_escaped: rest.replace('"', "\\\""), rest }
    }

    /// Appends one event as it stands in a trigger, or in a client event if `name_key` is `event`.
    pub(crate) fn push_event(&self, out: &mut Vec<u8>, name_key: &str, channel: &str, stamp: &Stamp) {
        let name = self.name;
        let head = format!(r#"{{"{name_key}":"{name}","channel":"{channel}","data":"{{\"m\":\""#);
        out.extend_from_slice(head.as_bytes());
        stamp.write(out);
        out.extend_from_slice(self.rest_escaped.as_bytes());
        out.extend_from_slice(b"\"}");
    }

    /// Whether `text` is the frame of that event on that channel, byte for byte in its data.
    pub(crate) fn is_frame(&self, text: &[u8], channel: &str, stamp: &Stamp) -> bool {
        let Ok(frame) = serde_json::from_slice::<Frame<'_>>(text) else { return false };
        let mut data = HEAD.as_bytes().to_vec();
        stamp.write(&mut data);
        data.extend_from_slice(self.rest.as_bytes());
        frame.event == self.name && frame.channel == channel && frame.data.as_bytes() == data
    }
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    channel: Cow<'a, str>,
    data: String,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn data_has_the_size_asked_for() {
        let stamp = Stamp { channel: 1, stream: 2, sequence: 3, due: Duration::from_nanos(4) };
        for size in [SMALLEST, 200, 10_000] {
            let payload = Payload::new("bench", size);
            let mut text = Vec::new();
            payload.push_event(&mut text, "event", "c-1", &stamp);
            let frame: Frame<'_> = serde_json::from_slice(&text).unwrap();
            assert_eq!(frame.data.len(), size);
            assert!(payload.is_frame(&text, "c-1", &stamp));
            assert!(!payload.is_frame(&text, "c-2", &stamp));
            let other = Stamp { sequence: 4, ..stamp };
            assert!(!payload.is_frame(&text, "c-1", &other));
        }
    }
}
