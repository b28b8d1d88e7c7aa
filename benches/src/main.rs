//! Load generator for Pusher-protocol servers.
//!
//! One thread drives all sockets behind one epoll. `scenario` says what is done to a server, `bench` the steps that
//! scenarios are made of, `engine` the event loop under them; `ledger` checks the deliveries; `report` shows what came
//! of it; `floor` is the yardstick, a server that does only the kernel's work.

mod audience;
mod bench;
mod cli;
mod client;
mod clock;
mod engine;
mod failure;
mod faults;
mod figure;
mod floor;
mod http;
mod lane;
mod latency;
mod ledger;
mod machine;
mod meter;
mod number;
mod operator;
mod payload;
mod process;
mod progress;
mod publisher;
mod report;
mod scenario;
mod sign;
mod sink;
mod stamp;
mod target;
mod timeline;
mod ws;

use std::process::ExitCode;

use clap::Parser as _;

use crate::bench::Bench;
use crate::cli::{Cli, Command, Compare, Options, Versus};
use crate::failure::Failure;
use crate::figure::Figures;
use crate::machine::Machine;
use crate::progress::Progress;
use crate::report::{Report, Runs, html, medians, table};
use crate::scenario::Scenario;
use crate::target::Target;

/// Exit code of a run in which the server broke a promise.
const FAULTY: u8 = 1;
/// Exit code of a run that an assertion does not hold for.
const MISSED: u8 = 4;

fn main() -> ExitCode {
    clock::now();
    let cli = Cli::parse();
    // Failing to raise it shows as "too many open files" later, where it matters.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let done = match &cli.command {
        Command::Run(scenario) => run(scenario, &cli.options),
        Command::Versus(versus) => run_versus(versus, &cli.options),
        Command::Compare(compare) => run_compare(compare, &cli.options),
        Command::Floor(floor) => floor.serve().map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|failure| {
        eprintln!("tidings-bench: {failure}");
        ExitCode::from(failure.exit_code())
    })
}

fn run(scenario: &Scenario, options: &Options) -> Result<ExitCode, Failure> {
    let target = options.target();
    let report = run_once(scenario, &target, &target.name(), options, "")?;
    print!("{}", table::of_run(&report));
    let columns = [(report.target.clone(), report.figures.clone())];
    conclude(vec![report], &columns, options)
}

fn run_versus(versus: &Versus, options: &Options) -> Result<ExitCode, Failure> {
    let mut runs = Vec::new();
    let labels = target::labels(&versus.targets);
    for round in 0..usize::from(versus.rounds) {
        // The order changes from round to round, so that none has always the same neighbour.
        let places = versus.targets.len();
        for place in (0..places).map(|place| (place + round) % places) {
            let title = format!("round {} of {}, ", round + 1, versus.rounds);
            let target = &versus.targets[place];
            let report = run_once(&versus.scenario, target, &labels[place], options, &title)?;
            print!("{}", table::faults(&report));
            runs.push(report);
        }
    }
    let columns: Vec<(String, Figures)> = labels
        .into_iter()
        .map(|label| {
            let figures = medians(runs.iter().filter(|run| run.target == label));
            (label, figures)
        })
        .collect();
    println!("{}, medians of {}", versus.scenario.name(), versus.rounds);
    if let Some(run) = runs.first() {
        println!("{}", run.settings_line());
    }
    print!("\n{}", table::side_by_side(&columns));
    conclude(runs, &columns, options)
}

fn run_compare(compare: &Compare, options: &Options) -> Result<ExitCode, Failure> {
    let mut columns = Vec::new();
    let mut runs = Vec::new();
    for path in [&compare.a, &compare.b] {
        let mut file = Runs::read(path)?;
        let name = path.display().to_string();
        columns.push((name.clone(), medians(file.runs.iter())));
        if file
            .runs
            .iter()
            .any(|run| run.target != file.runs[0].target || run.scenario != file.runs[0].scenario)
        {
            return Err(Failure::Usage(format!("{name} holds runs of several targets or scenarios")));
        }
        for run in &mut file.runs {
            run.target.clone_from(&name);
        }
        runs.append(&mut file.runs);
    }
    print!("{}", table::side_by_side(&columns));
    conclude(runs, &columns, options)
}

/// Starts the target, runs the scenario, ends the target. It is called by its label.
fn run_once(
    scenario: &Scenario,
    target: &Target,
    label: &str,
    options: &Options,
    title: &str,
) -> Result<Report, Failure> {
    let machine = Machine::look();
    let running = target.start(label, &options.access())?;
    let progress = Progress::new(format!("{title}{} against {}", scenario.name(), running.name));
    let outcome = scenario.run(Bench::new(&running, &progress)?)?;
    Ok(Report::new(scenario, running.name.clone(), machine, outcome))
}

/// Writes the files that were asked for, checks the assertions, and gives the exit code.
fn conclude(
    runs: Vec<Report>,
    columns: &[(String, Figures)],
    options: &Options,
) -> Result<ExitCode, Failure> {
    if let Some(path) = &options.html {
        html::write(path, &runs, columns)?;
    }
    let is_faulty = runs.iter().any(|run| run.faults.total() > 0);
    if let Some(path) = &options.json {
        Runs::new(runs).write(path)?;
    }
    let mut is_missed = false;
    if let [(_, first), ..] = columns
        && let [.., (_, last)] = columns
    {
        for assertion in &options.assert {
            let holds = assertion.holds(last, Some(first)).map_err(Failure::Usage)?;
            let value = assertion.figure().show(last[&assertion.figure()]);
            println!("{} {assertion}: {value}", if holds { "✓" } else { "✗" });
            is_missed |= !holds;
        }
    }
    Ok(if is_faulty {
        ExitCode::from(FAULTY)
    } else if is_missed {
        ExitCode::from(MISSED)
    } else {
        ExitCode::SUCCESS
    })
}
