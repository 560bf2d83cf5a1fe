//! This program again, as another process.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, anyhow, ensure};
use clap::ValueEnum;

use crate::generator::{Order, Outcome, Rival};

/// A load generator; it ends when this is dropped.
pub(crate) struct Generator(Own);

impl Generator {
    pub(crate) fn start(rival: Rival, url: &str) -> anyhow::Result<Self> {
        let name = rival.to_possible_value().context("a rival has a name")?;
        Own::start(&["generate", name.get_name(), url]).map(Self)
    }

    /// Gives an order and waits until it is done.
    pub(crate) fn perform(&mut self, order: &Order) -> anyhow::Result<Outcome> {
        writeln!(self.0.orders, "{}", serde_json::to_string(order)?)?;
        let outcome: Result<Outcome, String> = serde_json::from_str(&self.0.line()?)?;
        outcome.map_err(|error| anyhow!("{order:?}: {error}"))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.child.id()
    }
}

/// A bare WebSocket echo; it ends when this is dropped.
pub(crate) struct Echo {
    _own: Own,
    pub(crate) url: String,
}

impl Echo {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let mut own = Own::start(&["echo"])?;
        let url = own.line()?.trim().to_owned();
        Ok(Self { _own: own, url })
    }
}

/// Ends this process with its standard input, which is when the one that started it ends.
pub(crate) fn end_with_input() {
    std::thread::spawn(|| {
        // An error is an end as well.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
}

struct Own {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Own {
    fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = child.stdin.take().context("a child without an input")?;
        let answers = child.stdout.take().context("a child without an output")?;
        Ok(Self {
            child,
            orders,
            answers: BufReader::new(answers),
        })
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        ensure!(!line.is_empty(), "a process of the benchmark has ended");
        Ok(line)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // Both fail only if the child is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
