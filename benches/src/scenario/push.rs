//! Single-user pushes: a channel for each subscriber, one request for each event.

use clap::Args;
use serde::Serialize;

use super::Outcome;
use super::load::{Load, Shape};
use crate::bench::Bench;
use crate::failure::Failure;

/// Settings of `push`.
#[derive(Clone, Debug, Args, Serialize)]
pub(crate) struct Push {
    /// Users, each with a socket and a private channel.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=19_000))]
    users: u16,
    #[command(flatten)]
    #[serde(flatten)]
    load: Load,
}

impl Push {
    pub(super) fn run(&self, bench: Bench<'_>) -> Result<Outcome, Failure> {
        let users = usize::from(self.users);
        let shape = Shape { prefix: "private-bench-", channels: users, subscribers: users, batch: 1 };
        self.load.run(bench, &shape)
    }
}
