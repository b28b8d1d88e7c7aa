//! The order checker: every event exactly once, in order per channel and publisher, to those who should get it.
//!
//! A *stream* is one publisher on one channel; its events are numbered from 0. A *flow* is one stream as one socket
//! sees it. Each flow holds the number it waits for next, so the usual delivery costs one comparison.

use std::collections::HashMap;
use std::fmt;

use crate::faults::{Fault, Faults};
use crate::stamp::Stamp;

/// Gaps are remembered one by one up to here, to tell late deliveries from doubled ones.
const REMEMBERED_GAPS: usize = 1_000_000;

/// One stream as one socket sees it.
#[derive(Clone, Copy)]
struct Flow {
    next: u32,
    /// Events before this one are welcome but not owed: they were published while the socket was joining.
    owed_from: u32,
    /// Nothing has come yet and the stream had begun before: the first event sets the beginning.
    open: bool,
}

/// One socket's subscription of one channel.
struct Membership {
    channel: u32,
    /// The first of its flows, one per stream.
    base: usize,
    /// The stream that the socket itself sends, which it must not hear.
    own: Option<u16>,
}

/// One event as one socket should see it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Delivery {
    socket: usize,
    channel: u32,
    stream: u16,
    sequence: u32,
}

impl Delivery {
    fn of(socket: usize, stamp: &Stamp) -> Self {
        Self { socket, channel: stamp.channel, stream: stamp.stream, sequence: stamp.sequence }
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { socket, channel, stream, sequence } = self;
        write!(f, "socket {socket}, channel {channel}, publisher {stream}: event {sequence}")
    }
}

/// What was published, who should get it, and what came.
pub(crate) struct Ledger {
    streams: usize,
    /// Events published, by channel and stream.
    sent: Vec<u32>,
    /// Sockets subscribed, by channel.
    subscribers: Vec<u64>,
    /// Whether streams are sent by subscribers, which do not hear themselves.
    among_themselves: bool,
    memberships: Vec<Vec<Membership>>,
    flows: Vec<Flow>,
    /// First flows of memberships that have ended, to be used again.
    free: Vec<usize>,
    /// Deliveries that have not come though later ones of their flow have, and whether they are owed.
    missing: HashMap<Delivery, bool>,
    owed: u64,
    delivered: u64,
    pub(crate) faults: Faults,
}

impl Ledger {
    /// A ledger of events published from outside, by `streams` publishers on every channel.
    pub(crate) fn new(channels: usize, streams: usize) -> Self {
        Self {
            streams,
            sent: vec![0; channels * streams],
            subscribers: vec![0; channels],
            among_themselves: false,
            memberships: Vec::new(),
            flows: Vec::new(),
            free: Vec::new(),
            missing: HashMap::new(),
            owed: 0,
            delivered: 0,
            faults: Faults::default(),
        }
    }

    /// A ledger of client events: the streams of a channel are its `streams` subscribers.
    pub(crate) fn among_themselves(channels: usize, streams: usize) -> Self {
        Self { among_themselves: true, ..Self::new(channels, streams) }
    }

    /// Deliveries that should still come.
    pub(crate) fn owed(&self) -> u64 {
        self.owed
    }

    /// Deliveries that came, whatever was wrong with them.
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Takes note that `socket` is subscribed to `channel`; `own` is the stream that it sends itself.
    pub(crate) fn join(&mut self, socket: usize, channel: u32, own: Option<u16>) {
        let first = channel as usize * self.streams;
        let begun = self.sent[first..first + self.streams].iter();
        let fresh = begun.map(|&sent| Flow { next: sent, owed_from: sent, open: sent > 0 });
        let base = if let Some(base) = self.free.pop() {
            self.flows.splice(base..base + self.streams, fresh);
            base
        } else {
            self.flows.extend(fresh);
            self.flows.len() - self.streams
        };
        if self.memberships.len() <= socket {
            self.memberships.resize_with(socket + 1, Vec::new);
        }
        self.memberships[socket].push(Membership { channel, base, own });
        self.subscribers[channel as usize] += 1;
    }

    /// Takes note that `socket` is gone: what was on its way to it is no longer owed, gaps stay lost.
    pub(crate) fn leave(&mut self, socket: usize) {
        let Some(memberships) = self.memberships.get_mut(socket) else { return };
        for membership in std::mem::take(memberships) {
            self.subscribers[membership.channel as usize] -= 1;
            for stream in 0..self.streams {
                let index = membership.base + stream;
                if membership.own.map(usize::from) != Some(stream) {
                    let flow = self.flows[index];
                    let sent = self.sent[membership.channel as usize * self.streams + stream];
                    self.owed -= u64::from(sent.saturating_sub(flow.next.max(flow.owed_from)));
                }
            }
            self.free.push(membership.base);
        }
        for (gap, owed) in self.missing.extract_if(|gap, _| gap.socket == socket) {
            self.owed -= u64::from(owed);
            self.faults.note(Fault::Lost, 1, || gap.to_string());
        }
    }

