//! Fan-out while subscribers come and go, for a long time.

use std::rc::Rc;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::Outcome;
use super::load::{AT_ONCE, payload_size, positive};
use crate::audience::Audience;
use crate::bench::{Bench, Timing};
use crate::client::Subscription;
use crate::clock;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::figure::{Figure, Figures};
use crate::number::{count, float};
use crate::payload::Payload;
use crate::publisher::{Pace, Publisher, Schedule};
use crate::timeline::Tick;

/// Settings of `soak`.
#[derive(Clone, Debug, Args, Serialize)]
pub(crate) struct Soak {
    /// Subscribers that stay.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=15_000))]
    subscribers: u16,
    /// Subscribers that come and go.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=4000))]
    guests: u16,
    /// Guests that are cut and come back, per second.
    #[arg(long, default_value_t = 50.0, value_name = "R", value_parser = positive)]
    churn: f64,
    /// Events per second.
    #[arg(long, default_value_t = 20.0, value_name = "R", value_parser = positive)]
    rate: f64,
    /// Publishers, each with its own HTTP connection.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    publishers: u16,
    /// Bytes of data in an event.
    #[arg(long, default_value_t = 200, value_parser = payload_size)]
    payload: usize,
    /// Seconds of measuring.
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
}

impl Soak {
    pub(super) fn run(&self, mut bench: Bench<'_>) -> Result<Outcome, Failure> {
        let stay = usize::from(self.subscribers);
        let guests = usize::from(self.guests);
        let plan: Rc<[Subscription]> = Rc::from([Subscription::to("bench-0")]);
        let mut audience = Audience::new(
            vec!["bench-0".to_owned()],
            self.publishers.into(),
            Payload::new("bench", self.payload),
            bench.process,
        );
        bench.connect_all(&mut audience, stay + guests, AT_ONCE, |_| Rc::clone(&plan))?;

        let pace = Pace::Fixed(Schedule::per_second(self.rate));
        let mut publisher = Publisher::new(pace, self.publishers.into(), 1, 1);
        let timing =
            Timing { warmup: Duration::from_secs(1), measured: Duration::from_secs(self.seconds.into()) };
        let mut churn = Schedule::per_second(self.churn);
        let mut guest = 0;
        let mut swaps = 0_u64;
        bench.publish(
            &mut audience,
            &mut publisher,
            timing,
            |engine: &mut Engine, audience: &mut Audience| {
                while churn.pop(clock::now()).is_some() {
                    guest = (guest + 1) % guests;
                    let socket = stay + guest;
                    if !engine.is_opening(socket) {
                        audience.ledger.leave(socket);
                        engine.connect(socket, Rc::clone(&plan))?;
                        swaps += 1;
                    }
                }
                Ok(())
            },
        )?;
        let mut outcome = Outcome::of(bench, &mut audience);
        outcome.notes.push(format!("{swaps} guests were cut and came back"));
        put_memory(&outcome.timeline, &mut outcome.figures);
        Ok(outcome)
    }
}

/// Peak, and growth from the first to the last tenth of the time.
fn put_memory(timeline: &[Tick], figures: &mut Figures) {
    let rss: Vec<u64> = timeline.iter().filter_map(|tick| tick.rss).collect();
    let Some(&peak) = rss.iter().max() else { return };
    figures.insert(Figure::RssPeak, float(peak));
    let tenth = rss.len().div_ceil(10);
    let mean = |part: &[u64]| float(part.iter().sum()) / float(count(part.len()));
    figures.insert(Figure::RssGrowth, mean(&rss[rss.len() - tenth..]) - mean(&rss[..tenth]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_from_the_first_to_the_last_tenth() {
        let tick = |rss| Tick {
            second: 0.0,
            rate: 0.0,
            p50_ms: 0.0,
            p99_ms: 0.0,
            server_busy: None,
            rss: Some(rss),
        };
        let timeline: Vec<Tick> = (0..20).map(|number| tick(1000 + number * 10)).collect();
        let mut figures = Figures::new();
        put_memory(&timeline, &mut figures);
        assert_eq!(
            figures.into_iter().collect::<Vec<_>>(),
            [(Figure::RssPeak, 1190.0), (Figure::RssGrowth, 180.0)]
        );
    }
}
