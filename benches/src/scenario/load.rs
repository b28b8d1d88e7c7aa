//! What the publishing scenarios have in common.

use std::rc::Rc;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::Outcome;
use crate::audience::Audience;
use crate::bench::{Bench, Timing};
use crate::client::Subscription;
use crate::failure::Failure;
use crate::number::{count, float};
use crate::payload::{Payload, SMALLEST};
use crate::publisher::{Pace, Publisher, Schedule};

/// Sockets that connect at the same time while a scenario is set up.
pub(super) const AT_ONCE: usize = 100;

/// How to publish.
#[derive(Clone, Debug, Args, Serialize)]
pub(crate) struct Load {
    /// Events per second at a fixed rate, latency taken from the planned time; without it, as fast as the server
    /// answers.
    #[arg(long, value_name = "R", value_parser = positive)]
    pub(crate) rate: Option<f64>,
    /// Publishers, each with its own HTTP connection.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) publishers: u16,
    /// Requests that may wait on one connection.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) pipeline: u16,
    /// At full rate, events that may be on their way at the same time.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) window: u32,
    /// Bytes of data in an event.
    #[arg(long, default_value_t = 200, value_parser = payload_size)]
    pub(crate) payload: usize,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) span: Span,
}

/// How long to publish.
#[derive(Clone, Copy, Debug, Args, Serialize)]
pub(crate) struct Span {
    /// Seconds of measuring.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) seconds: u32,
    /// Seconds of publishing before that: checked, not measured.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=60))]
    pub(crate) warmup: u32,
}

impl Span {
    pub(crate) fn timing(self) -> Timing {
        Timing {
            warmup: Duration::from_secs(self.warmup.into()),
            measured: Duration::from_secs(self.seconds.into()),
        }
    }
}

/// Channels, subscribers spread evenly over them, and events in each request.
pub(super) struct Shape {
    /// What the channels' names begin with, which says their kind.
    pub(super) prefix: &'static str,
    pub(super) channels: usize,
    pub(super) subscribers: usize,
    pub(super) batch: usize,
}

impl Shape {
    fn names(&self) -> Vec<String> {
        (0..self.channels).map(|number| format!("{}{number}", self.prefix)).collect()
    }
}

impl Load {
    /// Sets the shape up, publishes to it, and gives the outcome.
    pub(super) fn run(&self, mut bench: Bench<'_>, shape: &Shape) -> Result<Outcome, Failure> {
        let mut audience = self.audience(&mut bench, shape)?;
        let mut publisher = self.publisher(shape);
        bench.publish(&mut audience, &mut publisher, self.span.timing(), |_, _| Ok(()))?;
        Ok(Outcome::of(bench, &mut audience))
    }

    /// Connects the subscribers.
    pub(super) fn audience(&self, bench: &mut Bench<'_>, shape: &Shape) -> Result<Audience, Failure> {
        let names = shape.names();
        let plans: Vec<Rc<[Subscription]>> =
            names.iter().map(|name| Rc::from([Subscription::to(name)])).collect();
        let payload = Payload::new("bench", self.payload);
        let mut audience = Audience::new(names, self.publishers.into(), payload, bench.process);
        bench.connect_all(&mut audience, shape.subscribers, AT_ONCE, |socket| {
            Rc::clone(&plans[socket % plans.len()])
        })?;
        Ok(audience)
    }

    /// The publishers; a fixed rate begins to run with this call.
    pub(super) fn publisher(&self, shape: &Shape) -> Publisher {
        let pace = if let Some(rate) = self.rate {
            Pace::Fixed(Schedule::per_second(rate / float(count(shape.batch))))
        } else {
            let deliveries_each = count((shape.subscribers / shape.channels).max(1));
            Pace::FullRate { window: u64::from(self.window) * deliveries_each }
        };
        Publisher::new(pace, self.publishers.into(), self.pipeline.into(), shape.batch)
    }
}

/// A number above zero, for rates.
pub(super) fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && (0.001..=1e7).contains(&number) => Ok(number),
        _ => Err("not a number between 0.001 and 10,000,000".to_owned()),
    }
}

/// A payload that holds a stamp, and that servers take.
pub(super) fn payload_size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(size) if (SMALLEST..=10_000).contains(&size) => Ok(size),
        _ => Err(format!("not a number between {SMALLEST} and 10000")),
    }
}
