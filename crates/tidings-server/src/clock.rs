//! The one reader of time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::sync::Notify;

/// Tells the time: the system's, or one that tests move by hand.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Manual(Arc<Manual>),
}

#[derive(Debug)]
struct Manual {
    start: Instant,
    unix_start: Duration,
    /// Milliseconds since the start.
    moved: AtomicU64,
    changed: Notify,
}

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Clock(Source::System)
    }

    /// A clock that stands still at the present time until it is [`advance`](Self::advance)d.
    #[must_use]
    pub fn manual() -> Self {
        Self::manual_at(Clock::system().unix())
    }

    /// A clock that stands still at this time since 1970 until it is [`advance`](Self::advance)d.
    #[must_use]
    pub fn manual_at(unix: Duration) -> Self {
        Clock(Source::Manual(Arc::new(Manual {
            start: Clock::system().now(),
            unix_start: unix,
            moved: AtomicU64::new(0),
            changed: Notify::new(),
        })))
    }

    /// Monotonic time, for deadlines.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn now(&self) -> Instant {
        match &self.0 {
            Source::System => Instant::now(),
            Source::Manual(manual) => manual.start + manual.moved(),
        }
    }

    /// Wall time since 1970, for signatures and rows.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn unix(&self) -> Duration {
        match &self.0 {
            Source::System => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            Source::Manual(manual) => manual.unix_start + manual.moved(),
        }
    }

    /// Moves a manual clock on; whole milliseconds count.
    ///
    /// # Panics
    /// If the clock is the system's.
    pub fn advance(&self, by: Duration) {
        let Source::Manual(manual) = &self.0 else { panic!("only a manual clock is moved by hand") };
        let ms = u64::try_from(by.as_millis()).expect("a test is over before u64 milliseconds");
        manual.moved.fetch_add(ms, Ordering::SeqCst);
        manual.changed.notify_waiters();
    }

    /// Returns after `pause`, or as soon as a manual clock has been moved.
    pub(crate) async fn tick(&self, pause: Duration) {
        let sleep = tokio::time::sleep(pause);
        match &self.0 {
            Source::System => sleep.await,
            Source::Manual(manual) => tokio::select! {
                () = sleep => {}
                () = manual.changed.notified() => {}
            },
        }
    }
}

impl Manual {
    fn moved(&self) -> Duration {
        Duration::from_millis(self.moved.load(Ordering::SeqCst))
    }
}
