//! `tidings drain`

use std::{io, time::Duration};

use clap::Args;
use tokio::runtime;

use super::{
    ConfigArgs, Exit,
    control::{self, Leave},
    error::CliError,
    print_line,
};
use tidings_server::config::{Environment, parse_drain};

#[derive(Args)]
pub(super) struct DrainArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Close the sockets over this time, as in 60s or 5m, or less where they are few [default: as the server is configured]
    #[arg(long, value_name = "TIME", value_parser = parse_drain)]
    over: Option<Duration>,
}

/// Returns when the server has ended.
pub(super) fn run(args: &DrainArgs, environment: &Environment) -> Result<Exit, CliError> {
    let data_dir = args.config.load(environment)?.data_dir;
    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::Runtime)?;
    let mut said = Ok(());
    let taken = || said = print_line("the server is leaving");
    let ordered = runtime.block_on(control::order(&data_dir, Leave { over: args.over }, taken));
    ordered.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            CliError::NotRunning { data_dir: data_dir.clone() }
        }
        io::ErrorKind::PermissionDenied => {
            let owner = control::owner(&data_dir);
            CliError::NotOurs { data_dir: data_dir.clone(), owner }
        }
        _ => CliError::Input { what: "the server's answer".to_owned(), source },
    })?;
    said?;
    print_line("it has ended")?;
    Ok(Exit::Done)
}
