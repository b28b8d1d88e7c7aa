//! The bench's clock: the one place that reads time.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

static START: OnceLock<Instant> = OnceLock::new();

/// Time since the first call, which is as good as the program's start.
#[expect(clippy::disallowed_methods, reason = "this is the home of the bench's time")]
pub(crate) fn now() -> Duration {
    START.get_or_init(Instant::now).elapsed()
}

/// Wall time in whole seconds, for signatures and report headers.
#[expect(clippy::disallowed_methods, reason = "this is the home of the bench's time")]
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A wall time as `2026-11-22 03:49 UTC`.
pub(crate) fn date(unix_seconds: u64) -> String {
    let minutes = unix_seconds / 60;
    let (mut year, mut day) = (1970, minutes / (24 * 60));
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    while day >= 365 + u64::from(is_leap(year)) {
        day -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    let (hour, minute) = (minutes / 60 % 24, minutes % 60);
    format!("{year}-{month:02}-{:02} {hour:02}:{minute:02} UTC", day + 1)
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn dates() {
        let check = |unix_seconds, expected: &str| assert_eq!(date(unix_seconds), expected);
        check(0, "1970-01-01 00:00 UTC");
        check(951_782_400, "2000-02-29 00:00 UTC");
        check(1_767_225_599, "2025-12-31 23:59 UTC");
        check(1_795_319_360, "2026-11-22 03:49 UTC");
    }
}
