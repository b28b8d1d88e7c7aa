//! Progress bars on a terminal; nothing elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Shows one phase of a run at a time.
pub(crate) struct Progress {
    title: String,
}

impl Progress {
    pub(crate) fn new(title: String) -> Self {
        Self { title }
    }

    /// A bar of `total` steps; it vanishes when dropped.
    pub(crate) fn phase(&self, name: &str, total: u64) -> Phase {
        let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} {msg}")
            .expect("the template is a constant");
        let bar = ProgressBar::new(total).with_style(style).with_prefix(format!("{}: {name}", self.title));
        Phase { bar, next: Duration::ZERO }
    }
}

/// A running phase.
pub(crate) struct Phase {
    bar: ProgressBar,
    next: Duration,
}

impl Phase {
    /// Shows a position; at most ten times a second, so that it costs nothing.
    pub(crate) fn set(&mut self, now: Duration, position: u64, message: impl FnOnce() -> String) {
        if now >= self.next && !self.bar.is_hidden() {
            self.next = now + Duration::from_millis(100);
            self.bar.set_message(message());
            self.bar.set_position(position);
        }
    }
}

impl Drop for Phase {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
