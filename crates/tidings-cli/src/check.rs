//! `tidings check`

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::{Exit, error::CliError, print_line};
use tidings_server::config::{Config, Finding, Loaded, Place};

#[derive(Args)]
pub(super) struct CheckArgs {
    /// The file
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &CheckArgs) -> Result<Exit, CliError> {
    let checked = Config::check(&args.file);
    if args.json {
        let (ok, apps, mistakes, warnings) = match &checked {
            Ok(loaded) => (true, Some(loaded.config.apps.len()), Vec::new(), findings(&loaded.warnings)),
            Err(errors) => (false, None, findings(&errors.mistakes), findings(&errors.warnings)),
        };
        let file = args.file.display().to_string();
        print_line(
            json!({"file": file, "ok": ok, "apps": apps, "mistakes": mistakes, "warnings": warnings}),
        )?;
        return Ok(if ok { Exit::Done } else { Exit::Usage });
    }
    let Loaded { config, warnings, .. } = checked?;
    for warning in &warnings {
        print_line(format_args!("warning: {warning}"))?;
    }
    let apps = match config.apps.len() {
        1 => "1 app".to_owned(),
        apps => format!("{apps} apps"),
    };
    print_line(format_args!("{}: ok, {apps}", args.file.display()))?;
    Ok(Exit::Done)
}

fn findings<K: std::fmt::Display>(findings: &[Finding<K>]) -> Vec<Value> {
    findings.iter().map(finding).collect()
}

fn finding<K: std::fmt::Display>(finding: &Finding<K>) -> Value {
    let (line, column, key) = match &finding.place {
        Place::Line { line, column, key, .. } => (Some(line), Some(column), key.as_deref()),
        Place::Key(key) => (None, None, Some(*key)),
        Place::File(_) | Place::Variable(_) => (None, None, None),
    };
    json!({"line": line, "column": column, "key": key, "message": finding.kind.to_string()})
}
