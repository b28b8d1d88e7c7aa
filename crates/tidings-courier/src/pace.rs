//! When to try again.

use std::time::Duration;

use tidings_store::time::Timestamp;

/// How long to wait after a failure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// After the first; twice as long after each that follows.
    pub(crate) first: Duration,
    /// And no longer than this.
    pub(crate) most: Duration,
}

/// How long a lane waits.
pub(crate) const LANES: Pace = Pace { first: Duration::from_secs(1), most: Duration::from_mins(5) };
/// How long a target is left alone that takes nothing.
pub(crate) const TARGETS: Pace = Pace { first: Duration::from_secs(1), most: Duration::from_mins(1) };

impl Pace {
    /// The wait after so many failures, drawn from its longer half: what failed together is not tried together.
    pub(crate) fn after(self, failures: u32, draw: u32) -> Duration {
        let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        let wait = self.first.saturating_mul(doubled).min(self.most);
        wait / 2 + (wait / 2).mul_f64(f64::from(draw) / f64::from(u32::MAX))
    }
}

/// Leaves a target alone for a while that has failed several times in a row, or has asked for it.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    failures: u32,
    rests_until: Option<Timestamp>,
}

/// What a worker may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum May {
    /// Send.
    Send,
    /// Find out with one request whether the target is back.
    Probe,
    /// Nothing until then.
    Rest(Timestamp),
}

impl Breaker {
    /// So many failures in a row are enough.
    pub(crate) const FAILURES: u32 = 5;

    pub(crate) fn may(&self, now: Timestamp) -> May {
        match self.rests_until {
            None => May::Send,
            Some(until) if now < until => May::Rest(until),
            Some(_) => May::Probe,
        }
    }

    /// A request was taken; true if none was for a while.
    pub(crate) fn succeeded(&mut self) -> bool {
        self.failures = 0;
        self.rests_until.take().is_some()
    }

    /// A request was not taken, and the target asked to be left alone until `asked`.
    pub(crate) fn failed(&mut self, now: Timestamp, asked: Option<Timestamp>, pace: Pace, draw: u32) {
        if let May::Rest(until) = self.may(now) {
            // Sent before it was known.
            self.rests_until = Some(asked.map_or(until, |asked| asked.max(until)));
            return;
        }
        self.failures += 1;
        let own = (self.failures >= Self::FAILURES)
            .then(|| now.after(pace.after(self.failures + 1 - Self::FAILURES, draw)));
        self.rests_until = own.max(asked).or(self.rests_until);
    }
}

/// So long after it was told that a target does not take webhooks, that is not told again.
const QUIET: Duration = Duration::from_mins(1);

/// Whether it has been told that a target does not take webhooks: once until it does again, and not too often where
/// that changes quickly.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    is_told: bool,
    last: Option<Timestamp>,
}

impl Trouble {
    /// Something was not taken; true if that is to be told.
    pub(crate) fn begins(&mut self, now: Timestamp) -> bool {
        if self.is_told || self.last.is_some_and(|last| now < last.after(QUIET)) {
            return false;
        }
        *self = Trouble { is_told: true, last: Some(now) };
        true
    }

    /// Nothing is in the way any more; true if that is to be told.
    pub(crate) fn ends(&mut self) -> bool {
        std::mem::take(&mut self.is_told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_most() {
        let pace = Pace { first: Duration::from_secs(1), most: Duration::from_mins(5) };
        for (failures, longest) in [(1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (40, 300), (u32::MAX, 300)] {
            assert_eq!(pace.after(failures, u32::MAX), Duration::from_secs(longest), "{failures}");
            assert_eq!(pace.after(failures, 0), Duration::from_secs(longest) / 2, "{failures}");
        }
    }

    #[test]
    fn five_failures_in_a_row_are_a_rest() {
        let at = |seconds: i64| Timestamp::from_ms(seconds * 1000);
        let mut breaker = Breaker::default();
        let fail = |breaker: &mut Breaker, second| {
            breaker.failed(at(second), None, TARGETS, u32::MAX);
            breaker.may(at(second))
        };
        for second in 0..4 {
            assert_eq!(fail(&mut breaker, second), May::Send);
        }
        assert!(!breaker.succeeded(), "it was never left alone");
        for second in 10..14 {
            assert_eq!(fail(&mut breaker, second), May::Send);
        }
        assert_eq!(fail(&mut breaker, 14), May::Rest(at(15)));
        assert_eq!(fail(&mut breaker, 14), May::Rest(at(15)), "that one was sent before");
        assert_eq!(breaker.may(at(15)), May::Probe);
        assert_eq!(fail(&mut breaker, 15), May::Rest(at(17)));
        assert!(breaker.succeeded());
        assert_eq!(breaker.may(at(16)), May::Send);
    }

    #[test]
    fn a_target_may_ask_to_be_left_alone() {
        let at = |seconds: i64| Timestamp::from_ms(seconds * 1000);
        let mut breaker = Breaker::default();
        breaker.failed(at(0), Some(at(30)), TARGETS, 0);
        assert_eq!(breaker.may(at(0)), May::Rest(at(30)));
        breaker.failed(at(1), Some(at(40)), TARGETS, 0);
        assert_eq!(breaker.may(at(39)), May::Rest(at(40)));
        assert_eq!(breaker.may(at(40)), May::Probe);
    }

    #[test]
    fn trouble_is_told_once_until_it_ends_and_once_a_minute() {
        let at = |seconds: i64| Timestamp::from_ms(seconds * 1000);
        let mut trouble = Trouble::default();
        assert!(!trouble.ends(), "there was none");
        assert!(trouble.begins(at(0)));
        assert!(!trouble.begins(at(3600)), "it has been told");
        assert!(trouble.ends() && !trouble.ends());
        assert!(trouble.begins(at(3601)));
        assert!(trouble.ends());
        assert!(!trouble.begins(at(3660)), "it was told less than a minute ago");
        assert!(!trouble.ends(), "of this one nobody has heard");
        assert!(trouble.begins(at(3661)), "and it lasts");
    }
}
