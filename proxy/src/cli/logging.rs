//! The log: what `--log` selects, on stderr.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use super::CommandError;

/// Parses the value of `--log`.
pub(super) fn parse_filter(filter: &str) -> Result<EnvFilter, CommandError> {
    EnvFilter::try_new(filter).map_err(|error| {
        CommandError::usage(format_args!(
            "invalid --log '{filter}': {error}; try --log info, or --log streamgate=debug"
        ))
    })
}

/// Logs to stderr from now on.
pub(super) fn log_to_stderr(filter: &str) -> Result<(), CommandError> {
    let filter = parse_filter(filter)?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    Ok(())
}
