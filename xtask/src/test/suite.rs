//! One row of the table: a command with an outcome.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use super::count::{Count, Format, count};
use crate::command::line;
use crate::test_environment::set_test_environment;
use crate::workspace;

/// A suite that prints nothing for so long hangs. How long it takes depends on the machine.
const MAX_SILENCE: Duration = Duration::from_secs(20 * 60);

/// How often a running suite is looked at.
const POLL: Duration = Duration::from_millis(50);

/// When a suite's output is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// As it comes.
    Always,
    /// All at once, if the suite fails.
    IfFailed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    Failed,
    /// Something that it needs has failed.
    NotRun,
}

#[derive(Debug)]
pub(super) struct Suite {
    pub(super) name: &'static str,
    pub(super) needs: &'static [&'static str],
    /// A suite runs once; the lock is there because starting a command takes it exclusively.
    command: Mutex<Command>,
    format: Format,
    /// Whether its program needs the paths of servers and browser.
    described: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Report {
    pub(super) name: &'static str,
    pub(super) outcome: Outcome,
    pub(super) count: Option<Count>,
    pub(super) time: Duration,
}

impl Suite {
    pub(super) fn new(name: &'static str, command: Command) -> Self {
        Self {
            name,
            needs: &[],
            command: Mutex::new(command),
            format: Format::None,
            described: false,
        }
    }

    pub(super) fn needs(mut self, names: &'static [&'static str]) -> Self {
        self.needs = names;
        self
    }

    pub(super) fn counts(mut self, format: Format) -> Self {
        self.format = format;
        self
    }

    pub(super) fn describe(mut self) -> Self {
        self.described = true;
        self
    }

    pub(super) fn not_run(&self, need: &str) -> Report {
        println!("==> {}: not run, because {need} failed", self.name);
        self.report(Outcome::NotRun, None, Duration::ZERO)
    }

    pub(super) fn run(&self, output: Output) -> Report {
        let mut command = self
            .command
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let shown = shown(&command);
        println!("==> {}: {shown}", self.name);
        if self.described {
            // Now and not earlier: they may just have been installed.
            set_test_environment(&mut command);
        }
        let start = Instant::now();
        let log = log_of(self.name);
        let status = start_logged(&mut command, &log)
            .and_then(|mut child| follow(&mut child, &log, output, MAX_SILENCE));
        let time = start.elapsed();
        let text = fs::read_to_string(&log).unwrap_or_default();
        let count = count(self.format, &text);
        let succeeded = status.as_ref().is_ok_and(|status| status.success());
        let counted = self.format == Format::None
            || count.is_some_and(|count| count.run > 0 && count.failed == 0);
        let outcome = if succeeded && counted {
            Outcome::Passed
        } else {
            Outcome::Failed
        };
        if outcome == Outcome::Failed {
            if output == Output::IfFailed {
                print!("{text}");
            }
            let reason = match status {
                Err(error) => error.to_string(),
                Ok(status) if !status.success() => status.to_string(),
                Ok(_) => "its output does not say that tests ran and passed".to_owned(),
            };
            println!("==> {} FAILED: {reason}; run again: {shown}", self.name);
        } else if output == Output::IfFailed {
            println!("    {}: done in {:.0} s", self.name, time.as_secs_f64());
        }
        self.report(outcome, count, time)
    }

    fn report(&self, outcome: Outcome, count: Option<Count>, time: Duration) -> Report {
        Report {
            name: self.name,
            outcome,
            count,
            time,
        }
    }
}

impl Report {
    pub(super) fn passed(&self) -> bool {
        self.outcome == Outcome::Passed
    }
}

/// The command as one would type it.
fn shown(command: &Command) -> String {
    let text = line(command);
    match text.split_once(' ') {
        Some((program, rest)) if program.ends_with("/xtask") => format!("cargo xtask {rest}"),
        _ => text,
    }
}

fn log_of(name: &str) -> PathBuf {
    let name: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    workspace::target()
        .join("xtask-logs")
        .join(name)
        .with_extension("log")
}

/// A file and not a pipe: a grandchild that lives on would keep a pipe open.
fn start_logged(command: &mut Command, log: &Path) -> io::Result<Child> {
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder)?;
    }
    let file = File::create(log)?;
    command.stdout(file.try_clone()?).stderr(file).spawn()
}

/// Waits for the end of a child, and shows its log as it grows if asked to.
fn follow(
    child: &mut Child,
    log: &Path,
    output: Output,
    max_silence: Duration,
) -> io::Result<ExitStatus> {
    let mut log = File::open(log)?;
    let mut last_output = Instant::now();
    loop {
        // The status first: then the log is read up to the child's last words.
        let status = child.try_wait()?;
        let mut news = Vec::new();
        log.read_to_end(&mut news)?;
        if !news.is_empty() {
            last_output = Instant::now();
        }
        if output == Output::Always {
            io::stdout().write_all(&news)?;
        }
        match status {
            Some(status) => return Ok(status),
            None if last_output.elapsed() >= max_silence => {
                child.kill()?;
                child.wait()?;
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("it printed nothing for {} s", max_silence.as_secs()),
                ));
            }
            None => thread::sleep(POLL),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::command;

    fn shell(name: &'static str, script: &str) -> Suite {
        let mut command = command("sh");
        command.args(["-c", script]);
        Suite::new(name, command)
    }

    #[test]
    fn a_step_passes_or_fails_by_its_status() {
        assert!(shell("unit: passes", "true").run(Output::IfFailed).passed());
        assert!(
            !shell("unit: fails", "exit 3")
                .run(Output::IfFailed)
                .passed()
        );
        let absent = Suite::new("unit: absent", command("/does/not/exist"));
        assert!(!absent.run(Output::IfFailed).passed());
    }

    #[test]
    fn tests_that_ran_are_counted() {
        let script = "echo 'conformance: 1 of 1 implementors pass, 3 cases were run'";
        let report = shell("unit: counts", script)
            .counts(Format::Conformance)
            .run(Output::Always);
        assert!(report.passed());
        assert_eq!(report.count.unwrap().run, 3);
    }

    #[test]
    fn success_without_a_test_is_a_failure() {
        for (name, script) in [
            (
                "unit: none ran",
                "echo 'conformance: 1 of 1 implementors pass, 0 cases were run'",
            ),
            ("unit: none told", "true"),
            (
                "unit: a lie",
                "echo 'conformance: 1 of 2 implementors pass, 2 cases were run'",
            ),
        ] {
            let suite = shell(name, script).counts(Format::Conformance);
            assert_eq!(
                suite.run(Output::IfFailed).outcome,
                Outcome::Failed,
                "{name}"
            );
        }
    }

    #[test]
    fn a_silent_suite_is_ended() {
        let log = log_of("unit: hangs");
        let mut child = start_logged(command("sleep").arg("60"), &log).unwrap();
        let silence = Duration::from_millis(20);
        let error = follow(&mut child, &log, Output::IfFailed, silence).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
