//! Deadlines of sockets, to the second: one timer for all of them.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use tidings_protocol::SocketId;

use crate::lock;

/// Sockets by the second at which they want to be told the time. An entry is 8 bytes and is never moved: who wants
/// to be told later than planned says so when told.
#[derive(Debug)]
pub(crate) struct Wheel {
    start: Instant,
    turning: Mutex<Turning>,
}

#[derive(Debug)]
struct Turning {
    /// The last second that was looked at.
    reached: u64,
    slots: Vec<Vec<SocketId>>,
}

/// Nothing is planned for later than this: whoever has a deadline further away is told now and then, and asks again.
const SECONDS: u64 = 512;

impl Wheel {
    pub(crate) fn new(now: Instant) -> Self {
        let slots = (0..SECONDS).map(|_| Vec::new()).collect();
        Wheel { start: now, turning: Mutex::new(Turning { reached: 0, slots }) }
    }

    /// Has the socket told at `at`, or up to a second later; gives `at`, or what is planned instead where that is too far
    /// away.
    pub(crate) fn schedule(&self, socket: SocketId, at: Instant) -> Instant {
        let after = at.saturating_duration_since(self.start);
        let second = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        let mut turning = lock(&self.turning);
        let second = second.clamp(turning.reached + 1, turning.reached + SECONDS - 1);
        turning.slots[slot(second)].push(socket);
        at.min(self.start + Duration::from_secs(second))
    }

    /// Takes out the sockets whose time has come.
    pub(crate) fn due(&self, now: Instant) -> Vec<SocketId> {
        let second = now.saturating_duration_since(self.start).as_secs();
        let mut turning = lock(&self.turning);
        let passed = (second - turning.reached).min(SECONDS);
        turning.reached = second;
        let slots = (second - passed + 1..=second).map(slot);
        slots.flat_map(|slot| std::mem::take(&mut turning.slots[slot])).collect()
    }
}

fn slot(second: u64) -> usize {
    usize::try_from(second % SECONDS).expect("a few hundred slots")
}

/// How often [`Wheel::due`] is to be asked.
pub(crate) const TICK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
    fn tells_at_the_second_and_once() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let wheel = Wheel::new(start);
        let [a, b, c] = [1, 2, 3].map(|n| SocketId::new(n, n));
        assert_eq!(wheel.schedule(a, at(2_000)), at(2_000));
        assert_eq!(wheel.schedule(b, at(2_001)), at(2_001));
        assert_eq!(wheel.schedule(c, at(9_000_000)), at(511_000));
        assert_eq!(wheel.due(at(1_999)), []);
        assert_eq!(wheel.due(at(2_000)), [a]);
        assert_eq!(wheel.due(at(2_999)), []);
        assert_eq!(wheel.due(at(3_000)), [b]);
        assert_eq!(wheel.schedule(a, at(0)), at(0));
        assert_eq!(wheel.due(at(4_000)), [a]);
        assert_eq!(wheel.due(at(9_000_000)), [c]);
        assert_eq!(wheel.due(at(9_000_000)), []);
    }
}
