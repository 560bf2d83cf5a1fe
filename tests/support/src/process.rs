//! A child process that says on its standard output when it is ready.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

/// Longest time a child may take to start or to end: far more than either takes on a machine
/// that is busy with other tests, and short enough to be noticed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Lines kept until somebody asks. Only those before the ready line are ever read.
const LINES: usize = 1024;

/// Ends its child when dropped.
pub(crate) struct Process {
    child: Child,
    /// Closed when the child closes its standard output, which it does at its end.
    lines: Receiver<String>,
}

impl Process {
    pub(crate) fn spawn(command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let stdout = child
            .stdout
            .take()
            .context("the child has no standard output")?;
        let (sender, lines) = sync_channel(LINES);
        thread::spawn(move || forward(BufReader::new(stdout), &sender));
        Ok(Self { child, lines })
    }

    /// The first line that `wanted` takes, or the child's last words as the error.
    pub(crate) fn wait_for<T>(&mut self, wanted: impl Fn(&str) -> Option<T>) -> anyhow::Result<T> {
        let deadline = Instant::now() + PATIENCE;
        let mut said = String::new();
        loop {
            match self
                .lines
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) => {
                    if let Some(found) = wanted(&line) {
                        return Ok(found);
                    }
                    said.push_str(&line);
                    said.push('\n');
                }
                Err(RecvTimeoutError::Timeout) => {
                    bail!("it is not ready in time; it said:\n{said}")
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.child.wait()?;
                    bail!("it ended with {status}; it said:\n{said}");
                }
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        Ok(kill_process(pid.context("the child has no id")?, signal)?)
    }

    /// Ends the child at once.
    pub(crate) fn kill(&mut self) -> anyhow::Result<ExitStatus> {
        self.child.kill()?;
        Ok(self.child.wait()?)
    }

    /// Asks the child to end and waits until it has.
    pub(crate) fn terminate(&mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait()
    }

    /// Waits until the child has ended.
    pub(crate) fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self
                .lines
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(self.child.wait()?),
                Err(RecvTimeoutError::Timeout) => bail!("it did not end in time"),
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if the child is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads to the end, so that the child never waits for a full pipe.
fn forward(stdout: impl BufRead, lines: &SyncSender<String>) {
    for line in stdout.lines() {
        let Ok(line) = line else { return };
        // Full: nobody reads any more.
        let _ = lines.try_send(line);
    }
}
