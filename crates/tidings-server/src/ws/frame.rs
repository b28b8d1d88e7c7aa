//! A websocket frame as it goes over the wire, encoded once and shared by all who receive it.

use std::{
    io::{Cursor, Write as _},
    ops::Deref,
    str,
    sync::Arc,
};

use tidings_protocol::Close;
use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};

/// The bytes of one unmasked frame, header and all. Cloning shares them.
#[derive(Clone, Debug)]
pub(crate) struct Frame(Arc<[u8]>);

impl Frame {
    /// A whole text message.
    pub(crate) fn text(text: &str) -> Self {
        Self::encode(OpCode::Data(Data::Text), text.as_bytes())
    }

    /// A PING without a payload.
    pub(crate) fn ping() -> Self {
        Self::encode(OpCode::Control(Control::Ping), &[])
    }

    /// The answer to a PING: its payload, at most 125 bytes.
    pub(crate) fn pong(payload: &[u8]) -> Self {
        Self::encode(OpCode::Control(Control::Pong), payload)
    }

    /// A close with code and reason.
    pub(crate) fn close(close: &Close) -> Self {
        let mut payload = close.code().to_be_bytes().to_vec();
        let message = close.message();
        let end = message.floor_char_boundary(123);
        payload.extend_from_slice(&message.as_bytes()[..end]);
        Self::encode(OpCode::Control(Control::Close), &payload)
    }

    /// The answer to the peer's close: its code, if it gave one.
    pub(crate) fn close_reply(code: Option<u16>) -> Self {
        let payload = code.map(u16::to_be_bytes);
        Self::encode(OpCode::Control(Control::Close), payload.as_ref().map_or(&[], |bytes| bytes.as_slice()))
    }

    fn encode(opcode: OpCode, payload: &[u8]) -> Self {
        let header = FrameHeader { opcode, ..FrameHeader::default() };
        let len = payload.len() as u64;
        let mut bytes = Vec::with_capacity(header.len(len) + payload.len());
        header.format(len, &mut bytes).expect("a vector takes what is written to it");
        bytes.write_all(payload).expect("a vector takes what is written to it");
        Frame(bytes.into())
    }
}

/// What a frame says that was encoded here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    Text(&'a str),
    Ping,
    Pong,
    Close { code: u16, reason: &'a str },
}

impl<'a> Content<'a> {
    pub(crate) fn of(frame: &'a [u8]) -> Self {
        let mut cursor = Cursor::new(frame);
        let (header, _) = FrameHeader::parse(&mut cursor).ok().flatten().expect("a frame of ours is whole");
        let start = usize::try_from(cursor.position()).expect("a header is a few bytes");
        let text = |bytes| str::from_utf8(bytes).expect("what we say is text");
        match (header.opcode, &frame[start..]) {
            (OpCode::Control(Control::Ping), _) => Content::Ping,
            (OpCode::Control(Control::Pong), _) => Content::Pong,
            (OpCode::Control(_), [high, low, reason @ ..]) => {
                Content::Close { code: u16::from_be_bytes([*high, *low]), reason: text(reason) }
            }
            (OpCode::Control(_) | OpCode::Data(_), payload) => Content::Text(text(payload)),
        }
    }
}

impl Deref for Frame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_says_what_was_encoded() {
        let check = |frame: &Frame, content: &Content<'_>| assert_eq!(&Content::of(frame), content);
        for text in [String::new(), "ż".repeat(60), "x".repeat(300), "y".repeat(70_000)] {
            check(&Frame::text(&text), &Content::Text(&text));
        }
        check(&Frame::ping(), &Content::Ping);
        check(&Frame::pong(b"any bytes \xff"), &Content::Pong);
        let close = Close::Restart;
        check(&Frame::close(&close), &Content::Close { code: close.code(), reason: &close.message() });
    }
}
