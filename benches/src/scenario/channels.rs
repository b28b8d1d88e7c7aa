//! Many small channels, published to in turn.

use clap::Args;
use serde::Serialize;

use super::Outcome;
use super::load::{Load, Shape};
use crate::bench::Bench;
use crate::failure::Failure;

/// Settings of `channels`.
#[derive(Clone, Debug, Args, Serialize)]
pub(crate) struct Channels {
    /// Channels.
    #[arg(long = "channels", default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=19_000))]
    #[serde(rename = "channels")]
    count: u16,
    /// Subscribers of each channel.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=19_000))]
    subscribers: u16,
    #[command(flatten)]
    #[serde(flatten)]
    load: Load,
}

impl Channels {
    pub(super) fn run(&self, bench: Bench<'_>) -> Result<Outcome, Failure> {
        let channels = usize::from(self.count);
        let subscribers = channels * usize::from(self.subscribers);
        self.load.run(bench, &Shape { prefix: "bench-", channels, subscribers, batch: 1 })
    }
}
