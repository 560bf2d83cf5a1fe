//! How the command fails: one line on stderr, and an exit code.

use std::fmt;
use std::process::ExitCode;

/// Most characters of a message. A longer one quotes something long: the middle is left out.
const MAX_MESSAGE_CHARS: usize = 1_000;

/// The characters at the end of a message that are never left out: they say what to do.
const MESSAGE_END_CHARS: usize = 300;

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
        Self {
            exit_code,
            message: one_line(&why.to_string()),
        }
    }
}

/// Returns a message as one line of bounded length, without control characters: it may quote a file
/// that somebody else wrote.
pub(super) fn one_line(message: &str) -> String {
    let words: Vec<_> = message.split_whitespace().collect();
    let line: Vec<char> = words.join(" ").chars().collect();
    let shown = |c: &char| if c.is_control() { '\u{fffd}' } else { *c };
    if line.len() <= MAX_MESSAGE_CHARS {
        return line.iter().map(shown).collect();
    }
    let (start, end) = line.split_at(line.len() - MESSAGE_END_CHARS);
    let start = start.iter().take(MAX_MESSAGE_CHARS - MESSAGE_END_CHARS - 1);
    start.chain(&['…']).chain(end).map(shown).collect()
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_of_bounded_length_without_control_characters() {
        assert_eq!(one_line(" a\n  b\u{1b}[31mü "), "a b\u{fffd}[31mü");
        let long = one_line(&format!("start {} end", "ü".repeat(MAX_MESSAGE_CHARS)));
        assert_eq!(long.chars().count(), MAX_MESSAGE_CHARS);
        assert!(long.starts_with("start ü") && long.ends_with("ü end") && long.contains('…'));
    }
}
