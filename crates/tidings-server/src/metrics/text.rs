//! The text in which Prometheus reads metrics.

use std::fmt::{Display, Write as _};

use tidings_store::metrics::Histogram;

/// What the text is, for the header of an answer.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A text that grows family by family.
#[derive(Debug, Default)]
pub(super) struct Text(String);

/// Metrics of one name.
pub(super) struct Family<'a> {
    text: &'a mut Text,
    name: &'a str,
}

/// The labels of a sample. Their values are ids of apps and words of this program: nothing in them needs an escape.
pub(super) type Labels<'a> = &'a [(&'static str, &'a str)];

impl Text {
    pub(super) fn gauge<'a>(&'a mut self, name: &'a str, help: &str) -> Family<'a> {
        self.family(name, "gauge", help)
    }

    pub(super) fn counter<'a>(&'a mut self, name: &'a str, help: &str) -> Family<'a> {
        self.family(name, "counter", help)
    }

    pub(super) fn histogram<'a>(&'a mut self, name: &'a str, help: &str) -> Family<'a> {
        self.family(name, "histogram", help)
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }

    fn family<'a>(&'a mut self, name: &'a str, kind: &str, help: &str) -> Family<'a> {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
        Family { text: self, name }
    }

    fn line(&mut self, line: impl Display) {
        writeln!(self.0, "{line}").expect("a String takes everything");
    }
}

impl Family<'_> {
    pub(super) fn sample(&mut self, labels: Labels<'_>, value: impl Display) {
        self.suffixed("", labels, value);
    }

    pub(super) fn histogram(&mut self, labels: Labels<'_>, histogram: &Histogram) {
        let mut count = 0;
        for (bound, up_to_it) in histogram.cumulative() {
            let bound = if bound.is_finite() { bound.to_string() } else { "+Inf".to_owned() };
            self.suffixed("_bucket", &[labels, &[("le", &bound)]].concat(), up_to_it);
            count = up_to_it;
        }
        self.suffixed("_sum", labels, histogram.sum());
        self.suffixed("_count", labels, count);
    }

    fn suffixed(&mut self, suffix: &str, labels: Labels<'_>, value: impl Display) {
        let name = self.name;
        if labels.is_empty() {
            return self.text.line(format_args!("{name}{suffix} {value}"));
        }
        let labels: Vec<_> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        self.text.line(format_args!("{name}{suffix}{{{}}} {value}", labels.join(",")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_and_samples() {
        let mut text = Text::default();
        text.gauge("a", "What it is.").sample(&[], 1);
        let mut counter = text.counter("b_total", "Another.");
        counter.sample(&[("app", "1"), ("code", "4100")], 2);
        let mut histogram = Histogram::default();
        histogram.add(0.75);
        text.histogram("c", "Times.").histogram(&[("route", "events")], &histogram);
        let text = text.into_string();
        assert!(text.starts_with(
            "# HELP a What it is.\n# TYPE a gauge\na 1\n\
             # HELP b_total Another.\n# TYPE b_total counter\nb_total{app=\"1\",code=\"4100\"} 2\n\
             # HELP c Times.\n# TYPE c histogram\nc_bucket{route=\"events\",le=\"0.00025\"} 0\n"
        ));
        assert!(text.ends_with(
            "c_bucket{route=\"events\",le=\"0.5\"} 0\nc_bucket{route=\"events\",le=\"1\"} 1\n\
             c_bucket{route=\"events\",le=\"2.5\"} 1\nc_bucket{route=\"events\",le=\"5\"} 1\n\
             c_bucket{route=\"events\",le=\"10\"} 1\nc_bucket{route=\"events\",le=\"+Inf\"} 1\n\
             c_sum{route=\"events\"} 0.75\nc_count{route=\"events\"} 1\n"
        ));
    }
}
