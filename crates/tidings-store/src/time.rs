//! Wall time as it is kept.

use std::{fmt, time::Duration};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A moment: milliseconds since 1970, UTC. Prints as `2026-01-02T03:04:05Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(i64);

/// The end of the year 9999: what comes later has no four-digit year.
const MAX_MS: i64 = 253_402_300_799_999;

impl Timestamp {
    /// The moment so many milliseconds after 1970 began; moments beyond the years 1970 to 9999 are their ends.
    #[must_use]
    pub fn from_ms(ms: i64) -> Self {
        Timestamp(ms.clamp(0, MAX_MS))
    }

    /// The moment so long after 1970 began.
    #[must_use]
    pub fn from_unix(since: Duration) -> Self {
        Self::from_ms(i64::try_from(since.as_millis()).unwrap_or(MAX_MS))
    }

    /// Milliseconds since 1970 began.
    #[must_use]
    pub fn ms(self) -> i64 {
        self.0
    }

    /// So much later.
    #[must_use]
    pub fn after(self, pause: Duration) -> Self {
        Self::from_ms(self.0.saturating_add(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX)))
    }

    /// So much earlier.
    #[must_use]
    pub fn before(self, pause: Duration) -> Self {
        Self::from_ms(self.0.saturating_sub(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Reads `2026-01-02T03:04:05Z`, with an offset or a fraction as well, and `2026-01-02 03:04:05`, which is UTC.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut text = text.trim().to_owned();
        if text.len() == 10 {
            text.push_str("T00:00:00");
        }
        if text.get(10..11) == Some(" ") {
            text.replace_range(10..11, "T");
        }
        if text.len() == 19 {
            text.push('Z');
        }
        let parsed = OffsetDateTime::parse(&text, &Rfc3339).ok()?;
        let ms = i64::try_from(parsed.unix_timestamp_nanos() / 1_000_000).ok()?;
        (0..=MAX_MS).contains(&ms).then_some(Timestamp(ms))
    }

    /// `2026-01-02 03:04:05`, UTC.
    #[must_use]
    pub fn with_space(self) -> String {
        let (date, time) = self.parts();
        format!("{date} {time}")
    }

    fn parts(self) -> (String, String) {
        let moment = OffsetDateTime::from_unix_timestamp(self.0 / 1000).expect("moments lie in 1970 to 9999");
        let (year, month, day) = moment.to_calendar_date();
        let (hour, minute, second) = moment.to_hms();
        (format!("{year:04}-{:02}-{day:02}", u8::from(month)), format!("{hour:02}:{minute:02}:{second:02}"))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (date, time) = self.parts();
        write!(f, "{date}T{time}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        let parsed = Timestamp::parse(text);
        assert_eq!(parsed.map(|moment| moment.to_string()).as_deref(), expected, "{text}");
    }

    #[test]
    fn reads_what_people_write() {
        check("2026-01-02T03:04:05Z", Some("2026-01-02T03:04:05Z"));
        check("2026-01-02T03:04:05.678+02:00", Some("2026-01-02T01:04:05Z"));
        check("2026-01-02 03:04:05", Some("2026-01-02T03:04:05Z"));
        check("2026-01-02T03:04:05", Some("2026-01-02T03:04:05Z"));
        check("2026-01-02", Some("2026-01-02T00:00:00Z"));
        check("9999-12-31T23:59:59Z", Some("9999-12-31T23:59:59Z"));
        for bad in [
            "",
            "soon",
            "2026-13-01 00:00:00",
            "2026-01-02T25:00:00Z",
            "1969-01-01T00:00:00Z",
            "ä026-01-02 03:04:0",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn stays_within_its_bounds() {
        assert_eq!(Timestamp::from_ms(i64::MAX).after(Duration::MAX).to_string(), "9999-12-31T23:59:59Z");
        assert_eq!(Timestamp::from_ms(-1).before(Duration::MAX).with_space(), "1970-01-01 00:00:00");
    }
}