    /// The number of the next event of `stream` on `channel`, which counts as published from now on.
    pub(crate) fn publish(&mut self, channel: u32, stream: u16) -> u32 {
        let sent = &mut self.sent[channel as usize * self.streams + usize::from(stream)];
        let sequence = *sent;
        *sent += 1;
        self.owed += self.subscribers[channel as usize].saturating_sub(u64::from(self.among_themselves));
        sequence
    }

    /// Checks one delivery.
    pub(crate) fn deliver(&mut self, socket: usize, stamp: &Stamp) {
        self.delivered += 1;
        let stream = usize::from(stamp.stream);
        let membership = self
            .memberships
            .get(socket)
            .and_then(|memberships| memberships.iter().find(|membership| membership.channel == stamp.channel))
            .filter(|membership| stream < self.streams && membership.own != Some(stamp.stream));
        let Some(membership) = membership else { return self.note(Fault::Stray, socket, stamp) };
        if stamp.sequence >= self.sent[stamp.channel as usize * self.streams + stream] {
            return self.note(Fault::Stray, socket, stamp);
        }
        let flow = &mut self.flows[membership.base + stream];
        let owed_from = flow.owed_from;
        let expected = flow.next;
        if stamp.sequence >= expected || flow.open {
            flow.next = stamp.sequence + 1;
            flow.open = false;
            self.owed -= u64::from(stamp.sequence >= owed_from);
            for sequence in expected..stamp.sequence {
                self.remember_gap(
                    Delivery { sequence, ..Delivery::of(socket, stamp) },
                    sequence >= owed_from,
                );
            }
        } else if let Some(owed) = self.missing.remove(&Delivery::of(socket, stamp)) {
            self.owed -= u64::from(owed);
            self.note(Fault::Swapped, socket, stamp);
        } else {
            self.note(Fault::Doubled, socket, stamp);
        }
    }

    /// Ends the account: what has not come is lost.
    pub(crate) fn close(&mut self) -> Faults {
        let mut faults = std::mem::take(&mut self.faults);
        for gap in self.missing.keys() {
            faults.note(Fault::Lost, 1, || format!("{gap}, though later ones came"));
        }
        for (socket, memberships) in self.memberships.iter().enumerate() {
            for membership in memberships {
                for stream in 0..self.streams {
                    if membership.own.map(usize::from) == Some(stream) {
                        continue;
                    }
                    let next = self.flows[membership.base + stream].next;
                    let sent = self.sent[membership.channel as usize * self.streams + stream];
                    if next < sent {
                        faults.note(Fault::Lost, u64::from(sent - next), || {
                            format!(
                                "socket {socket}, channel {}, publisher {stream}: events {next} to {}",
                                membership.channel,
                                sent - 1
                            )
                        });
                    }
                }
            }
        }
        faults
    }

    fn remember_gap(&mut self, gap: Delivery, owed: bool) {
        if self.missing.len() < REMEMBERED_GAPS {
            self.missing.insert(gap, owed);
        } else {
            self.faults.note(Fault::Lost, 1, || gap.to_string());
        }
    }

