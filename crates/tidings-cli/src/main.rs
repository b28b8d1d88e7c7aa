//! The program `tidings`: one file per verb.

mod apps;
mod brands;
mod certificates;
mod check;
mod completions;
mod control;
mod drain;
mod error;
mod explain_auth;
mod inbox;
mod init;
mod known;
mod log;
mod notify;
mod screen;
mod serve;
mod snippets;
mod subscribe;
mod target;
mod trigger;
mod watch;
mod webhooks;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{
    Args, CommandFactory as _, Parser, Subcommand,
    error::{ContextKind, ContextValue, ErrorKind},
};

use error::CliError;
use tidings_server::config::{Config, ConfigErrors, Environment, Flags, Layer, Loaded, Place};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed, or the answer is no
  2  wrong use or wrong configuration
  3  no server could be reached

Variables: TIDINGS_CONFIG, TIDINGS_HOST, TIDINGS_PORT, TIDINGS_DATA_DIR, TIDINGS_ACTIVITY_TIMEOUT, TIDINGS_DRAIN_DELAY,
TIDINGS_DRAIN_WINDOW, TIDINGS_METRICS_HOST, TIDINGS_METRICS_PORT, TIDINGS_METRICS_SOKETI_NAMES, TIDINGS_TLS_CERT,
TIDINGS_TLS_KEY, TIDINGS_TLS_PORT, TIDINGS_LOG; PUSHER_APP_ID, PUSHER_APP_KEY and PUSHER_APP_SECRET are the first app. Flags win over variables, these over the file.";

/// A self-hosted server for Pusher's clients and backends.
#[derive(Parser)]
#[command(name = "tidings", version, args_conflicts_with_subcommands = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Without a verb the server is run.
    #[command(flatten)]
    serve: serve::ServeArgs,
}

#[derive(Subcommand)]
enum Verb {
    /// Run the server; what happens without a verb
    Serve(serve::ServeArgs),
    /// Have the running server leave: its sockets are closed one after the other, then it ends
    Drain(drain::DrainArgs),
    /// Write a configuration from that of another server
    Init(init::InitArgs),
    /// Look for mistakes in a configuration file
    Check(check::CheckArgs),
    /// Add, show and change the apps of the data directory
    #[command(subcommand)]
    Apps(apps::AppsVerb),
    /// Add and show brands, and make keys for their senders
    #[command(subcommand)]
    Brands(brands::BrandsVerb),
    /// Send a notification into a user's inbox
    Notify(notify::NotifyArgs),
    /// Print a user's inbox
    Inbox(inbox::InboxArgs),
    /// Look into the queue of webhooks, and send dead letters again
    #[command(subcommand)]
    Webhooks(webhooks::WebhooksVerb),
    /// Send an event
    Trigger(trigger::TriggerArgs),
    /// Print the events of channels as JSON lines
    Subscribe(subscribe::SubscribeArgs),
    /// Say what should have been signed, and where a signature departs from it
    ExplainAuth(explain_auth::ExplainArgs),
    /// Print the completions for a shell
    Completions(completions::CompletionsArgs),
}

/// How a verb ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Done,
    Failed,
    Usage,
    Unreachable,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Unreachable => 3,
        })
    }
}

/// Where the configuration and the store are.
#[derive(Args, Clone, Debug)]
struct ConfigArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The directory that keeps everything [default: ./tidings-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl ConfigArgs {
    fn flags(&self) -> Flags {
        let server = Layer { data_dir: self.data_dir.clone(), ..Layer::default() };
        Flags { config: self.config.clone(), server }
    }

    /// The configuration as the server would read it.
    fn load(&self, environment: &Environment) -> Result<Config, ConfigErrors> {
        self.load_with_places(environment).map(|(config, _)| config)
    }

    /// It, and where each of its apps stands; what is doubtful is told on standard error.
    fn load_with_places(&self, environment: &Environment) -> Result<(Config, Vec<Place>), ConfigErrors> {
        let Loaded { config, warnings, app_places, .. } = Config::load(&self.flags(), environment)?;
        for warning in warnings {
            eprintln!("warning: {warning}");
        }
        Ok((config, app_places))
    }
}

fn main() -> ExitCode {
    let Cli { verb, serve } = Cli::try_parse().unwrap_or_else(|error| say_the_order(error).exit());
    let environment = Environment::of_process();
    let done = match verb.unwrap_or(Verb::Serve(serve)) {
        Verb::Serve(args) => serve::run(&args, &environment),
        Verb::Drain(args) => drain::run(&args, &environment),
        Verb::Init(args) => init::run(&args),
        Verb::Check(args) => check::run(&args),
        Verb::Apps(verb) => apps::run(verb, &environment),
        Verb::Brands(verb) => brands::run(verb, &environment),
        Verb::Notify(args) => notify::run(args, &environment),
        Verb::Inbox(args) => inbox::run(&args, &environment),
        Verb::Webhooks(verb) => webhooks::run(verb, &environment),
        Verb::Trigger(args) => trigger::run(args, &environment),
        Verb::Subscribe(args) => subscribe::run(args, &environment),
        Verb::ExplainAuth(args) => explain_auth::run(&args, &environment),
        Verb::Completions(args) => completions::run(&args),
    };
    done.unwrap_or_else(|error| {
        if !error.is_closed_pipe() {
            eprintln!("{}", error.report());
        }
        error.exit()
    })
    .into()
}

/// Clap says that a flag of `serve` cannot be used with the other verb, though that has one of the same name.
fn say_the_order(error: clap::Error) -> clap::Error {
    match (error.kind(), error.get(ContextKind::InvalidSubcommand)) {
        (ErrorKind::ArgumentConflict, Some(ContextValue::String(verb))) => Cli::command().error(
            ErrorKind::ArgumentConflict,
            format!(
                "write flags after the verb: tidings {verb} --flag …; `tidings {verb} --help` lists them"
            ),
        ),
        _ => error,
    }
}

/// Prints text as it is and flushes: a reader at the other end of a pipe sees it at once.
fn print(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(CliError::Output)
}

fn print_line(line: impl std::fmt::Display) -> Result<(), CliError> {
    print(&format!("{line}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_holds() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_without_a_verb_are_those_of_serve() {
        let cli = Cli::try_parse_from(["tidings", "--port", "7000"]).expect("parses");
        assert!(cli.verb.is_none());
        assert_eq!(cli.serve.flags().server.port, Some(7000));
    }
}
