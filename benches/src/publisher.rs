//! Where events come from: sources, and the one that publishes over HTTP.

use std::collections::VecDeque;
use std::time::Duration;

use crate::audience::Audience;
use crate::clock;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::latency::Latency;
use crate::stamp::Stamp;

/// A paced publisher gives up when this many triggers are due and not sent.
const HOPELESS: usize = 100_000;

/// A source of events.
pub(crate) trait Source {
    /// Sends what may be sent now.
    ///
    /// # Errors
    /// If so much waits that the server will never catch up.
    fn pump(&mut self, engine: &mut Engine, audience: &mut Audience) -> Result<(), Failure>;

    /// Sends what was due and could not be sent so far; nothing new falls due.
    fn drain(&mut self, engine: &mut Engine, audience: &mut Audience);

    /// Whether everything was sent, and answered.
    fn is_quiet(&self, engine: &Engine) -> bool;

    fn pace(&mut self) -> &mut Pace;

    /// Events sent so far.
    fn events(&self) -> u64;
}

/// When to send.
pub(crate) enum Pace {
    /// As long as fewer deliveries than this are on their way.
    FullRate { window: u64 },
    /// By the clock, whatever the server does. Latencies count from the time that an event was due.
    Fixed(Schedule),
}

impl Pace {
    /// How long may be waited until something falls due.
    pub(crate) fn patience(&self) -> Duration {
        match self {
            Self::FullRate { .. } => Duration::MAX,
            Self::Fixed(schedule) => schedule.next.saturating_sub(clock::now()),
        }
    }

    /// How late the generator was, at a fixed rate.
    pub(crate) fn late(&mut self) -> Option<&mut Latency> {
        match self {
            Self::FullRate { .. } => None,
            Self::Fixed(schedule) => Some(&mut schedule.late),
        }
    }
}

/// A fixed rate, from now on.
pub(crate) struct Schedule {
    interval: Duration,
    next: Duration,
    late: Latency,
}

impl Schedule {
    pub(crate) fn per_second(rate: f64) -> Self {
        Self { interval: Duration::from_secs_f64(1.0 / rate), next: clock::now(), late: Latency::new() }
    }

    /// The next time at which something was due, if that is past.
    pub(crate) fn pop(&mut self, now: Duration) -> Option<Duration> {
        let due = self.next;
        if due > now {
            return None;
        }
        self.late.record(now.saturating_sub(due));
        self.next += self.interval;
        Some(due)
    }
}

/// Publishers over HTTP, each with a connection of its own. Each event goes to the next channel in turn.
pub(crate) struct Publisher {
    pace: Pace,
    /// Triggers that were due and wait for their connection, by connection.
    lanes: Vec<VecDeque<Duration>>,
    next_lane: usize,
    /// Requests that may wait for their reply on one connection.
    pipeline: usize,
    /// Events in one trigger.
    batch: usize,
    next_channel: usize,
    body: Vec<u8>,
    events: u64,
}

impl Publisher {
    pub(crate) fn new(pace: Pace, lanes: usize, pipeline: usize, batch: usize) -> Self {
        Self {
            pace,
            lanes: vec![VecDeque::new(); lanes],
            next_lane: 0,
            pipeline,
            batch,
            next_channel: 0,
            body: Vec::new(),
            events: 0,
        }
    }

    fn post(&mut self, lane: usize, due: Duration, engine: &mut Engine, audience: &mut Audience) {
        let stream = u16::try_from(lane).expect("lanes are few");
        self.body.clear();
        if self.batch > 1 {
            self.body.extend_from_slice(br#"{"batch":["#);
        }
        for position in 0..self.batch {
            if position > 0 {
                self.body.push(b',');
            }
            let channel = u32::try_from(self.next_channel).expect("channels are numbered in 32 bits");
            self.next_channel = (self.next_channel + 1) % audience.channel_count();
            let sequence = audience.ledger.publish(channel, stream);
            let stamp = Stamp { channel, stream, sequence, due };
            audience.payload.push_event(&mut self.body, "name", audience.channel(channel), &stamp);
            self.events += 1;
        }
        let resource = if self.batch > 1 {
            self.body.extend_from_slice(b"]}");
            "batch_events"
        } else {
            "events"
        };
        engine.post(lane, resource, &self.body, audience);
    }
}

impl Source for Publisher {
    fn pump(&mut self, engine: &mut Engine, audience: &mut Audience) -> Result<(), Failure> {
        match &mut self.pace {
            &mut Pace::FullRate { window } => {
                for lane in 0..self.lanes.len() {
                    while engine.waiting(lane) < self.pipeline && audience.ledger.owed() < window {
                        self.post(lane, clock::now(), engine, audience);
                    }
                }
            }
            Pace::Fixed(schedule) => {
                let now = clock::now();
                while let Some(due) = schedule.pop(now) {
                    self.lanes[self.next_lane].push_back(due);
                    self.next_lane = (self.next_lane + 1) % self.lanes.len();
                }
                self.drain(engine, audience);
                if self.lanes.iter().map(VecDeque::len).sum::<usize>() > HOPELESS {
                    return Err(Failure::Broken("the server cannot follow this rate".to_owned()));
                }
            }
        }
        Ok(())
    }

    fn drain(&mut self, engine: &mut Engine, audience: &mut Audience) {
        for lane in 0..self.lanes.len() {
            while engine.waiting(lane) < self.pipeline
                && let Some(due) = self.lanes[lane].pop_front()
            {
                self.post(lane, due, engine, audience);
            }
        }
    }

    fn is_quiet(&self, engine: &Engine) -> bool {
        self.lanes.iter().enumerate().all(|(lane, due)| due.is_empty() && engine.waiting(lane) == 0)
    }

    fn pace(&mut self) -> &mut Pace {
        &mut self.pace
    }

    fn events(&self) -> u64 {
        self.events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_never_skips_what_was_due() {
        let mut schedule = Schedule::per_second(100.0);
        let start = schedule.next;
        let ms = |count| start + Duration::from_millis(count);
        assert_eq!(schedule.pop(ms(0)), Some(ms(0)));
        assert_eq!(schedule.pop(ms(9)), None);
        assert_eq!(schedule.pop(ms(25)), Some(ms(10)));
        assert_eq!(schedule.pop(ms(25)), Some(ms(20)));
        assert_eq!(schedule.pop(ms(25)), None);
        assert_eq!(schedule.late.count(), 3);
        assert!((schedule.late.max() - 15.0).abs() < 0.1);
    }
}
