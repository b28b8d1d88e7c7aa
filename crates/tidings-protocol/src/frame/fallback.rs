//! What goes around the frames where HTTP requests stand in for a websocket: SockJS's lines, as pusher-js reads them.
//!
//! The answer of a receiving request is lines, one of them for each frame; the body of a sending request is a JSON
//! array of frames.

use std::fmt::Write as _;

use serde::Deserialize;

use super::server::push_quoted;

/// Begins a session; a second one tells the client that the server has lost it.
pub const OPEN: &str = "o\n";
/// Shows that the server lives. The streaming client answers with an empty array, the polling one with its next poll.
pub const HEARTBEAT: &str = "h\n";
/// Answers a sign of life: no message, and nothing that is answered in turn.
pub const PONG: &str = "a[]\n";
/// In the place of a websocket PING.
pub const PING: &str = "a[\"{\\\"event\\\":\\\"pusher:ping\\\",\\\"data\\\":\\\"{}\\\"}\"]\n";
/// Old browsers and some proxies hold back so many bytes of a stream; clients read them as one heartbeat.
pub const PRELUDE_BYTES: usize = 2048;

/// Appends the line that carries a frame's text.
pub fn push_message(lines: &mut String, text: &str) {
    lines.push_str("a[");
    push_quoted(lines, text);
    lines.push_str("]\n");
}

/// Appends the line that ends a session, with the code and reason of a websocket's close frame.
pub fn push_close(lines: &mut String, code: u16, reason: &str) {
    write!(lines, "c[{code},").expect("a string takes what is written to it");
    push_quoted(lines, reason);
    lines.push_str("]\n");
}

/// The frames in the body of a sending request; none is a sign of life. `None` if it is no array of strings.
#[must_use]
pub fn parse_sent(body: &[u8]) -> Option<Vec<String>> {
    serde_json::from_slice(body).ok()
}

/// Which app a SockJS session is for: its URL does not say, its first message does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The app's key, if the path is `/app/{key}`.
    pub key: Option<String>,
    /// The query string, raw.
    pub query: String,
}

impl Destination {
    /// Reads `{"path":"/app/{key}?protocol=7&..."}`; any other text leads nowhere.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        #[derive(Default, Deserialize)]
        struct First {
            path: String,
        }
        let First { path } = serde_json::from_str(text).unwrap_or_default();
        let (path, query) = path.split_once('?').unwrap_or((&path, ""));
        let key = path.strip_prefix("/app/").filter(|key| !key.contains('/'));
        Destination { key: key.map(str::to_owned), query: query.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::client::ClientFrame;

    #[test]
    fn a_message_is_read_back_as_it_was() {
        for text in ["{\"event\":\"e\",\"data\":\"{\\\"a\\\":1}\"}", "line\nend", "ż ☕ \u{2028}"] {
            let mut line = String::new();
            push_message(&mut line, text);
            let payload = line.strip_prefix('a').and_then(|line| line.strip_suffix('\n')).expect("a line");
            assert!(!payload.contains('\n'), "{payload}");
            assert_eq!(parse_sent(payload.as_bytes()), Some(vec![text.to_owned()]));
        }
    }

    #[test]
    fn a_ping_is_a_frame_in_a_message() {
        let payload = PING.strip_prefix('a').expect("a message");
        let frames = parse_sent(payload.as_bytes()).expect("an array");
        assert!(matches!(ClientFrame::parse(&frames[0]), Ok(ClientFrame::Ping)));
    }

    #[test]
    fn a_close_has_code_and_reason() {
        let mut line = String::new();
        push_close(&mut line, 4001, "say \"why\"");
        assert_eq!(line, "c[4001,\"say \\\"why\\\"\"]\n");
    }

    #[test]
    fn only_arrays_of_strings_are_sent() {
        assert_eq!(parse_sent(b"[]"), Some(vec![]));
        assert_eq!(parse_sent(br#"["a","b"]"#), Some(vec!["a".to_owned(), "b".to_owned()]));
        for body in [&b""[..], b"{}", b"[1]", b"\"a\"", b"[\"a\"", b"[\"\xff\"]"] {
            assert_eq!(parse_sent(body), None, "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn the_first_message_of_sockjs_names_the_app() {
        let check = |text: &str, key: Option<&str>, query: &str| {
            let expected = Destination { key: key.map(str::to_owned), query: query.to_owned() };
            assert_eq!(Destination::parse(text), expected, "{text}");
        };
        check(r#"{"path":"/app/k?protocol=7&client=js"}"#, Some("k"), "protocol=7&client=js");
        check(r#"{"path":"/app/k"}"#, Some("k"), "");
        check(r#"{"path":"/app/k/x?protocol=7"}"#, None, "protocol=7");
        check(r#"{"path":"/other"}"#, None, "");
        check("no JSON", None, "");
        check(r#"{"event":"pusher:ping"}"#, None, "");
    }
}
