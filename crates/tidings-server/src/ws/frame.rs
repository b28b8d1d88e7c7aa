//! A websocket frame as it goes over the wire, encoded once and shared by all who receive it.

use std::{io::Write as _, ops::Deref, sync::Arc};

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

impl Deref for Frame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
