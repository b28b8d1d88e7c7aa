//! What is counted of the store's work, and a histogram for whoever measures something.

use std::{
    iter,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Upper bounds for durations, in seconds: from a read of memory to the longest that a lock or a receiver is waited for.
const SECONDS: &[f64] =
    &[0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Upper bounds for what one commit holds, up to the most there is.
const ROWS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// How many of what was measured are how large.
#[derive(Clone, Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// Those up to each bound, and those beyond the last.
    buckets: Box<[u64]>,
    sum: f64,
}

/// What a store has done since it was opened.
#[derive(Debug)]
pub struct StoreMetrics {
    created: AtomicU64,
    commits: Mutex<Commits>,
    reads: Mutex<Histogram>,
}

/// What was measured of commits.
#[derive(Clone, Debug)]
pub struct Commits {
    /// How long they took, in seconds, those too that failed.
    pub seconds: Histogram,
    /// How many changes those that succeeded held.
    pub rows: Histogram,
}

impl Histogram {
    /// With these upper bounds, which ascend.
    fn new(bounds: &'static [f64]) -> Self {
        Histogram { bounds, buckets: vec![0; bounds.len() + 1].into(), sum: 0.0 }
    }

    /// Counts one more.
    pub fn add(&mut self, value: f64) {
        self.buckets[self.bounds.partition_point(|bound| *bound < value)] += 1;
        self.sum += value;
    }

    /// Adds what another with the same bounds has counted.
    pub fn merge(&mut self, other: &Histogram) {
        for (mine, others) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += others;
        }
        self.sum += other.sum;
    }

    /// Each upper bound and how many are not above it; infinity is the last.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = self.bounds.iter().copied().chain(iter::once(f64::INFINITY));
        bounds.zip(self.buckets.iter().scan(0, |count, bucket| {
            *count += bucket;
            Some(*count)
        }))
    }

    /// All that was measured, added up.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.sum
    }
}

impl Default for Histogram {
    /// Of durations, in seconds.
    fn default() -> Self {
        Self::new(SECONDS)
    }
}

impl StoreMetrics {
    pub(crate) fn new() -> Self {
        let commits = Commits { seconds: Histogram::default(), rows: Histogram::new(ROWS) };
        StoreMetrics { created: AtomicU64::new(0), commits: Mutex::new(commits), reads: Mutex::default() }
    }

    /// Notifications that were stored for users to see.
    #[must_use]
    pub fn created(&self) -> u64 {
        self.created.load(Ordering::Relaxed)
    }

    /// Commits of what was asked for; not those in which the store puts itself in order.
    #[must_use]
    pub fn commits(&self) -> Commits {
        lock(&self.commits).clone()
    }

    /// How long reading took, in seconds, once it was its turn.
    #[must_use]
    pub fn read_seconds(&self) -> Histogram {
        lock(&self.reads).clone()
    }

    pub(crate) fn committed(&self, rows: usize, created: u64, took: Duration) {
        self.created.fetch_add(created, Ordering::Relaxed);
        let mut commits = lock(&self.commits);
        commits.seconds.add(took.as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a commit holds hundreds at most")]
        commits.rows.add(rows as f64);
    }

    pub(crate) fn commit_failed(&self, took: Duration) {
        lock(&self.commits).seconds.add(took.as_secs_f64());
    }

    pub(crate) fn read(&self, took: Duration) {
        lock(&self.reads).add(took.as_secs_f64());
    }
}

/// Does the work, and says how long it took.
#[expect(clippy::disallowed_methods, reason = "what a disk takes cannot be moved by hand")]
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let done = work();
    (done, started.elapsed())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_first_bucket_that_holds_it() {
        let mut histogram = Histogram::default();
        for took_us in [0, 250, 251, 1_000_000, 11_000_000] {
            histogram.add(Duration::from_micros(took_us).as_secs_f64());
        }
        assert_eq!(*histogram.buckets, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1]);
        let cumulative: Vec<_> = histogram.cumulative().collect();
        assert_eq!(cumulative[..2], [(0.00025, 2), (0.0005, 3)]);
        assert_eq!(cumulative[14..], [(10.0, 4), (f64::INFINITY, 5)]);
    }
}