    fn note(&mut self, fault: Fault, socket: usize, stamp: &Stamp) {
        self.faults.note(fault, 1, || Delivery::of(socket, stamp).to_string());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn stamp(channel: u32, stream: u16, sequence: u32) -> Stamp {
        Stamp { channel, stream, sequence, due: Duration::ZERO }
    }

    /// Two sockets on channel 0, one on channel 1, two publishers; `events` events of publisher 0 on channel 0.
    fn ledger(events: u32) -> Ledger {
        let mut ledger = Ledger::new(2, 2);
        ledger.join(0, 0, None);
        ledger.join(1, 0, None);
        ledger.join(2, 1, None);
        publish(&mut ledger, 0..events);
        ledger
    }

    fn publish(ledger: &mut Ledger, events: std::ops::Range<u32>) {
        for sequence in events {
            assert_eq!(ledger.publish(0, 0), sequence);
        }
    }

    fn check(deliveries: &[(usize, Stamp)], expected: &[(Fault, u64)]) {
        let mut ledger = ledger(3);
        for (socket, stamp) in deliveries {
            ledger.deliver(*socket, stamp);
        }
        for sequence in 0..3 {
            ledger.deliver(1, &stamp(0, 0, sequence));
        }
        assert_eq!(ledger.close().counts, expected.iter().copied().collect());
    }

    #[test]
    fn all_in_order_is_faultless() {
        check(&[(0, stamp(0, 0, 0)), (0, stamp(0, 0, 1)), (0, stamp(0, 0, 2))], &[]);
    }

    #[test]
    fn a_lost_delivery_in_the_middle_shows() {
        check(&[(0, stamp(0, 0, 0)), (0, stamp(0, 0, 2))], &[(Fault::Lost, 1)]);
    }

    #[test]
    fn lost_deliveries_at_the_end_show() {
        check(&[(0, stamp(0, 0, 0))], &[(Fault::Lost, 2)]);
        check(&[], &[(Fault::Lost, 3)]);
    }

    #[test]
    fn a_doubled_delivery_shows() {
        let all = [(0, stamp(0, 0, 0)), (0, stamp(0, 0, 1)), (0, stamp(0, 0, 1)), (0, stamp(0, 0, 2))];
        check(&all, &[(Fault::Doubled, 1)]);
    }

    #[test]
    fn swapped_deliveries_show() {
        let all = [(0, stamp(0, 0, 0)), (0, stamp(0, 0, 2)), (0, stamp(0, 0, 1))];
        check(&all, &[(Fault::Swapped, 1)]);
    }

    #[test]
    fn a_delivery_to_the_wrong_socket_shows() {
        let all = [(0, stamp(0, 0, 0)), (0, stamp(0, 0, 1)), (0, stamp(0, 0, 2)), (2, stamp(0, 0, 0))];
        check(&all, &[(Fault::Stray, 1)]);
    }

    #[test]
    fn an_event_that_nobody_published_shows() {
        let all = [(0, stamp(0, 0, 0)), (0, stamp(0, 0, 1)), (0, stamp(0, 0, 2)), (0, stamp(0, 1, 0))];
        check(&all, &[(Fault::Stray, 1)]);
        let all = [(0, stamp(0, 0, 0)), (0, stamp(0, 0, 1)), (0, stamp(0, 0, 2)), (0, stamp(0, 9, 0))];
        check(&all, &[(Fault::Stray, 1)]);
    }

    #[test]
    fn owed_falls_to_zero_when_all_has_come() {
        let mut ledger = ledger(2);
        assert_eq!(ledger.owed(), 4);
        for socket in [0, 1] {
            ledger.deliver(socket, &stamp(0, 0, 0));
            ledger.deliver(socket, &stamp(0, 0, 1));
        }
        assert_eq!(ledger.owed(), 0);
        assert_eq!(ledger.delivered(), 4);
    }

    #[test]
    fn who_joins_late_owes_nothing_of_before_but_takes_it() {
        for first in [3, 5] {
            let mut ledger = Ledger::new(1, 1);
            publish(&mut ledger, 0..5);
            ledger.join(0, 0, None);
            publish(&mut ledger, 5..7);
            (first..7).for_each(|sequence| ledger.deliver(0, &stamp(0, 0, sequence)));
            assert_eq!(ledger.owed(), 0);
            assert_eq!(ledger.close(), Faults::default());
        }
    }

    #[test]
    fn who_joins_late_must_have_all_that_follows() {
        let mut ledger = Ledger::new(1, 1);
        publish(&mut ledger, 0..5);
        ledger.join(0, 0, None);
        publish(&mut ledger, 5..8);
        ledger.deliver(0, &stamp(0, 0, 6));
        ledger.deliver(0, &stamp(0, 0, 7));
        assert_eq!(ledger.close().count(Fault::Lost), 1);
    }

    #[test]
    fn who_leaves_is_owed_nothing_more_but_its_gaps_count() {
        let mut ledger = ledger(3);
        ledger.deliver(0, &stamp(0, 0, 1));
        ledger.leave(0);
        assert_eq!(ledger.owed(), 3, "what the other socket waits for");
        ledger.join(3, 0, None);
        (0..3).for_each(|sequence| ledger.deliver(1, &stamp(0, 0, sequence)));
        assert_eq!(ledger.owed(), 0);
        assert_eq!(ledger.close().counts, [(Fault::Lost, 1)].into());
    }

    #[test]
    fn a_sender_must_not_hear_itself() {
        let mut ledger = Ledger::among_themselves(1, 2);
        ledger.join(0, 0, Some(0));
        ledger.join(1, 0, Some(1));
        ledger.publish(0, 0);
        assert_eq!(ledger.owed(), 1);
        ledger.deliver(1, &stamp(0, 0, 0));
        assert_eq!(ledger.owed(), 0);
        ledger.deliver(0, &stamp(0, 0, 0));
        assert_eq!(ledger.close().counts, [(Fault::Stray, 1)].into());
    }
}
