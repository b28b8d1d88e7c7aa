//! A run second by second.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock;
use crate::latency::Latency;
use crate::number::float;
use crate::process::{CpuTime, Process};

const SECOND: Duration = Duration::from_secs(1);

/// One second of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tick {
    pub(crate) second: f64,
    /// Deliveries in a second.
    pub(crate) rate: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Server CPU, of one core, if the process is known.
    pub(crate) server_busy: Option<f64>,
    /// Resident memory of the server in bytes, if the process is known.
    pub(crate) rss: Option<u64>,
}

/// Gathers ticks.
pub(crate) struct Timeline {
    process: Option<Process>,
    began: Duration,
    since: Duration,
    cpu: Option<CpuTime>,
    latency: Latency,
    ticks: Vec<Tick>,
}

impl Timeline {
    pub(crate) fn new(process: Option<Process>) -> Self {
        let now = clock::now();
        Self {
            process,
            began: now,
            since: now,
            cpu: process.and_then(Process::cpu),
            latency: Latency::new(),
            ticks: Vec::new(),
        }
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        self.latency.record(latency);
    }

    /// Closes the running second if it is over.
    pub(crate) fn advance(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.since);
        if passed < SECOND {
            return;
        }
        let cpu = self.process.and_then(Process::cpu);
        let used = cpu.as_ref().zip(self.cpu.as_ref()).map(|(now, before)| now.since(before));
        self.ticks.push(Tick {
            second: now.saturating_sub(self.began).as_secs_f64(),
            rate: float(self.latency.count()) / passed.as_secs_f64(),
            p50_ms: self.latency.percentile(50.0),
            p99_ms: self.latency.percentile(99.0),
            server_busy: used.map(|used| 100.0 * used.as_secs_f64() / passed.as_secs_f64()),
            rss: self.process.and_then(Process::resident_roughly),
        });
        self.latency.clear();
        self.since = now;
        self.cpu = cpu;
    }

    /// The ticks so far.
    pub(crate) fn take(&mut self) -> Vec<Tick> {
        std::mem::take(&mut self.ticks)
    }
}
