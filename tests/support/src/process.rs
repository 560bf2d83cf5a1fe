//! A child process that prints on its standard output when it is ready.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

/// Longest start or end of a child: far more than either takes on a machine that is busy with other
/// tests. Catches hangs.
const HANG_LIMIT: Duration = Duration::from_secs(20);

/// Most unread lines that are kept. Only those before the ready line are ever read.
const MAX_LINES: usize = 1024;

/// Ends its child when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// Disconnected when the child closes its standard output, which it does at its end.
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
        let (sender, lines) = sync_channel(MAX_LINES);
        thread::spawn(move || forward(BufReader::new(stdout), &sender));
        Ok(Self { child, lines })
    }

    /// Waits for the first line for which `wanted` returns something, and returns that. Its errors
    /// contain the child's output.
    pub(crate) fn wait_for<T>(&mut self, wanted: impl Fn(&str) -> Option<T>) -> anyhow::Result<T> {
        let deadline = Instant::now() + HANG_LIMIT;
        let mut output = String::new();
        loop {
            match self
                .lines
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) => {
                    if let Some(found) = wanted(&line) {
                        return Ok(found);
                    }
                    output.push_str(&line);
                    output.push('\n');
                }
                Err(RecvTimeoutError::Timeout) => {
                    bail!("the process is not ready after {HANG_LIMIT:?}; its output:\n{output}")
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.child.wait()?;
                    bail!("the process ended with {status}; its output:\n{output}");
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

    /// Requests the child's end, and waits for it.
    pub(crate) fn terminate(&mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait()
    }

    /// Waits until the child has ended.
    pub(crate) fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        let deadline = Instant::now() + HANG_LIMIT;
        loop {
            match self
                .lines
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(self.child.wait()?),
                Err(RecvTimeoutError::Timeout) => {
                    bail!("the process did not end within {HANG_LIMIT:?}")
                }
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if the child has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads to the end, so that a full pipe never blocks the child.
fn forward(stdout: impl BufRead, lines: &SyncSender<String>) {
    for line in stdout.lines() {
        let Ok(line) = line else { return };
        // If the channel is full, no reader is left.
        let _ = lines.try_send(line);
    }
}
