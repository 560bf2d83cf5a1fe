//! How the command fails: one line and a status.

use std::fmt;
use std::process::ExitCode;

/// Why the command ends.
#[derive(Debug)]
pub(crate) struct Failure {
    status: u8,
    line: String,
}

impl Failure {
    /// The command line, or an environment variable, is wrong.
    pub(super) fn usage(why: impl fmt::Display) -> Self {
        Self::new(2, why)
    }

    /// What was asked for did not work.
    pub(super) fn runtime(why: impl fmt::Display) -> Self {
        Self::new(1, why)
    }

    /// Redis cannot be used; `name` is its URL without a password.
    pub(super) fn redis(name: &str, why: &str) -> Self {
        Self::runtime(format_args!(
            "cannot use Redis at {name}: {why}; check that it runs there, or leave out --redis to \
             keep streams in memory"
        ))
    }

    pub(crate) fn status(&self) -> ExitCode {
        ExitCode::from(self.status)
    }

    fn new(status: u8, why: impl fmt::Display) -> Self {
        // One line, whatever the cause's own words are.
        let line = why
            .to_string()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        Self { status, line }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}
