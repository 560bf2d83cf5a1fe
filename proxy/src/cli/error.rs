//! How the command fails: one line on stderr, and an exit code.

use std::fmt;
use std::process::ExitCode;

/// Why the command fails.
#[derive(Debug)]
pub(crate) struct CommandError {
    exit_code: u8,
    message: String,
}

impl CommandError {
    /// An argument or an environment variable is invalid: exit code 2.
    pub(super) fn usage(why: impl fmt::Display) -> Self {
        Self::new(2, why)
    }

    /// The command cannot do what the arguments say: exit code 1.
    pub(super) fn runtime(why: impl fmt::Display) -> Self {
        Self::new(1, why)
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit_code)
    }

    fn new(exit_code: u8, why: impl fmt::Display) -> Self {
        // One line, even if the cause has several.
        let words = why.to_string();
        let words: Vec<_> = words.split_whitespace().collect();
        Self {
            exit_code,
            message: words.join(" "),
        }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
