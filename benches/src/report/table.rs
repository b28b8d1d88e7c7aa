//! Tables of text.

use std::fmt::Write as _;

use super::Report;
use crate::clock;
use crate::figure::{Figure, Figures};

/// A generator that is busier than this, in per cent of a core, may be what limits a run.
const SATURATED: f64 = 90.0;

/// One run: its figures, notes and faults.
pub(crate) fn of_run(report: &Report) -> String {
    let mut out = format!("{} against {}\n", report.scenario, report.target);
    put(&mut out, &format!("  {}", report.settings_line()));
    put(&mut out, &format!("  {}, tidings-bench {}", clock::date(report.unix_seconds), report.bench_version));
    put(&mut out, &format!("  {}", report.machine));
    if report.machine.is_busy() {
        put(&mut out, "  Other work was running: it blurs these figures.");
    }
    if report.figures.get(&Figure::GeneratorBusy).is_some_and(|busy| *busy > SATURATED) {
        put(
            &mut out,
            "  The generator had no time to spare: rate and latency may be its limit, not the server's.",
        );
    }
    out.push('\n');
    let rows = Figure::ALL.iter().filter_map(|figure| {
        let value = *report.figures.get(figure)?;
        Some(vec![format!("  {}", figure.title()), figure.show(value)])
    });
    out += &align(rows.collect());
    for note in &report.notes {
        put(&mut out, &format!("  {note}"));
    }
    out += &faults(report);
    out
}

/// What went wrong in a run, in words; nothing if nothing did.
pub(crate) fn faults(report: &Report) -> String {
    let mut out = String::new();
    for (fault, count) in &report.faults.counts {
        put(&mut out, &format!("  FAULT: {count} {fault}"));
    }
    for told in &report.faults.told {
        put(&mut out, &format!("    {told}"));
    }
    out
}

/// Several columns of figures side by side; all but the first with their ratio to it.
pub(crate) fn side_by_side(columns: &[(String, Figures)]) -> String {
    let mut rows = vec![vec![String::new()]];
    for (place, (name, _)) in columns.iter().enumerate() {
        rows[0].push(name.clone());
        if place > 0 {
            rows[0].push(String::new());
        }
    }
    for &figure in Figure::ALL {
        let values: Vec<Option<f64>> =
            columns.iter().map(|(_, figures)| figures.get(&figure).copied()).collect();
        if values.iter().all(Option::is_none) {
            continue;
        }
        let mut row = vec![figure.title().to_owned()];
        for (place, value) in values.iter().enumerate() {
            row.push(value.map_or_else(|| "-".to_owned(), |value| figure.show(value)));
            if place > 0 {
                row.push(match (value, values[0]) {
                    (Some(value), Some(base)) if base != 0.0 => format!("{:.2}x", value / base),
                    _ => String::new(),
                });
            }
        }
        rows.push(row);
    }
    align(rows)
}

/// Rows with their first column to the left and all others to the right.
fn align(rows: Vec<Vec<String>>) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let padding = " ".repeat(width - cell.chars().count());
            if column == 0 {
                line.extend([cell.as_str(), &padding]);
            } else {
                line.extend(["  ", &padding, cell]);
            }
        }
        put(&mut out, line.trim_end());
    }
    out
}

fn put(out: &mut String, line: &str) {
    writeln!(out, "{line}").expect("a string takes all that is written");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_and_ratios() {
        let figures = |cpu, p99| Figures::from([(Figure::CpuUs, cpu), (Figure::P99, p99)]);
        let columns = [("floor".to_owned(), figures(5.0, 2.0)), ("other".to_owned(), figures(12.5, 1.0))];
        assert_eq!(
            side_by_side(&columns),
            "                    floor      other\n\
             latency p99      2.000 ms   1.000 ms  0.50x\n\
             server CPU each  5.000 µs  12.500 µs  2.50x\n"
        );
    }
}
