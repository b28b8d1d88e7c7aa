//! Limits: a number that may be absent, and a rate.

use std::time::{Duration, Instant};

/// The most that is allowed of something; 0 means no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Limit(u32);

impl Limit {
    /// No limit.
    pub const NONE: Limit = Limit(0);

    /// At most `max`; 0 is no limit.
    #[must_use]
    pub const fn new(max: u32) -> Self {
        Limit(max)
    }

    /// The number, or `None` where there is no limit.
    #[must_use]
    pub fn max(self) -> Option<u32> {
        (self.0 != 0).then_some(self.0)
    }

    /// Whether `count` of the thing is within the limit.
    #[must_use]
    pub fn allows(self, count: usize) -> bool {
        self.max().is_none_or(|max| count <= max as usize)
    }
}

/// How much of a per-second [`Limit`] has been used lately.
///
/// A second's worth may come at once; after that the allowance returns evenly (the generic cell rate algorithm:
/// one time stamp is all the state).
#[derive(Clone, Copy, Debug, Default)]
pub struct Rate {
    /// When the allowance will be whole again.
    whole_at: Option<Instant>,
}

impl Rate {
    /// Takes one from the allowance; false if it is used up.
    pub fn take(&mut self, per_second: Limit, now: Instant) -> bool {
        self.take_many(1, per_second, now)
    }

    /// Takes `count` from the allowance, or nothing and false if there is less.
    pub fn take_many(&mut self, count: u32, per_second: Limit, now: Instant) -> bool {
        let Some(max) = per_second.max() else { return true };
        let cost = Duration::from_secs(1) * count / max;
        let whole_at = self.whole_at.map_or(now, |at| at.max(now)) + cost;
        if whole_at - now > Duration::from_secs(1) {
            return false;
        }
        self.whole_at = Some(whole_at);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
    fn a_seconds_worth_at_once_then_evenly() {
        let start = Instant::now();
        let mut rate = Rate::default();
        let ten = Limit::new(10);
        assert_eq!((0..15).filter(|_| rate.take(ten, start)).count(), 10);
        assert!(!rate.take(ten, start + Duration::from_millis(99)));
        assert!(rate.take(ten, start + Duration::from_millis(100)));
        assert!(!rate.take(ten, start + Duration::from_millis(100)));
        assert!(Rate::default().take(Limit::NONE, start));
    }

    #[test]
    fn zero_is_no_limit() {
        assert!(Limit::NONE.allows(usize::MAX));
        assert!(Limit::new(2).allows(2) && !Limit::new(2).allows(3));
    }
}
