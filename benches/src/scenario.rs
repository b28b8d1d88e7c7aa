//! The scenarios: what is done to a server, and what is measured of it.

pub(crate) mod batch;
pub(crate) mod channels;
pub(crate) mod client_events;
pub(crate) mod fanout;
pub(crate) mod idle;
pub(crate) mod inbox;
mod load;
pub(crate) mod presence;
pub(crate) mod push;
pub(crate) mod soak;
pub(crate) mod storm;

use clap::Subcommand;
use serde::Serialize;

use crate::audience::Audience;
use crate::bench::Bench;
use crate::failure::Failure;
use crate::faults::Faults;
use crate::figure::{Figure, Figures};
use crate::latency::Point;
use crate::number::float;
use crate::timeline::Tick;

/// A scenario and its settings.
#[derive(Clone, Debug, Subcommand, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scenario {
    /// One channel, many subscribers.
    Fanout(fanout::Fanout),
    /// Many small channels, published to in turn.
    Channels(channels::Channels),
    /// Many sockets that do nothing: memory, and what is left of it when they go.
    Idle(idle::Idle),
    /// Many sockets connect as fast as they can; then all are cut and come back at once.
    Storm(storm::Storm),
    /// Members join one presence channel, leave it and come back.
    Presence(presence::Presence),
    /// Subscribers send each other client events.
    ClientEvents(client_events::ClientEvents),
    /// Ten events in one request.
    Batch(batch::Batch),
    /// Single-user pushes: a channel for each subscriber, one request for each event.
    Push(push::Push),
    /// Notifications: sent one by one or in batches, listed, marked as read.
    Inbox(inbox::Inbox),
    /// Fan-out while subscribers come and go, for a long time.
    Soak(soak::Soak),
}

/// What a run gave.
pub(crate) struct Outcome {
    pub(crate) figures: Figures,
    pub(crate) curve: Vec<Point>,
    pub(crate) timeline: Vec<Tick>,
    pub(crate) faults: Faults,
    pub(crate) notes: Vec<String>,
}

impl Scenario {
    /// The scenario's name on the command line.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Fanout(_) => "fanout",
            Self::Channels(_) => "channels",
            Self::Idle(_) => "idle",
            Self::Storm(_) => "storm",
            Self::Presence(_) => "presence",
            Self::ClientEvents(_) => "client-events",
            Self::Batch(_) => "batch",
            Self::Push(_) => "push",
            Self::Inbox(_) => "inbox",
            Self::Soak(_) => "soak",
        }
    }

    /// Runs against a target that is there.
    pub(crate) fn run(&self, bench: Bench<'_>) -> Result<Outcome, Failure> {
        match self {
            Self::Fanout(fanout) => fanout.run(bench),
            Self::Channels(channels) => channels.run(bench),
            Self::Idle(idle) => idle.run(bench),
            Self::Storm(storm) => storm.run(bench),
            Self::Presence(presence) => presence.run(bench),
            Self::ClientEvents(client_events) => client_events.run(bench),
            Self::Batch(batch) => batch.run(bench),
            Self::Push(push) => push.run(bench),
            Self::Inbox(inbox) => inbox.run(bench),
            Self::Soak(soak) => soak.run(bench),
        }
    }
}

impl Outcome {
    /// The outcome of a run whose deliveries an audience has checked.
    fn of(bench: Bench<'_>, audience: &mut Audience) -> Self {
        let faults = audience.ledger.close();
        let mut figures = bench.figures;
        figures.insert(Figure::Faults, float(faults.total()));
        Self {
            figures,
            curve: audience.latency.curve(),
            timeline: audience.timeline.take(),
            faults,
            notes: Vec::new(),
        }
    }
}
