//! The figures that runs give: a closed list, so that tables, assertions and comparisons speak of the same things.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The figures of one run.
pub(crate) type Figures = BTreeMap<Figure, f64>;

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Milliseconds,
    Microseconds,
    Bytes,
    PerSecond,
    Percent,
    Count,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Milliseconds => "ms",
            Self::Microseconds => "µs",
            Self::Bytes => "bytes",
            Self::PerSecond => "/s",
            Self::Percent => "%",
            Self::Count => "",
        })
    }
}

macro_rules! figures {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $unit:ident, $title:literal;)+) => {
        /// One figure. Its serialised name is the one that `--assert` takes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub(crate) enum Figure {
            $($(#[doc = $doc])+ #[serde(rename = $name)] $variant,)+
        }

        impl Figure {
            /// Every figure, in the order of tables.
            pub(crate) const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name in JSON and assertions.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// The words in tables.
            pub(crate) fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),+ }
            }

            pub(crate) fn unit(self) -> Unit {
                match self { $(Self::$variant => Unit::$unit),+ }
            }
        }
    };
}

figures! {
    /// Half of the latencies are at most this.
    P50 = "p50", Milliseconds, "latency p50";
    /// 90 % of the latencies are at most this.
    P90 = "p90", Milliseconds, "latency p90";
    /// 99 % of the latencies are at most this.
    P99 = "p99", Milliseconds, "latency p99";
    /// 99.9 % of the latencies are at most this.
    P999 = "p99.9", Milliseconds, "latency p99.9";
    /// 99.99 % of the latencies are at most this.
    P9999 = "p99.99", Milliseconds, "latency p99.99";
    /// The longest latency.
    Max = "max", Milliseconds, "latency max";
    /// Deliveries, connections or frames in a second, whatever the scenario counts.
    Rate = "rate", PerSecond, "rate";
    /// Events published in a second.
    Events = "events", PerSecond, "events published";
    /// Server CPU per delivery, connection or frame.
    CpuUs = "cpu_us", Microseconds, "server CPU each";
    /// Server CPU, of one core.
    ServerBusy = "server_busy", Percent, "server busy, of one core";
    /// CPU of the generator itself, of one core.
    GeneratorBusy = "generator_busy", Percent, "generator busy, of one core";
    /// How late the generator sent what was due, 99 % of the times.
    LateP99 = "late_p99", Milliseconds, "generator late p99";
    /// How late the generator sent what was due, at worst.
    LateMax = "late_max", Milliseconds, "generator late max";
    /// Storm: half of the reconnects took at most this.
    BackP50 = "back_p50", Milliseconds, "all back at once: p50";
    /// Storm: 99 % of the reconnects took at most this.
    BackP99 = "back_p99", Milliseconds, "all back at once: p99";
    /// Storm: the longest reconnect.
    BackMax = "back_max", Milliseconds, "all back at once: max";
    /// Storm: reconnects in a second.
    BackRate = "back_rate", PerSecond, "all back at once: rate";
    /// Storm: server CPU per reconnect, the closing of the old socket included.
    BackCpuUs = "back_cpu_us", Microseconds, "all back at once: server CPU each";
    /// Storm: 99 % of the latencies of the events published beside it.
    BesideP99 = "beside_p99", Milliseconds, "published beside: latency p99";
    /// Inbox: half of the pushes came to the user's socket within this, from the call on.
    PushP50 = "push_p50", Milliseconds, "pushed: p50";
    /// Inbox: 99 % of the pushes.
    PushP99 = "push_p99", Milliseconds, "pushed: p99";
    /// Resident memory of the server before the first socket.
    RssStart = "rss_start", Bytes, "memory at start";
    /// Resident memory that each socket added.
    RssPerSocket = "rss_per_socket", Bytes, "memory per socket";
    /// The most resident memory seen.
    RssPeak = "rss_peak", Bytes, "memory at most";
    /// Resident memory at the end, above the start, after the first round's sockets have gone.
    RssLeft = "rss_left", Bytes, "memory left behind";
    /// The same after the last round.
    RssLeftAgain = "rss_left_again", Bytes, "memory left behind, last round";
    /// Soak: growth of the resident memory from the first to the last tenth of the time.
    RssGrowth = "rss_growth", Bytes, "memory growth";
    /// CPU of the server while nothing happens, per second.
    IdleCpu = "idle_cpu_ms", Milliseconds, "idle CPU per second";
    /// Faults of all kinds.
    Faults = "faults", Count, "faults";
}

impl FromStr for Figure {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.iter().copied().find(|figure| figure.name() == text).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|figure| figure.name()).collect();
            format!("`{text}` is no figure; there are: {}", names.join(", "))
        })
    }
}

impl Figure {
    /// A value of this figure, with its unit, in few digits.
    pub(crate) fn show(self, value: f64) -> String {
        match self.unit() {
            Unit::Bytes if value.abs() >= 1024.0 * 1024.0 => format!("{:.1} MiB", value / 1024.0 / 1024.0),
            Unit::Bytes if value.abs() >= 1024.0 => format!("{:.2} KiB", value / 1024.0),
            Unit::Bytes => format!("{value:.0} bytes"),
            Unit::Count => format!("{value:.0}"),
            Unit::PerSecond => format!("{value:.0} /s"),
            Unit::Percent => format!("{value:.0} %"),
            unit @ (Unit::Milliseconds | Unit::Microseconds) => {
                let digits = if value.abs() >= 100.0 { 1 } else { 3 };
                format!("{value:.digits$} {unit}")
            }
        }
    }
}
