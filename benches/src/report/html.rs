//! One page with all of a run, in one file: the table, the percentile curve, the timeline.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::Report;
use super::table;
use crate::clock;
use crate::failure::Failure;
use crate::figure::Figures;
use crate::timeline::Tick;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 70.0;
const BOTTOM: f64 = 30.0;
const TOP: f64 = 10.0;
const COLOURS: [&str; 6] = ["#3b82f6", "#f97316", "#10b981", "#a855f7", "#ef4444", "#64748b"];
const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;\
    color-scheme:light dark}pre{overflow-x:auto}svg{width:100%;height:auto}\
    svg text{font-size:11px;fill:currentColor}.grid{stroke:currentColor;opacity:.15}";

/// Runs with the figures to be tabled for each target.
pub(crate) fn write(path: &Path, runs: &[Report], columns: &[(String, Figures)]) -> Result<(), Failure> {
    Ok(fs::write(path, page(runs, columns))?)
}

fn page(runs: &[Report], columns: &[(String, Figures)]) -> String {
    let mut out = String::from("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">");
    let title = runs.first().map_or("tidings-bench", |run| &run.scenario);
    put(&mut out, &format!("<title>tidings-bench: {}</title><style>{STYLE}</style>", escape(title)));
    put(&mut out, &format!("<h1>{}</h1>", escape(title)));
    if let Some(run) = runs.first() {
        put(
            &mut out,
            &format!(
                "<p>{}<br>{}<br>{}, tidings-bench {}</p>",
                escape(&run.settings_line()),
                escape(&run.machine.to_string()),
                clock::date(run.unix_seconds),
                escape(&run.bench_version)
            ),
        );
    }
    put(&mut out, &format!("<pre>{}</pre>", escape(&table::side_by_side(columns))));
    for run in runs {
        let told = format!("{}{}", run.notes.join("\n"), table::faults(run));
        if !told.is_empty() {
            put(&mut out, &format!("<h3>{}</h3><pre>{}</pre>", escape(&run.target), escape(&told)));
        }
    }
    put(&mut out, &legend(columns));
    out += &charts(runs, columns);
    out
}

/// A chart for each thing that the runs know.
fn charts(runs: &[Report], columns: &[(String, Figures)]) -> String {
    let colour = |run: &Report| {
        let place = columns.iter().position(|(name, _)| *name == run.target).unwrap_or(0);
        COLOURS[place % COLOURS.len()]
    };
    let lines = |points: &dyn Fn(&Report) -> Vec<(f64, f64)>| -> Vec<Line> {
        runs.iter().map(|run| Line { colour: colour(run), points: points(run) }).collect()
    };
    let ticks = |value: fn(&Tick) -> Option<f64>| {
        lines(&|run| run.timeline.iter().filter_map(|tick| Some((tick.second, value(tick)?))).collect())
    };
    let curve = lines(&|run| {
        // Nines: 90 % at 1, 99 % at 2; the end of the curve is as far as its last point but one.
        let nines = |percentile: f64| -(1.0 - percentile / 100.0).max(1e-7).log10();
        let points = run.curve.iter().filter(|point| point.percentile < 100.0 && point.ms > 0.0);
        points.map(|point| (nines(point.percentile), point.ms.log10())).collect()
    });
    #[expect(clippy::cast_precision_loss, reason = "memory in bytes stays far below 2^53")]
    let mib = |tick: &Tick| tick.rss.map(|bytes| bytes as f64 / 1024.0 / 1024.0);
    let in_time = |title, value| chart(title, &from_zero(ticks(value)), Axis::Seconds, Axis::Number);
    [
        chart("Latency by percentile, ms", &curve, Axis::Nines, Axis::Powers),
        in_time("Deliveries per second", |tick| Some(tick.rate)),
        in_time("Latency p99 of each second, ms", |tick| Some(tick.p99_ms)),
        in_time("Server CPU, % of one core", |tick| tick.server_busy),
        in_time("Server memory, MiB", mib),
    ]
    .concat()
}

/// One line of a chart.
struct Line {
    colour: &'static str,
    points: Vec<(f64, f64)>,
}

/// Lines whose chart begins at zero.
fn from_zero(mut lines: Vec<Line>) -> Vec<Line> {
    if lines.iter().any(|line| line.points.len() > 1) {
        lines.push(Line { colour: "none", points: vec![(0.0, 0.0)] });
    }
    lines
}

/// What the numbers along an edge of a chart mean.
#[derive(Clone, Copy)]
enum Axis {
    Number,
    Seconds,
    /// 1 is 90 %, 2 is 99 %, and so on.
    Nines,
    /// Powers of ten.
    Powers,
}

impl Axis {
    fn marks(self, low: f64, high: f64) -> Vec<f64> {
        let whole = (-9..=9).map(f64::from);
        let marks: Vec<f64> = match self {
            Self::Number | Self::Seconds => return marks(low, high),
            Self::Nines => whole.collect(),
            Self::Powers => {
                whole.flat_map(|power| [1.0_f64, 2.0, 5.0].map(|digit| power + digit.log10())).collect()
            }
        };
        marks.into_iter().filter(|mark| (low..=high).contains(mark)).collect()
    }

    fn label(self, value: f64) -> String {
        match self {
            Self::Number => short(value),
            Self::Seconds => format!("{} s", short(value)),
            Self::Nines => format!("{} %", 100.0 - 10_f64.powf(2.0 - value)),
            Self::Powers => short(10_f64.powf(value)),
        }
    }
}

fn chart(title: &str, lines: &[Line], x_axis: Axis, y_axis: Axis) -> String {
    if lines.iter().all(|line| line.points.len() < 2) {
        return String::new();
    }
    let points = || lines.iter().flat_map(|line| &line.points);
    let range = |values: &mut dyn Iterator<Item = f64>| {
        let (low, high) =
            values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
        (low, if high > low { high } else { low + 1.0 })
    };
    let (x_low, x_high) = range(&mut points().map(|point| point.0));
    let (y_low, y_high) = range(&mut points().map(|point| point.1));
    let x = |value: f64| LEFT + (value - x_low) / (x_high - x_low) * (WIDTH - LEFT - 10.0);
    let y = |value: f64| HEIGHT - BOTTOM - (value - y_low) / (y_high - y_low) * (HEIGHT - BOTTOM - TOP);

    let mut out = format!("<h2>{}</h2><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">", escape(title));
    for mark in y_axis.marks(y_low, y_high) {
        let at = y(mark);
        put(&mut out, &format!("<path class=\"grid\" d=\"M{LEFT} {at:.1}H{WIDTH}\"/>"));
        put(
            &mut out,
            &format!(
                "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                at + 4.0,
                y_axis.label(mark)
            ),
        );
    }
    for mark in x_axis.marks(x_low, x_high) {
        let at = x(mark);
        put(&mut out, &format!("<path class=\"grid\" d=\"M{at:.1} {TOP}V{}\"/>", HEIGHT - BOTTOM));
        put(
            &mut out,
            &format!(
                "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                HEIGHT - 10.0,
                x_axis.label(mark)
            ),
        );
    }
    for line in lines.iter().filter(|line| line.points.len() > 1) {
        let path: Vec<String> =
            line.points.iter().map(|point| format!("{:.1},{:.1}", x(point.0), y(point.1))).collect();
        put(
            &mut out,
            &format!(
                "<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"1.5\" points=\"{}\"/>",
                line.colour,
                path.join(" ")
            ),
        );
    }
    out + "</svg>\n"
}

/// Round values between two others, three to eight of them.
fn marks(low: f64, high: f64) -> Vec<f64> {
    let rough = (high - low) / 5.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|digit| digit * power)
        .find(|step| *step >= rough)
        .unwrap_or(rough);
    let first = (low / step).ceil() * step;
    std::iter::successors(Some(first), |mark| Some(mark + step))
        .take_while(|mark| *mark <= high + step * 1e-6)
        .collect()
}

fn legend(columns: &[(String, Figures)]) -> String {
    let names = columns.iter().zip(COLOURS.iter().cycle());
    let words: Vec<String> = names
        .map(|((name, _), colour)| format!("<span style=\"color:{colour}\">━ {}</span>", escape(name)))
        .collect();
    format!("<p>{}</p>", words.join(" &nbsp; "))
}

/// A number in at most four digits.
fn short(value: f64) -> String {
    let digits = match value.abs() {
        big if big >= 100.0 => 0,
        medium if medium >= 1.0 => 1,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn put(out: &mut String, line: &str) {
    writeln!(out, "{line}").expect("a string takes all that is written");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_and_inside() {
        let check = |low, high, expected: &[f64]| {
            let marks = marks(low, high);
            assert_eq!(marks.len(), expected.len(), "{marks:?}");
            assert!(
                marks.iter().zip(expected).all(|(mark, expected)| (mark - expected).abs() < 1e-9),
                "{marks:?}"
            );
        };
        check(0.0, 10.0, &[0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        check(0.3, 3.1, &[1.0, 2.0, 3.0]);
        check(-1.0, 1.0, &[-1.0, -0.5, 0.0, 0.5, 1.0]);
    }

    #[test]
    fn short_numbers() {
        for (value, expected) in [(0.0, "0"), (0.25, "0.25"), (3.0, "3"), (42.5, "42.5"), (12_345.6, "12346")]
        {
            assert_eq!(short(value), expected);
        }
    }

    #[test]
    fn charts_without_points_are_left_out() {
        assert_eq!(
            chart("x", &[Line { colour: "red", points: vec![(1.0, 1.0)] }], Axis::Number, Axis::Number),
            ""
        );
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(escape("<b a=\"1\">&"), "&lt;b a=&quot;1&quot;&gt;&amp;");
    }
}
