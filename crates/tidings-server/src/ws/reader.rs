//! Websocket frames from a client: bytes in, messages out.
//!
//! Headers are parsed by tungstenite. The reading is ours, because tungstenite keeps a read buffer for every socket,
//! while here all sockets of a thread share one and a socket keeps bytes only while a frame is incomplete.

use std::{io::Cursor, str};

use tidings_protocol::Close;
use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};

/// Something whole that a client sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    Text(&'a str),
    Ping(&'a [u8]),
    Pong,
    /// The peer closes, with this code if it gave one.
    Close(Option<u16>),
}

/// What a socket has read and not yet understood; nothing, between frames.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// The beginning of a frame.
    partial: Vec<u8>,
    /// The frames so far of a fragmented message.
    fragments: Option<Vec<u8>>,
}

impl Reader {
    /// Takes bytes from the socket and hands on each message that they complete, until one says otherwise.
    ///
    /// # Errors
    /// The [`Close`] to end the connection with. A length over `max` is refused when its header is read, before
    /// anything is kept of it.
    pub(crate) fn feed(
        &mut self,
        bytes: &mut [u8],
        max: usize,
        mut handle: impl FnMut(Message<'_>) -> Next,
    ) -> Result<(), Close> {
        if self.partial.is_empty() {
            let consumed = self.messages(bytes, max, &mut handle)?;
            self.partial.extend_from_slice(&bytes[consumed..]);
        } else {
            let mut partial = std::mem::take(&mut self.partial);
            partial.extend_from_slice(bytes);
            let consumed = self.messages(&mut partial, max, &mut handle)?;
            if consumed < partial.len() {
                partial.drain(..consumed);
                self.partial = partial;
            }
        }
        Ok(())
    }

    /// Handles the whole frames at the start of `bytes`; returns how many bytes they were.
    fn messages(
        &mut self,
        bytes: &mut [u8],
        max: usize,
        handle: &mut impl FnMut(Message<'_>) -> Next,
    ) -> Result<usize, Close> {
        let mut at = 0;
        loop {
            let mut cursor = Cursor::new(&bytes[at..]);
            let Some((header, len)) = FrameHeader::parse(&mut cursor).map_err(|_| Close::ProtocolError)?
            else {
                return Ok(at);
            };
            let header_len = usize::try_from(cursor.position()).expect("a header is a few bytes");
            let len = self.check(&header, len, max)?;
            let start = at + header_len;
            let Some(payload) = bytes.get_mut(start..start + len) else { return Ok(at) };
            unmask(payload, header.mask.ok_or(Close::ProtocolError)?);
            at = start + len;
            match self.frame(&header, payload, handle)? {
                Next::Go => {}
                Next::Pause => return Ok(at),
                Next::Stop => return Ok(bytes.len()),
            }
        }
    }

    /// What a header alone tells to be wrong; returns the payload's length.
    fn check(&self, header: &FrameHeader, len: u64, max: usize) -> Result<usize, Close> {
        if header.rsv1 || header.rsv2 || header.rsv3 || header.mask.is_none() {
            return Err(Close::ProtocolError);
        }
        let so_far = match header.opcode {
            OpCode::Control(_) if len > 125 || !header.is_final => return Err(Close::ProtocolError),
            OpCode::Data(Data::Binary) => return Err(Close::Binary),
            OpCode::Data(Data::Continue) => self.fragments.as_ref().ok_or(Close::ProtocolError)?.len(),
            OpCode::Data(_) if self.fragments.is_some() => return Err(Close::ProtocolError),
            OpCode::Control(_) | OpCode::Data(_) => 0,
        };
        let len = usize::try_from(len).map_err(|_| Close::TooBig)?;
        if len > max.saturating_sub(so_far) { Err(Close::TooBig) } else { Ok(len) }
    }

    fn frame(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
        handle: &mut impl FnMut(Message<'_>) -> Next,
    ) -> Result<Next, Close> {
        match header.opcode {
            OpCode::Control(Control::Ping) => Ok(handle(Message::Ping(payload))),
            OpCode::Control(Control::Pong) => Ok(handle(Message::Pong)),
            OpCode::Control(_) => Ok(handle(Message::Close(close_code(payload)?))),
            OpCode::Data(_) if header.is_final && self.fragments.is_none() => text(payload, handle),
            OpCode::Data(_) => {
                let fragments = self.fragments.get_or_insert_default();
                fragments.extend_from_slice(payload);
                if !header.is_final {
                    return Ok(Next::Go);
                }
                let whole = self.fragments.take().unwrap_or_default();
                text(&whole, handle)
            }
        }
    }
}

/// Whether a reader goes on to the next message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Go,
    /// Later: what follows is kept for the next [`Reader::feed`].
    Pause,
    /// Never: what follows is dropped.
    Stop,
}

fn text(payload: &[u8], handle: &mut impl FnMut(Message<'_>) -> Next) -> Result<Next, Close> {
    let text = str::from_utf8(payload).map_err(|_| Close::NotUtf8)?;
    Ok(handle(Message::Text(text)))
}

/// The code of a close frame, checked as RFC 6455 section 7.4 wants it.
fn close_code(payload: &[u8]) -> Result<Option<u16>, Close> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() { Ok(None) } else { Err(Close::ProtocolError) };
    };
    let code = u16::from_be_bytes(*code);
    let allowed = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
    if !allowed {
        return Err(Close::ProtocolError);
    }
    str::from_utf8(reason).map_err(|_| Close::NotUtf8)?;
    Ok(Some(code))
}

fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = payload.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client's frame: `first` is the flags and opcode.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [0x12, 0x34, 0x56, 0x78];
        let mut bytes = vec![first];
        match payload.len() {
            len @ 0..126 => bytes.push(0x80 | u8::try_from(len).expect("short")),
            len @ 126..0x1_0000 => {
                bytes.push(0xfe);
                bytes.extend(u16::try_from(len).expect("medium").to_be_bytes());
            }
            len => {
                bytes.push(0xff);
                bytes.extend((len as u64).to_be_bytes());
            }
        }
        bytes.extend(mask);
        bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }

    /// What a reader makes of the bytes, given in pieces of `piece`.
    fn read(bytes: &[u8], piece: usize) -> (Vec<String>, Result<(), Close>) {
        let mut reader = Reader::default();
        let mut seen = Vec::new();
        for piece in bytes.chunks(piece) {
            let fed = reader.feed(&mut piece.to_vec(), 1000, |message| {
                seen.push(format!("{message:?}"));
                if let Message::Close(_) = message { Next::Stop } else { Next::Go }
            });
            if fed.is_err() || seen.last().is_some_and(|message| message.starts_with("Close")) {
                return (seen, fed);
            }
        }
        (seen, Ok(()))
    }

    fn check(frames: &[Vec<u8>], expected: &[&str], end: &Result<(), Close>) {
        let bytes = frames.concat();
        for piece in [1, 2, 3, 7, 64, bytes.len()] {
            let (seen, got) = read(&bytes, piece);
            assert_eq!(seen, expected, "in pieces of {piece}");
            assert_eq!(&got, end, "in pieces of {piece}");
        }
    }

    #[test]
    fn whole_and_fragmented_messages() {
        check(&[frame(0x81, b"one"), frame(0x81, b"")], &[r#"Text("one")"#, r#"Text("")"#], &Ok(()));
        check(
            &[frame(0x01, b"a\xc3"), frame(0x89, b"p"), frame(0x00, b"\xa4"), frame(0x80, b"!")],
            &["Ping([112])", r#"Text("aä!")"#],
            &Ok(()),
        );
        check(&[frame(0x8a, b""), frame(0x88, b"\x03\xe8bye")], &["Pong", "Close(Some(1000))"], &Ok(()));
        check(&[frame(0x88, b""), frame(0x81, b"late")], &["Close(None)"], &Ok(()));
        let long = "x".repeat(1000);
        check(&[frame(0x81, long.as_bytes())], &[&format!("Text({long:?})")], &Ok(()));
    }

    #[test]
    fn refuses_what_breaks_the_rules() {
        check(&[frame(0x82, b"bin")], &[], &Err(Close::Binary));
        check(&[frame(0x81, b"\xff")], &[], &Err(Close::NotUtf8));
        check(&[frame(0x80, b"no start")], &[], &Err(Close::ProtocolError));
        check(&[frame(0x01, b"a"), frame(0x81, b"b")], &[], &Err(Close::ProtocolError));
        check(&[frame(0xc1, b"rsv")], &[], &Err(Close::ProtocolError));
        check(&[frame(0x83, b"opcode")], &[], &Err(Close::ProtocolError));
        check(&[frame(0x09, b"split ping")], &[], &Err(Close::ProtocolError));
        check(&[frame(0x89, &[0; 126])], &[], &Err(Close::ProtocolError));
        check(&[frame(0x88, b"\x03")], &[], &Err(Close::ProtocolError));
        check(&[frame(0x88, b"\x03\xed")], &[], &Err(Close::ProtocolError));
        check(&[frame(0x81, &[b'x'; 1001])], &[], &Err(Close::TooBig));
        check(&[frame(0x01, &[b'x'; 600]), frame(0x80, &[b'x'; 401])], &[], &Err(Close::TooBig));
        check(&[vec![0x81, 0x05, b'p', b'l', b'a', b'i', b'n']], &[], &Err(Close::ProtocolError));
    }

    #[test]
    fn a_length_is_refused_from_the_header() {
        let (seen, end) = read(&[0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4], 14);
        assert_eq!((seen, end), (vec![], Err(Close::TooBig)));
    }

    #[test]
    fn keeps_nothing_between_frames() {
        let mut reader = Reader::default();
        let bytes = frame(0x81, &[b'x'; 500]);
        reader.feed(&mut bytes[..100].to_vec(), 1000, |_| Next::Go).expect("a beginning");
        reader.feed(&mut bytes[100..].to_vec(), 1000, |_| Next::Go).expect("the rest");
        assert_eq!(reader.partial.capacity(), 0);
    }
}
