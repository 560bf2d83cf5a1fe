//! This program again, as a child process.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use anyhow::{Context, anyhow, ensure};
use clap::ValueEnum;

use crate::generator::{Command, Outcome, Target};

/// A load generator. It ends when this is dropped.
pub(crate) struct Generator(ChildProcess);

impl Generator {
    pub(crate) fn start(target: Target, url: &str) -> anyhow::Result<Self> {
        let name = target
            .to_possible_value()
            .context("a target without a name")?;
        ChildProcess::start(&["generate", name.get_name(), url]).map(Self)
    }

    /// Sends a command and waits until it is done.
    pub(crate) fn perform(&mut self, command: &Command) -> anyhow::Result<Outcome> {
        writeln!(self.0.commands, "{}", serde_json::to_string(command)?)?;
        let outcome: Result<Outcome, String> = serde_json::from_str(&self.0.line()?)?;
        outcome.map_err(|error| anyhow!("{command:?}: {error}"))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.child.id()
    }
}

/// A WebSocket echo server. It ends when this is dropped.
pub(crate) struct EchoServer {
    _process: ChildProcess,
    pub(crate) url: String,
}

impl EchoServer {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let mut process = ChildProcess::start(&["echo"])?;
        let url = process.line()?.trim().to_owned();
        Ok(Self {
            _process: process,
            url,
        })
    }
}

/// A TCP relay. It ends when this is dropped.
pub(crate) struct TcpRelay {
    _process: ChildProcess,
    address: String,
}

impl TcpRelay {
    pub(crate) fn start(target: &str) -> anyhow::Result<Self> {
        let mut process = ChildProcess::start(&["relay", target])?;
        let address = process.line()?.trim().to_owned();
        Ok(Self {
            _process: process,
            address,
        })
    }

    /// Returns the URL of the Redis behind this relay.
    pub(crate) fn redis_url(&self) -> String {
        format!("redis://{}", self.address)
    }
}

/// Ends this process when its standard input ends, which is when its parent process ends.
pub(crate) fn exit_with_stdin() {
    std::thread::spawn(|| {
        // An error is an end too.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
}

struct ChildProcess {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl ChildProcess {
    fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut child = std::process::Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let commands = child.stdin.take().context("a child without an input")?;
        let answers = child.stdout.take().context("a child without an output")?;
        Ok(Self {
            child,
            commands,
            answers: BufReader::new(answers),
        })
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        ensure!(
            !line.is_empty(),
            "a process of the benchmark has ended unexpectedly"
        );
        Ok(line)
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        // Both fail only if the child has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
