//! WebSocket on raw bytes, as far as both ends of a bench need it: single-frame messages, no extensions.

use data_encoding::BASE64;
use sha1::{Digest as _, Sha1};

/// The key that every client of the bench offers, and what a server must answer to it (RFC 6455, section 1.3).
pub(crate) const CLIENT_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const CLIENT_ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Longer frames than this are taken for a broken stream.
const LONGEST: u64 = 16 << 20;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Text,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn bits(self) -> u8 {
        match self {
            Self::Text => 0x1,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xa,
        }
    }
}

/// A frame's header, and where its payload lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) opcode: Opcode,
    pub(crate) mask: Option<[u8; 4]>,
    /// Bytes of the header.
    pub(crate) start: usize,
    /// Bytes of header and payload.
    pub(crate) end: usize,
}

/// Why bytes are not a frame that the bench can follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a fragmented message")]
    Fragmented,
    #[error("reserved bits are set")]
    Reserved,
    #[error("opcode {0:#x}")]
    Opcode(u8),
    #[error("a frame of {0} bytes")]
    TooLong(u64),
}

impl Header {
    /// Parses the frame at the start of `bytes`; `None` while header or payload is incomplete.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Self>, FrameError> {
        let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err(FrameError::Reserved);
        }
        let opcode = match first & 0x0f {
            0x1 => Opcode::Text,
            0x8 => Opcode::Close,
            0x9 => Opcode::Ping,
            0xa => Opcode::Pong,
            0x0 => return Err(FrameError::Fragmented),
            other => return Err(FrameError::Opcode(other)),
        };
        if first & 0x80 == 0 {
            return Err(FrameError::Fragmented);
        }
        let (length, mut start) = match second & 0x7f {
            0x7e => match rest {
                &[a, b, ..] => (u64::from(u16::from_be_bytes([a, b])), 4),
                _ => return Ok(None),
            },
            0x7f => match rest.first_chunk::<8>() {
                Some(&long) => (u64::from_be_bytes(long), 10),
                None => return Ok(None),
            },
            short => (u64::from(short), 2),
        };
        let length =
            usize::try_from(length).ok().filter(|_| length <= LONGEST).ok_or(FrameError::TooLong(length))?;
        let mask = if second & 0x80 == 0 {
            None
        } else {
            let Some(&mask) = bytes.get(start..).and_then(<[u8]>::first_chunk::<4>) else { return Ok(None) };
            start += 4;
            Some(mask)
        };
        let end = start + length;
        Ok((bytes.len() >= end).then_some(Self { opcode, mask, start, end }))
    }
}

/// Appends a masked frame, as clients send them.
pub(crate) fn push_client_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    push_header(out, opcode, payload.len(), 0x80);
    out.extend_from_slice(&MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// Appends an unmasked frame, as servers send them.
pub(crate) fn push_server_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    push_header(out, opcode, payload.len(), 0);
    out.extend_from_slice(payload);
}

/// Takes a client's mask off, in place.
pub(crate) fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// The value of `Sec-WebSocket-Accept` for a client's key.
pub(crate) fn accept_key(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    BASE64.encode(&hash.finalize())
}

fn push_header(out: &mut Vec<u8>, opcode: Opcode, length: usize, mask_bit: u8) {
    out.push(0x80 | opcode.bits());
    if let Ok(short @ 0..=125) = u8::try_from(length) {
        out.push(mask_bit | short);
    } else if let Ok(medium) = u16::try_from(length) {
        out.push(mask_bit | 0x7e);
        out.extend_from_slice(&medium.to_be_bytes());
    } else {
        out.push(mask_bit | 0x7f);
        out.extend_from_slice(&crate::number::count(length).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server_frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        push_server_frame(&mut out, opcode, payload);
        out
    }

    #[test]
    fn every_length_form_round_trips() {
        for (length, start) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let bytes = server_frame(Opcode::Text, &vec![b'x'; length]);
            let header = Header { opcode: Opcode::Text, mask: None, start, end: start + length };
            assert_eq!(Header::parse(&bytes), Ok(Some(header)), "{length} bytes");
        }
    }

    #[test]
    fn every_cut_is_incomplete() {
        for length in [3, 200, 70_000] {
            let bytes = server_frame(Opcode::Text, &vec![b'x'; length]);
            for cut in (0..12).chain([bytes.len() - 1]).filter(|&cut| cut < bytes.len()) {
                assert_eq!(Header::parse(&bytes[..cut]), Ok(None), "{cut} of {}", bytes.len());
            }
        }
    }

    #[test]
    fn several_frames_in_one_read() {
        let mut bytes = server_frame(Opcode::Text, b"one");
        bytes.extend(server_frame(Opcode::Ping, b"two"));
        bytes.extend(&server_frame(Opcode::Text, b"cut off")[..4]);
        let first = Header::parse(&bytes).unwrap().unwrap();
        assert_eq!((first.opcode, &bytes[first.start..first.end]), (Opcode::Text, &b"one"[..]));
        let rest = &bytes[first.end..];
        let second = Header::parse(rest).unwrap().unwrap();
        assert_eq!((second.opcode, &rest[second.start..second.end]), (Opcode::Ping, &b"two"[..]));
        assert_eq!(Header::parse(&rest[second.end..]), Ok(None));
    }

    #[test]
    fn a_masked_frame_reads_back() {
        let mut bytes = Vec::new();
        push_client_frame(&mut bytes, Opcode::Pong, b"hello");
        let header = Header::parse(&bytes).unwrap().unwrap();
        let mut payload = bytes[header.start..header.end].to_vec();
        unmask(&mut payload, header.mask.unwrap());
        assert_eq!((header.opcode, &payload[..]), (Opcode::Pong, &b"hello"[..]));
    }

    #[test]
    fn what_the_bench_cannot_follow_is_refused() {
        assert_eq!(Header::parse(&[0x01, 0]), Err(FrameError::Fragmented));
        assert_eq!(Header::parse(&[0x80, 0]), Err(FrameError::Fragmented));
        assert_eq!(Header::parse(&[0xc1, 0]), Err(FrameError::Reserved));
        assert_eq!(Header::parse(&[0x82, 0]), Err(FrameError::Opcode(2)));
        let huge = [0x81, 127, 0, 0, 0, 1, 0, 0, 0, 0];
        assert_eq!(Header::parse(&huge), Err(FrameError::TooLong(1 << 32)));
    }

    #[test]
    fn accept_key_of_the_rfc() {
        assert_eq!(accept_key(CLIENT_KEY), CLIENT_ACCEPT);
    }
}
