//! A load generator: a process of its own, so that its processor time is not counted as a server's.
//!
//! It reads commands as lines of JSON on standard input and answers each with a line. What a
//! command opens (connections, waits, subscriptions) stays open until the process ends.

use std::io::{BufRead, Write};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

mod bare_client;
mod closed_loop;
mod command;
mod connection_pool;
mod delivery_recorder;
mod echo_client;
mod nats;
mod payload;
mod pipelined_adds;
mod rate;
mod redis;
mod socket;
mod streamgate;
mod streams;
mod wakes;

pub(crate) use command::{Command, ConsumeMode, Outcome};
pub(crate) use streams::{READ_FROM, READABLE};

/// The static token of generators.
pub(crate) const TOKEN: &str = "the token of a load generator";

/// What a generator puts load on, and through which client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub(crate) enum Target {
    /// The proxy, through `streamgate_client::Client` with its defaults: adds are idempotent
    Streamgate,
    /// The same with plain adds, as the others' are
    StreamgatePlain,
    /// The proxy, in its protocol but without its client
    StreamgateBare,
    /// The same, with a token
    StreamgateToken,
    /// Redis itself, through redis-rs
    Redis,
    /// NATS, on its own WebSocket
    Nats,
    /// A WebSocket echo server
    Echo,
}

/// Serves commands until standard input ends. One thread: on few processors, a second one for a
/// client costs more in waking each other than it gives.
pub(crate) fn run(target: Target, url: &str) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let commands = read_commands();
    let url = url.to_owned();
    runtime.block_on(async {
        match target {
            Target::Streamgate => {
                serve(streamgate::StreamgateGenerator::new(url, true), commands).await
            }
            Target::StreamgatePlain => {
                serve(streamgate::StreamgateGenerator::new(url, false), commands).await
            }
            Target::StreamgateBare => {
                serve(bare_client::BareGenerator::new(url, None), commands).await
            }
            Target::StreamgateToken => {
                serve(bare_client::BareGenerator::new(url, Some(TOKEN)), commands).await
            }
            Target::Redis => serve(redis::RedisGenerator::new(url), commands).await,
            Target::Nats => serve(nats::NatsGenerator::new(url), commands).await,
            Target::Echo => serve(echo_client::EchoGenerator(url), commands).await,
        }
    })
}

/// Performs commands, as far as its target has a counterpart.
trait Generator {
    async fn perform(&mut self, command: Command) -> anyhow::Result<Outcome>;
}

async fn serve(
    mut generator: impl Generator,
    mut commands: mpsc::UnboundedReceiver<String>,
) -> anyhow::Result<()> {
    while let Some(line) = commands.recv().await {
        // Unconstrained: tokio's cooperative budget would break up batches that came together.
        let work = tokio::task::unconstrained(generator.perform(serde_json::from_str(&line)?));
        let outcome = work.await.map_err(|error| format!("{error:#}"));
        println!("{}", serde_json::to_string(&outcome)?);
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// Reads commands on a thread of its own, because tasks have to run meanwhile. The process ends
/// with its input, also during a command: the process that sent it is gone.
fn read_commands() -> mpsc::UnboundedReceiver<String> {
    let (sender, commands) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            if sender.send(line).is_err() {
                break;
            }
        }
        std::process::exit(0);
    });
    commands
}

fn unsupported<T>(command: &Command) -> anyhow::Result<T> {
    anyhow::bail!("this target does not support {command:?}")
}
