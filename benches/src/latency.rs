//! Latencies, kept as a histogram.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::figure::{Figure, Figures};
use crate::number::{float, millis, nanos};

/// Longer latencies than this count as this.
const LONGEST: u64 = 600_000_000_000;

/// A point of the percentile curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Point {
    pub(crate) percentile: f64,
    pub(crate) ms: f64,
}

/// A histogram of latencies, exact to a thousandth.
pub(crate) struct Latency(Histogram<u64>);

impl Latency {
    pub(crate) fn new() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST, 3).expect("the bounds are sound"))
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        self.0.saturating_record(nanos(latency));
    }

    pub(crate) fn clear(&mut self) {
        self.0.reset();
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency in milliseconds that `percentile` per cent do not exceed.
    pub(crate) fn percentile(&self, percentile: f64) -> f64 {
        millis(Duration::from_nanos(self.0.value_at_percentile(percentile)))
    }

    pub(crate) fn max(&self) -> f64 {
        millis(Duration::from_nanos(self.0.max()))
    }

    /// Adds the percentiles to the figures; nothing if nothing was recorded.
    pub(crate) fn put(&self, figures: &mut Figures) {
        if self.count() == 0 {
            return;
        }
        let wanted = [
            (Figure::P50, 50.0),
            (Figure::P90, 90.0),
            (Figure::P99, 99.0),
            (Figure::P999, 99.9),
            (Figure::P9999, 99.99),
        ];
        for (figure, percentile) in wanted {
            figures.insert(figure, self.percentile(percentile));
        }
        figures.insert(Figure::Max, self.max());
    }

    /// The percentile curve, denser towards its end, as far as the count of samples carries.
    pub(crate) fn curve(&self) -> Vec<Point> {
        let finest = 100.0 / float(self.count().max(1));
        let mut above = 100.0;
        let mut points = Vec::new();
        while above > finest {
            let percentile = 100.0 - above;
            points.push(Point { percentile, ms: self.percentile(percentile) });
            above *= 0.8;
        }
        if self.count() > 0 {
            points.push(Point { percentile: 100.0, ms: self.max() });
        }
        points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_thousand() {
        let mut latency = Latency::new();
        (1..=1000).for_each(|ms| latency.record(Duration::from_millis(ms)));
        assert!((latency.percentile(50.0) - 500.0).abs() < 1.0);
        assert!((latency.percentile(99.0) - 990.0).abs() < 1.0);
        assert!((latency.max() - 1000.0).abs() < 1.0);
        let curve = latency.curve();
        assert!(curve.is_sorted_by(|a, b| a.percentile < b.percentile && a.ms <= b.ms));
    }

    #[test]
    fn nothing_recorded_gives_no_figures() {
        let mut figures = Figures::new();
        Latency::new().put(&mut figures);
        assert!(figures.is_empty());
        assert!(Latency::new().curve().len() < 2);
    }
}
