//! HTTP/1.1 on raw bytes: heads with a `Content-Length`, and nothing else.

use std::fmt;

/// Longer heads than this are taken for a broken stream.
const LONGEST_HEAD: usize = 16 << 10;

/// A request's or reply's head, and where the body lies behind it.
pub(crate) struct Message<'a> {
    head: &'a str,
    pub(crate) body: &'a [u8],
    /// Bytes of head and body.
    pub(crate) end: usize,
}

/// Why bytes are not a message that the bench can follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MessageError {
    #[error("an HTTP head of more than {LONGEST_HEAD} bytes")]
    TooLong,
    #[error("an HTTP head that is no text")]
    NotText,
    #[error("a chunked HTTP body, which the bench does not read")]
    Chunked,
    #[error("a Content-Length that is no number")]
    Length,
}

impl<'a> Message<'a> {
    /// Parses the message at the start of `bytes`; `None` while head or body is incomplete.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Option<Self>, MessageError> {
        let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            return if bytes.len() > LONGEST_HEAD { Err(MessageError::TooLong) } else { Ok(None) };
        };
        let head = std::str::from_utf8(&bytes[..at]).map_err(|_| MessageError::NotText)?;
        let mut message = Self { head, body: &[], end: at + 4 };
        if message.header("transfer-encoding").is_some() {
            return Err(MessageError::Chunked);
        }
        if let Some(length) = message.header("content-length") {
            let length: usize = length.parse().map_err(|_| MessageError::Length)?;
            let start = message.end;
            let Some(body) = bytes.get(start..).and_then(|rest| rest.get(..length)) else { return Ok(None) };
            message.body = body;
            message.end = start + length;
        }
        Ok(Some(message))
    }

    /// The request line or status line.
    pub(crate) fn first_line(&self) -> &'a str {
        self.head.lines().next().unwrap_or_default()
    }

    /// The status of a reply.
    pub(crate) fn status(&self) -> Option<u16> {
        self.first_line().split(' ').nth(1)?.parse().ok()
    }

    /// The value of a header; names compare without case.
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Whether the sender closes the connection behind this message.
    pub(crate) fn closes(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// Appends a signed `POST` of JSON.
pub(crate) fn push_post(out: &mut Vec<u8>, host: impl fmt::Display, path: &str, query: &str, body: &[u8]) {
    let head = format!(
        "POST {path}?{query} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_pipelined_replies() {
        let bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1 413 No\r\nConnection: Close\r\n\
                      Content-Length: 3\r\n\r\nbig";
        let first = Message::parse(bytes).unwrap().unwrap();
        assert_eq!((first.status(), first.body, first.closes()), (Some(200), &b"{}"[..], false));
        let second = Message::parse(&bytes[first.end..]).unwrap().unwrap();
        assert_eq!((second.status(), second.body, second.closes()), (Some(413), &b"big"[..], true));
        assert_eq!(first.end + second.end, bytes.len());
    }

    #[test]
    fn every_cut_is_incomplete() {
        let mut bytes = Vec::new();
        push_post(&mut bytes, "localhost:1", "/apps/a/events", "x=1", b"{\"a\":1}");
        for cut in 0..bytes.len() {
            assert!(Message::parse(&bytes[..cut]).unwrap().is_none(), "{cut} of {}", bytes.len());
        }
        let message = Message::parse(&bytes).unwrap().unwrap();
        assert_eq!(message.first_line(), "POST /apps/a/events?x=1 HTTP/1.1");
        assert_eq!(message.body, b"{\"a\":1}");
    }

    #[test]
    fn chunked_bodies_are_told_not_misread() {
        let bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
        assert_eq!(Message::parse(bytes).err(), Some(MessageError::Chunked));
    }
}
