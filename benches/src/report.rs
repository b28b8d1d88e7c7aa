//! What a run leaves behind: a table, JSON, a page.

pub(crate) mod assertion;
pub(crate) mod html;
pub(crate) mod table;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock;
use crate::failure::Failure;
use crate::faults::Faults;
use crate::figure::{Figure, Figures};
use crate::latency::Point;
use crate::machine::Machine;
use crate::scenario::{Outcome, Scenario};
use crate::timeline::Tick;

const SCHEMA: &str = "tidings-bench/1";

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) scenario: String,
    pub(crate) settings: Value,
    pub(crate) target: String,
    pub(crate) bench_version: String,
    pub(crate) unix_seconds: u64,
    pub(crate) machine: Machine,
    pub(crate) figures: Figures,
    pub(crate) curve: Vec<Point>,
    pub(crate) timeline: Vec<Tick>,
    pub(crate) faults: Faults,
    pub(crate) notes: Vec<String>,
}

impl Report {
    pub(crate) fn new(scenario: &Scenario, target: String, machine: Machine, outcome: Outcome) -> Self {
        let settings = serde_json::to_value(scenario).expect("settings are plain data");
        // Settings are tagged with the scenario's name, which has a field of its own.
        let settings = settings.get(scenario.name()).cloned().unwrap_or_default();
        Self {
            scenario: scenario.name().to_owned(),
            settings,
            target,
            bench_version: env!("CARGO_PKG_VERSION").to_owned(),
            unix_seconds: clock::unix_seconds(),
            machine,
            figures: outcome.figures,
            curve: outcome.curve,
            timeline: outcome.timeline,
            faults: outcome.faults,
            notes: outcome.notes,
        }
    }

    /// The settings on one line.
    pub(crate) fn settings_line(&self) -> String {
        let Some(settings) = self.settings.as_object() else { return String::new() };
        let words: Vec<String> = settings
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        words.join(" ")
    }
}

/// A file of runs.
#[derive(Serialize, Deserialize)]
pub(crate) struct Runs {
    schema: String,
    pub(crate) runs: Vec<Report>,
}

impl Runs {
    pub(crate) fn new(runs: Vec<Report>) -> Self {
        Self { schema: SCHEMA.to_owned(), runs }
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(self).expect("reports are plain data");
        Ok(fs::write(path, text + "\n")?)
    }

    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let wrong = |why: &dyn std::fmt::Display| Failure::Usage(format!("{}: {why}", path.display()));
        let text = fs::read_to_string(path).map_err(|error| wrong(&error))?;
        let runs: Self = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
        if runs.schema != SCHEMA {
            return Err(wrong(&format!("schema {} instead of {SCHEMA}", runs.schema)));
        }
        Ok(runs)
    }
}

/// The medians of each figure over some runs.
pub(crate) fn medians<'a>(runs: impl Iterator<Item = &'a Report>) -> Figures {
    let mut values: BTreeMap<Figure, Vec<f64>> = BTreeMap::new();
    for run in runs {
        for (&figure, &value) in &run.figures {
            values.entry(figure).or_default().push(value);
        }
    }
    values.into_iter().map(|(figure, values)| (figure, median(values))).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even_counts() {
        let check = |values: &[f64], expected: f64| {
            assert!((median(values.to_vec()) - expected).abs() < 1e-12, "{values:?}");
        };
        check(&[3.0], 3.0);
        check(&[9.0, 1.0, 5.0], 5.0);
        check(&[9.0, 1.0, 5.0, 2.0], 3.5);
    }
}
