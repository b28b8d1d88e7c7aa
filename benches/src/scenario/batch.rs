//! Ten events in one request.

use clap::Args;
use serde::Serialize;

use super::Outcome;
use super::load::{Load, Shape};
use crate::bench::Bench;
use crate::failure::Failure;

/// As many events as Pusher takes in one request.
const BATCH: usize = 10;

/// Settings of `batch`.
#[derive(Clone, Debug, Args, Serialize)]
pub(crate) struct Batch {
    /// Subscribers, of the one channel or evenly over the ten.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=19_000))]
    subscribers: u16,
    /// Send the ten events of a batch to ten channels.
    #[arg(long)]
    spread: bool,
    #[command(flatten)]
    #[serde(flatten)]
    load: Load,
}

impl Batch {
    pub(super) fn run(&self, bench: Bench<'_>) -> Result<Outcome, Failure> {
        let channels = if self.spread { BATCH } else { 1 };
        let subscribers = usize::from(self.subscribers).max(channels);
        self.load.run(bench, &Shape { prefix: "bench-", channels, subscribers, batch: BATCH })
    }
}
