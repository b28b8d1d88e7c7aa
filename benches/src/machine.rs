//! The facts of the machine that a figure depends on.

use std::fmt;
use std::fs;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long to look at what else runs.
const LOOK: Duration = Duration::from_millis(300);

/// More than this share of all cores used by others blurs figures.
const BUSY: f64 = 10.0;

/// Where a run took place.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    pub(crate) open_files: u64,
    /// How busy all cores were before the run, in per cent.
    pub(crate) busy_before: f64,
}

impl Machine {
    /// Reads what the kernel tells; what it does not tell stays empty. Takes a moment, to see what else runs.
    pub(crate) fn look() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let cpu = read("/proc/cpuinfo")
            .lines()
            .find_map(|line| {
                line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim().to_owned())
            })
            .unwrap_or_default();
        let before = read("/proc/stat");
        std::thread::sleep(LOOK);
        Self {
            cpu,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            open_files: rlimit::Resource::NOFILE.get_soft().unwrap_or_default(),
            busy_before: busy(&before, &read("/proc/stat")).unwrap_or_default(),
        }
    }

    /// Whether other work on the machine blurs the figures.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy_before > BUSY
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu, cores, kernel, open_files, busy_before } = self;
        write!(
            f,
            "{cpu}, {cores} cores, Linux {kernel}, {open_files} open files, {busy_before:.0} % busy before"
        )
    }
}

/// The share of time, in per cent, that all cores were not idle between two looks at `/proc/stat`.
fn busy(before: &str, after: &str) -> Option<f64> {
    let ticks = |stat: &str| -> Option<(f64, f64)> {
        let fields: Vec<f64> = stat
            .lines()
            .next()?
            .split_ascii_whitespace()
            .skip(1)
            .take(8)
            .filter_map(|field| field.parse().ok())
            .collect();
        // The fourth and fifth are idle, and idle while a disk is waited for.
        Some((fields.iter().sum(), fields.get(3)? + fields.get(4)?))
    };
    let (before, after) = (ticks(before)?, ticks(after)?);
    let (whole, idle) = (after.0 - before.0, after.1 - before.1);
    (whole > 0.0).then(|| 100.0 * (whole - idle) / whole)
}

#[cfg(test)]
mod tests {
    use super::busy;

    #[test]
    fn busy_share() {
        let check = |before, after, expected| assert_eq!(busy(before, after), expected);
        check("cpu  10 0 10 100 0 0 0 0 0 0", "cpu  20 0 20 170 10 0 0 0 0 0", Some(20.0));
        check("cpu  10 0 10 100 0 0 0 0", "cpu  10 0 10 100 0 0 0 0", None);
        check("", "", None);
    }
}
