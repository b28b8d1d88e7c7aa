//! When a certificate ends to be valid, as it says in its DER.
//!
//! Source: RFC 5280, section 4.1: a certificate begins with `SEQUENCE { SEQUENCE { [0] version?, serial, algorithm,
//! issuer, SEQUENCE { not before, not after }, ..`.

use std::{str, time::Duration};

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// How long after 1970 began a certificate ends to be valid.
pub(super) fn expiry(certificate: &[u8]) -> Option<Duration> {
    let mut certificate = Der(Der(certificate).content(SEQUENCE)?);
    let mut fields = Der(certificate.content(SEQUENCE)?);
    if fields.0.first() == Some(&VERSION) {
        fields.next()?;
    }
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        fields.next()?;
    }
    let mut validity = Der(fields.content(SEQUENCE)?);
    validity.next()?;
    let (tag, time) = validity.next()?;
    let time = str::from_utf8(time).ok()?;
    match tag {
        UTC_TIME => {
            let (year, rest) = (number(time, 0..2)?, time.get(2..)?);
            moment(year + if year < 50 { 2000 } else { 1900 }, rest)
        }
        GENERALIZED_TIME => moment(number(time, 0..4)?, time.get(4..)?),
        _ => None,
    }
}

/// Values, one after the other.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next value's tag and content.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, first], rest) = self.0.split_first_chunk()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    /// The next value's content, if it has this tag.
    fn content(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }
}

/// A moment from its year and `MMDDHHMMSSZ`.
fn moment(year: u64, rest: &str) -> Option<Duration> {
    let part = |at: usize| number(rest, at..at + 2);
    let (month, day, hour, minute, second) = (part(0)?, part(2)?, part(4)?, part(6)?, part(8)?);
    if rest.get(10..) != Some("Z") || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days are counted from a March on: the day that some years have more is a year's last.
    let (year, month) = if month < 3 { (year.checked_sub(1)?, month + 9) } else { (year, month - 3) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let days = days.checked_sub(DAYS_TO_1970)?;
    Some(Duration::from_secs(((days * 24 + hour) * 60 + minute) * 60 + second))
}

/// From the March of the year 0 to 1970.
const DAYS_TO_1970: u64 = 719_468;

fn number(text: &str, range: std::ops::Range<usize>) -> Option<u64> {
    let digits = text.get(range)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).expect("short").to_be_bytes();
        [&[tag, 0x82], &length[..], content].concat()
    }

    fn certificate(tag: u8, not_after: &str) -> Vec<u8> {
        let validity = [value(UTC_TIME, b"200101000000Z"), value(tag, not_after.as_bytes())].concat();
        let fields = [
            value(VERSION, &value(2, &[2])),
            value(2, &[1]),
            value(SEQUENCE, &[0; 300]),
            value(SEQUENCE, &[]),
            value(SEQUENCE, &validity),
            value(SEQUENCE, b"subject"),
        ];
        value(SEQUENCE, &value(SEQUENCE, &fields.concat()))
    }

    #[test]
    fn reads_either_form_of_time() {
        let check = |tag, time: &str, expected: Option<u64>| {
            let read = expiry(&certificate(tag, time)).map(|time| time.as_secs());
            assert_eq!(read, expected, "{time}");
        };
        check(UTC_TIME, "700101000000Z", Some(0));
        check(UTC_TIME, "261231235959Z", Some(1_798_761_599));
        check(UTC_TIME, "240229120000Z", Some(1_709_208_000));
        check(UTC_TIME, "491231235959Z", Some(2_524_607_999));
        check(GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000));
        check(GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799));
        for bad in
            ["", "26", "261331235959Z", "26123123595Z", "261231235959", "2612312359+1Z", "600101000000Z"]
        {
            check(UTC_TIME, bad, None);
        }
        check(GENERALIZED_TIME, "00000101000000Z", None);
        check(0x04, "261231235959Z", None);
    }

    #[test]
    fn damage_is_no_time() {
        let whole = certificate(UTC_TIME, "261231235959Z");
        for length in 0..whole.len() - value(SEQUENCE, b"subject").len() {
            assert_eq!(expiry(&whole[..length]), None, "{length}");
        }
        assert_eq!(expiry(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(expiry(&[0x30, 0x80]), None);
    }
}
