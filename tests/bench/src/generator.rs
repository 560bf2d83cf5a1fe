//! A load generator: a process by itself, so that its work is not counted as another's.
//!
//! It reads orders as lines of JSON on standard input and answers each with a line. What an order
//! opened (connections, waits, subscriptions) stays open until the process ends.

use std::io::{BufRead, Write};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

mod bare;
mod board;
mod echo;
mod keep;
mod nats;
mod order;
mod pace;
mod payload;
mod redis;
mod slots;
mod socket;
mod streamgate;
mod streams;

pub(crate) use order::{Order, Outcome, Taking};
pub(crate) use streams::{READ_FROM, READABLE};

/// What a generator talks to, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub(crate) enum Rival {
    /// `streamgate_client::Client`, through the proxy; its adds are plain ones, as the others' are
    Streamgate,
    /// The same, with adds that are done once
    StreamgateOnce,
    /// Its protocol without that client, through the proxy
    StreamgateBare,
    /// redis-rs, on Redis itself
    Redis,
    /// NATS's protocol, on its own WebSocket
    Nats,
    /// A WebSocket that only sends back
    Echo,
}

/// Serves orders until standard input ends. One thread: on few processors, a second one for a
/// client costs more in waking each other than it gives.
pub(crate) fn run(rival: Rival, url: &str) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let orders = read_orders();
    runtime.block_on(async {
        match rival {
            Rival::Streamgate => serve(streamgate::Load::new(url, false), orders).await,
            Rival::StreamgateOnce => serve(streamgate::Load::new(url, true), orders).await,
            Rival::StreamgateBare => serve(bare::Load::new(url), orders).await,
            Rival::Redis => serve(redis::Load::new(url), orders).await,
            Rival::Nats => serve(nats::Load::new(url), orders).await,
            Rival::Echo => serve(echo::Load::new(url), orders).await,
        }
    })
}

/// Does what is ordered, as far as the rival has a counterpart.
trait Generator {
    async fn perform(&mut self, order: Order) -> anyhow::Result<Outcome>;
}

async fn serve(
    mut generator: impl Generator,
    mut orders: mpsc::UnboundedReceiver<String>,
) -> anyhow::Result<()> {
    while let Some(line) = orders.recv().await {
        // Unconstrained: tokio's cooperative budget would break up batches that came together.
        let work = tokio::task::unconstrained(generator.perform(serde_json::from_str(&line)?));
        let outcome = work.await.map_err(|error| format!("{error:#}"));
        println!("{}", serde_json::to_string(&outcome)?);
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// A thread reads, for tasks have to go on meanwhile. With its input the process ends, also in the
/// middle of an order: whoever gave it has gone.
fn read_orders() -> mpsc::UnboundedReceiver<String> {
    let (sender, orders) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            if sender.send(line).is_err() {
                break;
            }
        }
        std::process::exit(0);
    });
    orders
}

fn no_counterpart<T>(order: &Order) -> anyhow::Result<T> {
    anyhow::bail!("this rival has no counterpart of {order:?}")
}
