//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::floor::Floor;
use crate::report::assertion::Assertion;
use crate::scenario::Scenario;
use crate::target::{Access, Target};

/// Load generator for Pusher-protocol servers on this machine. It checks that every delivery comes exactly once and
/// in order.
///
/// Exit codes: 0 all is well; 1 the server broke a promise; 2 wrong use; 3 the target cannot be reached; 4 an
/// assertion does not hold.
#[derive(Debug, Parser)]
#[command(name = "tidings-bench", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) options: Options,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Run(Scenario),
    Versus(Versus),
    Compare(Compare),
    /// Serve as the floor: only the kernel's work, as a yardstick.
    Floor(Floor),
}

/// Run one scenario against several targets by turns; print medians, and ratios to the first target.
#[derive(Debug, Args)]
pub(crate) struct Versus {
    /// Targets, separated by commas: floor, floor-gather, tidings[=PATH], sockudo=PATH, soketi=PATH, HOST:PORT@PID.
    #[arg(long, value_delimiter = ',', required = true)]
    pub(crate) targets: Vec<Target>,
    /// Runs against each target.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) rounds: u16,
    #[command(subcommand)]
    pub(crate) scenario: Scenario,
}

/// Compare two JSON files, medians if they hold several runs.
#[derive(Debug, Args)]
pub(crate) struct Compare {
    pub(crate) a: PathBuf,
    pub(crate) b: PathBuf,
}

/// What every run takes.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// What to measure: HOST:PORT, floor, floor-gather, tidings, sockudo or soketi.
    #[arg(long, global = true, default_value = "floor", help_heading = "Target")]
    target: Target,
    /// The program of a target that the bench starts: tidings, sockudo, or soketi's server.js.
    #[arg(long, global = true, value_name = "PATH", help_heading = "Target")]
    bin: Option<PathBuf>,
    /// Process id of a target that runs already, for its CPU and memory.
    #[arg(long, global = true, help_heading = "Target")]
    pid: Option<u32>,
    /// Id of the app.
    #[arg(long, global = true, default_value = "app-id", help_heading = "Target")]
    app_id: String,
    /// Key of the app.
    #[arg(long, global = true, default_value = "app-key", help_heading = "Target")]
    key: String,
    /// Secret of the app.
    #[arg(long, global = true, default_value = "app-secret", help_heading = "Target")]
    secret: String,
    /// Write the runs as JSON.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Output")]
    pub(crate) json: Option<PathBuf>,
    /// Write one page with table and charts.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Output")]
    pub(crate) html: Option<PathBuf>,
    /// What must hold, such as `p99<50ms`, `cpu_us<1.2`, `rss_per_socket<2KiB`; in `versus` of the last target's
    /// medians, where `cpu_us<1.15x` means 1.15 times the first target's; may be repeated.
    #[arg(long, global = true, value_name = "CONDITION", help_heading = "Output")]
    pub(crate) assert: Vec<Assertion>,
}

impl Options {
    /// The target, with its program or process id.
    pub(crate) fn target(&self) -> Target {
        match self.target.clone() {
            Target::At { address, pid } => Target::At { address, pid: pid.or(self.pid) },
            Target::Started { kind, bin } => Target::Started { kind, bin: bin.or_else(|| self.bin.clone()) },
        }
    }

    pub(crate) fn access(&self) -> Access {
        Access { app_id: self.app_id.clone(), key: self.key.clone(), secret: self.secret.clone() }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_stand_before_or_behind_the_scenario() {
        for line in ["--target 127.0.0.1:1 fanout --pid 7", "fanout --pid 7 --target 127.0.0.1:1"] {
            let cli = Cli::try_parse_from(["tidings-bench"].into_iter().chain(line.split(' '))).unwrap();
            let Target::At { address, pid } = cli.options.target() else { panic!("{line}") };
            assert_eq!((address.port(), pid), (1, Some(7)), "{line}");
        }
    }
}
