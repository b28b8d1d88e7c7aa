//! What a stretch of time cost the server and the generator.

use std::time::Duration;

use crate::clock;
use crate::figure::{Figure, Figures};
use crate::number::float;
use crate::process::{CpuTime, Process};

/// The beginning of a stretch.
pub(crate) struct Meter {
    began: Duration,
    server: Option<(Process, CpuTime)>,
    own: Option<CpuTime>,
}

/// What a stretch cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) took: Duration,
    /// Server CPU, if the process is known.
    pub(crate) server: Option<Duration>,
    own: Option<Duration>,
}

impl Meter {
    pub(crate) fn start(process: Option<Process>) -> Self {
        Self {
            began: clock::now(),
            server: process.and_then(|process| Some((process, process.cpu()?))),
            own: Process::this().cpu(),
        }
    }

    /// When the stretch began.
    pub(crate) fn began(&self) -> Duration {
        self.began
    }

    /// The cost so far.
    pub(crate) fn read(&self) -> Reading {
        let used = |process: Process, before: &CpuTime| Some(process.cpu()?.since(before));
        Reading {
            took: clock::now().saturating_sub(self.began),
            server: self.server.as_ref().and_then(|(process, before)| used(*process, before)),
            own: self.own.as_ref().and_then(|before| used(Process::this(), before)),
        }
    }
}

impl Reading {
    /// Server CPU for each of `operations`, in microseconds.
    pub(crate) fn each(&self, operations: u64) -> Option<f64> {
        let server = self.server.filter(|_| operations > 0)?;
        Some(server.as_secs_f64() * 1e6 / float(operations))
    }

    /// Adds the CPU figures of a stretch with this many operations.
    pub(crate) fn put(&self, operations: u64, figures: &mut Figures) {
        let busy = |used: Duration| 100.0 * used.as_secs_f64() / self.took.as_secs_f64().max(1e-9);
        figures.extend(self.each(operations).map(|each| (Figure::CpuUs, each)));
        figures.extend(self.server.map(|used| (Figure::ServerBusy, busy(used))));
        figures.extend(self.own.map(|used| (Figure::GeneratorBusy, busy(used))));
    }
}
