//! `tidings completions`

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, Exit, error::CliError, print};

#[derive(Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tidings", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
