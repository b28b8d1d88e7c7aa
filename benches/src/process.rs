//! What a process costs: CPU time and resident memory, read from `/proc`.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// The kernel's clock ticks in `/proc/PID/stat` are of this length on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// Ticks may exceed the exact account by this much, because they are counted apart and rounded.
const ROUNDING: Duration = Duration::from_millis(40);

const PAGE: u64 = 4096;

/// A process to be watched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    pub(crate) pid: u32,
}

/// CPU time used so far.
#[derive(Clone, Debug)]
pub(crate) struct CpuTime {
    /// Time on a CPU by thread, exact to the nanosecond.
    threads: BTreeMap<u32, Duration>,
    /// User and system time of all threads, those that have ended too, in whole ticks.
    ticks: Duration,
}

impl Process {
    pub(crate) fn this() -> Self {
        Self { pid: std::process::id() }
    }

    /// CPU time used so far, by all threads; `None` if the process is gone.
    pub(crate) fn cpu(self) -> Option<CpuTime> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        // The name in parentheses may hold spaces; utime and stime are fields 14 and 15, 11 and 12 behind it.
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
        let user: u32 = fields.next()?.parse().ok()?;
        let system: u32 = fields.next()?.parse().ok()?;
        let mut threads = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{}/task", self.pid)).ok()? {
            let Ok(entry) = entry else { continue };
            let thread = entry.file_name().to_str().and_then(|name| name.parse().ok());
            let time = fs::read_to_string(entry.path().join("schedstat")).ok();
            let time = time.as_deref().and_then(|text| text.split(' ').next()?.parse().ok());
            if let (Some(thread), Some(time)) = (thread, time) {
                threads.insert(thread, Duration::from_nanos(time));
            }
        }
        Some(CpuTime { threads, ticks: TICK * (user + system) })
    }

    /// Resident memory in bytes, as exact as the kernel tells it; `None` if the process is gone.
    pub(crate) fn resident(self) -> Option<u64> {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid)).ok();
        let kilobytes: Option<u64> = rollup.as_deref().and_then(|text| {
            text.lines()
                .find_map(|line| line.strip_prefix("Rss:"))?
                .split_ascii_whitespace()
                .next()?
                .parse()
                .ok()
        });
        kilobytes.map(|kilobytes| kilobytes * 1024).or_else(|| self.resident_roughly())
    }

    /// Resident memory in bytes, cheap enough to ask every second.
    pub(crate) fn resident_roughly(self) -> Option<u64> {
        let statm = fs::read_to_string(format!("/proc/{}/statm", self.pid)).ok()?;
        let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
        Some(pages * PAGE)
    }
}

impl CpuTime {
    /// CPU time used since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Duration {
        let ticks = self.ticks.saturating_sub(earlier.ticks);
        let before = |thread| earlier.threads.get(thread).copied().unwrap_or_default();
        let exact = self.threads.iter().map(|(thread, time)| time.saturating_sub(before(thread))).sum();
        let all_live = earlier.threads.keys().all(|thread| self.threads.contains_key(thread));
        // The exact account of a thread ends with it; the ticks know of it still.
        if all_live && ticks.saturating_sub(exact) <= ROUNDING { exact } else { ticks }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_uses_time() {
        let this = Process::this();
        assert!(this.resident().unwrap() > 100_000);
        assert!(this.resident_roughly().unwrap() > 100_000);
        let before = this.cpu().unwrap();
        let mut sum = 0_u64;
        while this.cpu().unwrap().since(&before) < Duration::from_millis(5) {
            sum = (0..10_000_u64).fold(sum, u64::wrapping_add);
        }
        assert!(sum > 0);
    }

    #[test]
    fn a_thread_that_ended_moves_the_account_to_ticks() {
        let ms = Duration::from_millis;
        let time = |threads: &[(u32, u64)], ticks| CpuTime {
            threads: threads.iter().map(|&(thread, time)| (thread, ms(time))).collect(),
            ticks: ms(ticks),
        };
        let before = time(&[(1, 10), (2, 20)], 30);
        assert_eq!(time(&[(1, 13), (2, 20), (3, 4)], 40).since(&before), ms(7));
        assert_eq!(time(&[(1, 13)], 50).since(&before), ms(20), "a thread of before has ended");
        assert_eq!(time(&[(1, 13), (2, 20)], 90).since(&before), ms(60), "one of in between has ended");
    }
}
