//! The log: lines to read on a terminal, JSON otherwise, on standard error.

use std::io::{self, IsTerminal as _};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    Layer as _, filter::Targets, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use super::error::CliError;
use tidings_server::config::{Environment, LOG};

pub(super) fn start(environment: &Environment) -> Result<(), CliError> {
    let filter = filter(environment.value(LOG))?;
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = if io::stderr().is_terminal() {
        lines.with_target(false).with_ansi(environment.value("NO_COLOR").is_none()).boxed()
    } else {
        lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
    };
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
    Ok(())
}

fn filter(text: Option<&str>) -> Result<Targets, CliError> {
    match text {
        None => Ok(Targets::new().with_default(LevelFilter::INFO)),
        Some(text) => {
            // A lone word that is no level would be a target that nothing has: all would be silent.
            let understood = |part: &str| part.contains('=') || part.parse::<LevelFilter>().is_ok();
            let filter = text.split(',').all(understood).then(|| text.parse().ok()).flatten();
            filter.ok_or_else(|| CliError::LogFilter(text.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn filters() {
        let shows = |text, level| filter(text).expect("a filter").would_enable("tidings_server", &level);
        assert!(shows(None, Level::INFO) && !shows(None, Level::DEBUG));
        assert!(shows(Some("debug"), Level::DEBUG));
        assert!(shows(Some("warn,tidings_server=trace"), Level::TRACE));
        assert!(filter(Some("tidings_server=loud")).is_err() && filter(Some("loud")).is_err());
    }
}
