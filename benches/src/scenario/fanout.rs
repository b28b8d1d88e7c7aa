//! One channel, many subscribers.

use clap::Args;
use serde::Serialize;

use super::Outcome;
use super::load::{Load, Shape};
use crate::bench::Bench;
use crate::failure::Failure;

/// Settings of `fanout`.
#[derive(Clone, Debug, Args, Serialize)]
pub(crate) struct Fanout {
    /// Subscribers of the channel.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=19_000))]
    subscribers: u16,
    #[command(flatten)]
    #[serde(flatten)]
    load: Load,
}

impl Fanout {
    pub(super) fn run(&self, bench: Bench<'_>) -> Result<Outcome, Failure> {
        let shape = Shape { prefix: "bench-", channels: 1, subscribers: self.subscribers.into(), batch: 1 };
        self.load.run(bench, &shape)
    }
}
