//! Subscribers send each other client events.

use std::rc::Rc;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::Outcome;
use super::load::{AT_ONCE, Span, payload_size, positive};
use crate::audience::Audience;
use crate::bench::Bench;
use crate::client::Subscription;
use crate::clock;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::payload::Payload;
use crate::publisher::{Pace, Schedule, Source};
use crate::stamp::Stamp;

/// Settings of `client-events`.
#[derive(Clone, Debug, Args, Serialize)]
pub(crate) struct ClientEvents {
    /// Sockets, all of them senders.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(2..=19_000))]
    senders: u16,
    /// Sockets in each private channel.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(2..=1000))]
    channel_size: u16,
    /// Events per second of all senders together, latency taken from the planned time; without it, as fast as events
    /// arrive.
    #[arg(long, value_name = "R", value_parser = positive)]
    rate: Option<f64>,
    /// At full rate, events that may be on their way at the same time.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    window: u32,
    /// Bytes of data in an event.
    #[arg(long, default_value_t = 200, value_parser = payload_size)]
    payload: usize,
    #[command(flatten)]
    #[serde(flatten)]
    span: Span,
}

impl ClientEvents {
    pub(super) fn run(&self, mut bench: Bench<'_>) -> Result<Outcome, Failure> {
        let size = usize::from(self.channel_size);
        let channels = usize::from(self.senders) / size;
        if channels == 0 {
            return Err(Failure::Usage("there are fewer senders than a channel holds".to_owned()));
        }
        let sockets = channels * size;
        let names: Vec<String> = (0..channels).map(|number| format!("private-bench-{number}")).collect();
        let payload = Payload::new("client-bench", self.payload);
        let mut audience = Audience::among_themselves(names.clone(), size, payload, bench.process);
        bench.connect_all(&mut audience, sockets, AT_ONCE, |socket| {
            Rc::from([Subscription::to(&names[socket / size])])
        })?;
        let pace = match self.rate {
            Some(rate) => Pace::Fixed(Schedule::per_second(rate)),
            None => Pace::FullRate { window: u64::from(self.window) * u64::from(self.channel_size - 1) },
        };
        let mut senders = Senders { pace, size, sockets, next: 0, events: 0, text: Vec::new() };
        bench.publish(&mut audience, &mut senders, self.span.timing(), |_, _| Ok(()))?;
        Ok(Outcome::of(bench, &mut audience))
    }
}

/// Sockets that send client events, in turn.
struct Senders {
    pace: Pace,
    /// Sockets in each channel.
    size: usize,
    sockets: usize,
    next: usize,
    events: u64,
    text: Vec<u8>,
}

impl Senders {
    fn send(&mut self, due: Duration, engine: &mut Engine, audience: &mut Audience) {
        let socket = self.next;
        self.next = (self.next + 1) % self.sockets;
        let channel = u32::try_from(socket / self.size).expect("sockets are few");
        let stream = u16::try_from(socket % self.size).expect("channels are small");
        let sequence = audience.ledger.publish(channel, stream);
        let stamp = Stamp { channel, stream, sequence, due };
        self.text.clear();
        audience.payload.push_event(&mut self.text, "event", audience.channel(channel), &stamp);
        engine.send(socket, &self.text, audience);
        self.events += 1;
    }
}

impl Source for Senders {
    fn pump(&mut self, engine: &mut Engine, audience: &mut Audience) -> Result<(), Failure> {
        let now = clock::now();
        loop {
            let due = match &mut self.pace {
                Pace::FullRate { window } => (audience.ledger.owed() < *window).then(clock::now),
                Pace::Fixed(schedule) => schedule.pop(now),
            };
            let Some(due) = due else { return Ok(()) };
            self.send(due, engine, audience);
        }
    }

    fn drain(&mut self, _engine: &mut Engine, _audience: &mut Audience) {}

    fn is_quiet(&self, _engine: &Engine) -> bool {
        true
    }

    fn pace(&mut self) -> &mut Pace {
        &mut self.pace
    }

    fn events(&self) -> u64 {
        self.events
    }
}
