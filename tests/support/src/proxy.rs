//! A `streamgate` server as a child process.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, ExitStatus};

use anyhow::Context;
use rustix::process::Signal;

use crate::binary;
use crate::process::Process;

/// What the server prints before its address when it is ready.
const READY: &str = "streamgate listening on ";

/// A running `streamgate serve`, on a free port of loopback.
#[derive(Debug)]
pub struct Proxy {
    process: Process,
    http_url: String,
}

impl Proxy {
    /// Starts the built command (see [`binary::streamgate`]) with further arguments, such as
    /// `["--redis", url]`.
    ///
    /// # Errors
    ///
    /// The command is missing, or ends, or does not listen in time. Its standard error is
    /// inherited.
    pub fn start<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> anyhow::Result<Self> {
        Self::start_binary(&binary::streamgate()?, args)
    }

    /// As [`start`](Self::start), with a command of your choice.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    pub fn start_binary<A: AsRef<OsStr>>(
        binary: &Path,
        args: impl IntoIterator<Item = A>,
    ) -> anyhow::Result<Self> {
        Self::start_command(&mut Command::new(binary), args)
    }

    /// As [`start`](Self::start), with a command to which the arguments are appended: one that sets
    /// limits first, or writes the server's standard error to a file.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    pub fn start_command<A: AsRef<OsStr>>(
        command: &mut Command,
        args: impl IntoIterator<Item = A>,
    ) -> anyhow::Result<Self> {
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(args);
        let mut process = Process::spawn(command)?;
        let http_url = process
            .wait_for(|line| {
                line.strip_prefix(READY)?
                    .split(' ')
                    .next()
                    .map(str::to_owned)
            })
            .with_context(|| {
                format!(
                    "{} did not start to listen",
                    command.get_program().display()
                )
            })?;
        let http_url = http_url.trim_end_matches('/').to_owned();
        Ok(Self { process, http_url })
    }

    /// Returns `http://127.0.0.1:PORT`.
    pub fn http_url(&self) -> &str {
        &self.http_url
    }

    /// Returns `ws://127.0.0.1:PORT/v1/ws`.
    pub fn ws_url(&self) -> String {
        format!("{}/v1/ws", self.http_url.replacen("http", "ws", 1))
    }

    /// Returns the process's id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Kills the server (`SIGKILL`).
    ///
    /// # Errors
    ///
    /// It cannot be waited for.
    pub fn kill(mut self) -> anyhow::Result<ExitStatus> {
        self.process.kill()
    }

    /// Requests a shutdown (`SIGTERM`) without waiting for it.
    ///
    /// # Errors
    ///
    /// It has ended, and was waited for.
    pub fn request_shutdown(&self) -> anyhow::Result<()> {
        self.process.signal(Signal::TERM)
    }

    /// Waits until the server has ended.
    ///
    /// # Errors
    ///
    /// It does not end within 20 s; it is killed then.
    pub fn wait(mut self) -> anyhow::Result<ExitStatus> {
        self.process.wait()
    }

    /// Stops the process (`SIGSTOP`): its connections stay open, and it answers nothing.
    ///
    /// # Errors
    ///
    /// It has ended, and was waited for.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.process.signal(Signal::STOP)
    }

    /// Continues the process (`SIGCONT`).
    ///
    /// # Errors
    ///
    /// It has ended, and was waited for.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.process.signal(Signal::CONT)
    }

    /// Requests a shutdown (`SIGTERM`), and waits until the server has ended.
    ///
    /// # Errors
    ///
    /// It does not end within 20 s; it is killed then.
    pub fn terminate(mut self) -> anyhow::Result<ExitStatus> {
        self.process.terminate()
    }
}
