//! What a run must show: `p99<50ms`, `cpu_us<=1.2`, `cpu_us<1.15x`.

use std::fmt;
use std::str::FromStr;

use crate::figure::{Figure, Figures, Unit};

/// A condition on one figure.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Assertion {
    text: String,
    figure: Figure,
    relation: Relation,
    bound: Bound,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Below,
    AtMost,
    Above,
    AtLeast,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Bound {
    /// In the figure's unit.
    Value(f64),
    /// Times the figure of the first target, in `versus`.
    Ratio(f64),
}

impl FromStr for Assertion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let at = text.find(['<', '>']).ok_or("no < or > in it")?;
        let (name, rest) = text.split_at(at);
        let relations = [
            ("<=", Relation::AtMost),
            (">=", Relation::AtLeast),
            ("<", Relation::Below),
            (">", Relation::Above),
        ];
        let (relation, bound) = relations
            .into_iter()
            .find_map(|(sign, relation)| Some((relation, rest.strip_prefix(sign)?)))
            .ok_or("no < or > in it")?;
        let figure: Figure = name.trim().parse()?;
        let bound = bound.trim();
        let end = bound.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '-').unwrap_or(bound.len());
        let (number, unit) = bound.split_at(end);
        let number: f64 = number.parse().map_err(|_| format!("`{bound}` does not begin with a number"))?;
        let bound = match unit.trim() {
            "x" => Bound::Ratio(number),
            unit => Bound::Value(number * factor(figure, unit)?),
        };
        Ok(Self { text: text.to_owned(), figure, relation, bound })
    }
}

impl fmt::Display for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Assertion {
    pub(crate) fn figure(&self) -> Figure {
        self.figure
    }

    /// Whether it holds for `figures`, against the first target's `baseline`.
    ///
    /// # Errors
    /// If there is nothing to compare.
    pub(crate) fn holds(&self, figures: &Figures, baseline: Option<&Figures>) -> Result<bool, String> {
        let value = *figures
            .get(&self.figure)
            .ok_or_else(|| format!("`{self}`: this run gives no {}", self.figure.name()))?;
        let bound = match self.bound {
            Bound::Value(bound) => bound,
            Bound::Ratio(ratio) => {
                let base = baseline.and_then(|figures| figures.get(&self.figure));
                ratio * base.ok_or_else(|| format!("`{self}`: no first target to compare with"))?
            }
        };
        Ok(match self.relation {
            Relation::Below => value < bound,
            Relation::AtMost => value <= bound,
            Relation::Above => value > bound,
            Relation::AtLeast => value >= bound,
        })
    }
}

/// What a number with this unit must be multiplied with, to be in the figure's unit.
fn factor(figure: Figure, unit: &str) -> Result<f64, String> {
    let factor = match (figure.unit(), unit) {
        (_, "")
        | (Unit::Milliseconds, "ms")
        | (Unit::Microseconds, "us" | "µs")
        | (Unit::Bytes, "B")
        | (Unit::Percent, "%")
        | (Unit::PerSecond, "/s") => 1.0,
        (Unit::Milliseconds, "us" | "µs") => 1e-3,
        (Unit::Milliseconds, "s") | (Unit::Microseconds, "ms") | (Unit::Bytes, "kB") => 1e3,
        (Unit::Bytes, "KiB") => 1024.0,
        (Unit::Bytes, "MB") => 1e6,
        (Unit::Bytes, "MiB") => 1024.0 * 1024.0,
        _ => return Err(format!("`{unit}` is no unit of {}", figure.name())),
    };
    Ok(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, value: f64, expected: bool) {
        let assertion: Assertion = text.parse().unwrap();
        let figures = Figures::from([(assertion.figure(), value)]);
        assert_eq!(assertion.holds(&figures, None), Ok(expected), "{text} with {value}");
    }

    #[test]
    fn bounds_and_units() {
        check("p99<50ms", 49.9, true);
        check("p99<50ms", 50.0, false);
        check("p99 <= 0.05 s", 50.0, true);
        check("p99.9<500us", 0.4, true);
        check("cpu_us<1.2", 1.3, false);
        check("rss_per_socket<2KiB", 2047.0, true);
        check("rss_left<10MiB", 1e7, true);
        check("rate>10000/s", 9999.0, false);
        check("faults<=0", 0.0, true);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in
            ["p99", "p99<", "p99<ms", "p98<1ms", "p99<5KiB", "rate>1ms", "<5", "p99=5ms", "p99<5 parsecs"]
        {
            assert!(text.parse::<Assertion>().is_err(), "{text}");
        }
    }

    #[test]
    fn ratios_need_a_first_target() {
        let assertion: Assertion = "cpu_us<1.15x".parse().unwrap();
        let figures = |value| Figures::from([(Figure::CpuUs, value)]);
        assert_eq!(assertion.holds(&figures(5.7), Some(&figures(5.0))), Ok(true));
        assert_eq!(assertion.holds(&figures(5.8), Some(&figures(5.0))), Ok(false));
        assert!(assertion.holds(&figures(1.0), None).is_err());
    }

    #[test]
    fn a_figure_that_is_not_there_is_told() {
        let assertion: Assertion = "idle_cpu_ms<1".parse().unwrap();
        assert!(assertion.holds(&Figures::new(), None).is_err());
    }
}
