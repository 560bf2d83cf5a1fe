//! Child processes.

use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::search_path::search_path;
use crate::workspace;

/// How often a child with a time limit is looked at.
const POLL: Duration = Duration::from_millis(50);

/// A command that runs in the workspace's folder, sees the tools that `setup` fetched, and can ask
/// nobody anything.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(workspace::root())
        .env("PATH", search_path())
        .stdin(Stdio::null());
    command
}

/// Prints the line that begins a step.
pub(crate) fn announce(step: &str) {
    println!("==> {step}");
}

/// Runs a command to its end.
///
/// # Errors
///
/// It did not start, or failed: the error shows the command and the advice.
pub(crate) fn run(command: &mut Command, advice: &str) -> anyhow::Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start `{}`; {advice}", line(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status}); {advice}", line(command));
    }
    Ok(())
}

/// Runs a command to its end, or to the time limit, and says whether it succeeded.
pub(crate) fn succeeds_within(command: &mut Command, limit: Duration) -> bool {
    let Ok(mut child) = command.spawn() else {
        return false;
    };
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
            _ => {
                // An error here means that it has already ended.
                let _ = child.kill();
                let _ = child.wait();
                return false;
            }
        }
    }
}

/// What a command prints on its standard output, or nothing if it fails or does not exist.
pub(crate) fn output(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}

/// A command as one would type it, without its environment.
pub(crate) fn line(command: &Command) -> String {
    let words = [command.get_program()]
        .into_iter()
        .chain(command.get_args());
    let words: Vec<_> = words.map(|word| quoted(&word.to_string_lossy())).collect();
    words.join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let mut command = Command::new("npm");
        command.args(["install", "--prefix=a b", "it's", ""]);
        assert_eq!(line(&command), r"npm install '--prefix=a b' 'it'\''s' ''");
    }

    #[test]
    fn a_failure_names_the_command_and_the_advice() {
        let error = run(command("false").arg("x"), "try again").unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("`false x`") && text.contains("try again"),
            "{text}"
        );
    }

    #[test]
    fn a_command_is_ended_at_its_limit() {
        assert!(succeeds_within(
            &mut command("true"),
            Duration::from_secs(60)
        ));
        assert!(!succeeds_within(
            command("sleep").arg("60"),
            Duration::from_millis(20)
        ));
        assert!(!succeeds_within(
            &mut command("/does/not/exist"),
            Duration::from_secs(1)
        ));
    }
}
