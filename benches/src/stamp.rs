//! The stamp in every payload: which event this is, and when it was due.
//!
//! A stamp has a fixed width and holds no character that JSON escapes, so it reads the same in a trigger's body and
//! in the delivered frame, and is found by position.

use std::time::Duration;

use crate::number::nanos;

/// Width of a stamp on the wire, in bytes.
pub(crate) const WIDTH: usize = MARK.len() + 6 + 4 + 8 + 14;

const MARK: &[u8] = b"tb1.";

/// One event's identity: the `sequence`-th event of publisher `stream` on `channel`, due at `due` of the bench's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) channel: u32,
    pub(crate) stream: u16,
    pub(crate) sequence: u32,
    pub(crate) due: Duration,
}

impl Stamp {
    /// Appends the stamp's text.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(MARK);
        push_hex(out, u64::from(self.channel), 6);
        push_hex(out, u64::from(self.stream), 4);
        push_hex(out, u64::from(self.sequence), 8);
        push_hex(out, nanos(self.due), 14);
    }

    fn read(text: &[u8]) -> Option<Self> {
        let digits = text.get(..WIDTH)?.strip_prefix(MARK)?;
        Some(Self {
            channel: u32::try_from(hex(&digits[..6])?).ok()?,
            stream: u16::try_from(hex(&digits[6..10])?).ok()?,
            sequence: u32::try_from(hex(&digits[10..18])?).ok()?,
            due: Duration::from_nanos(hex(&digits[18..])?),
        })
    }
}

/// Finds stamps; remembers where the last one stood, because one server puts them all in the same place.
#[derive(Default)]
pub(crate) struct Finder {
    likely: usize,
}

impl Finder {
    /// The stamp in `text` and its position.
    pub(crate) fn find(&mut self, text: &[u8]) -> Option<(Stamp, usize)> {
        if let Some(stamp) = text.get(self.likely..).and_then(Stamp::read) {
            return Some((stamp, self.likely));
        }
        let at = text.windows(MARK.len()).position(|window| window == MARK)?;
        let stamp = Stamp::read(&text[at..])?;
        self.likely = at;
        Some((stamp, at))
    }
}

fn push_hex(out: &mut Vec<u8>, value: u64, digits: u32) {
    for digit in (0..digits).rev() {
        let nibble = (value >> (4 * digit)) & 0xf;
        out.push(b"0123456789abcdef"[usize::try_from(nibble).expect("a nibble is below 16")]);
    }
}

fn hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |value, &digit| {
        let nibble = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(nibble))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        channel: 0x0a_bcde,
        stream: 0x1234,
        sequence: 0xdead_beef,
        due: Duration::from_nanos(98_765_432_109),
    };

    #[test]
    fn reads_what_it_wrote() {
        let mut text = b"{\"data\":\"".to_vec();
        STAMP.write(&mut text);
        text.extend_from_slice(b"\"}");
        assert_eq!(text.len(), 9 + WIDTH + 2);
        let mut finder = Finder::default();
        assert_eq!(finder.find(&text), Some((STAMP, 9)));
        assert_eq!(finder.find(&text), Some((STAMP, 9)), "from the remembered place");
    }

    #[test]
    fn follows_when_the_place_changes() {
        let mut finder = Finder { likely: 3 };
        let mut text = b"longer prefix ".to_vec();
        STAMP.write(&mut text);
        assert_eq!(finder.find(&text), Some((STAMP, 14)));
    }

    #[test]
    fn cut_or_absent_stamps_are_not_found() {
        let mut text = Vec::new();
        STAMP.write(&mut text);
        text.pop();
        assert_eq!(Finder::default().find(&text), None);
        assert_eq!(Finder::default().find(b"{\"event\":\"pusher:pong\"}"), None);
    }
}
