//! Many waits, each on a stream of its own.

use std::time::Instant;

use anyhow::Context;
use streamgate_client::Client;
use tokio::sync::mpsc;

use super::{add, failed};
use crate::generator::order::Outcome;
use crate::generator::streams::{WAKE_STEP, names};
use crate::generator::{keep, pace, payload};
use crate::statistics::Times;

pub(super) struct Waits {
    streams: Vec<String>,
    adder: Client,
    woken: mpsc::UnboundedReceiver<(usize, Instant)>,
}

impl Waits {
    /// Begins waits on all connections but the last, which is kept to wake them.
    pub(super) async fn begin(connections: &[Client], waits: usize) -> anyhow::Result<Self> {
        let (adder, waiting) = connections.split_last().context("no connection")?;
        let streams = names("bench:waits", waits);
        let (sender, woken) = mpsc::unbounded_channel();
        for (i, stream) in streams.iter().enumerate() {
            let client = waiting[i % waiting.len()].clone();
            tokio::spawn(wait(client, stream.clone(), i, sender.clone()));
        }
        // Operations of one socket are begun in their order, so these tell that the waits are.
        tokio::task::yield_now().await;
        for client in waiting {
            add(client, "bench:barrier", "").await?;
        }
        Ok(Self {
            streams,
            adder: adder.clone(),
            woken,
        })
    }

    /// Wakes one after the other; a time is from the call of the add to the end of the wait.
    pub(super) async fn wake(&mut self, times: usize, rate: f64) -> anyhow::Result<Outcome> {
        let (start, mut ticks) = (Instant::now(), pace::ticks(rate));
        let (mut wakes, mut wrong) = (Times::default(), 0.0);
        let value = payload::numbered(0);
        for turn in 1..=times {
            ticks.tick().await;
            let i = turn * WAKE_STEP % self.streams.len();
            let added = Instant::now();
            let add = add(&self.adder, &self.streams[i], &value);
            let (add, woken) = tokio::join!(add, self.woken.recv());
            add?;
            let (which, at) = woken.context("no wait is left")?;
            wakes.push(at.duration_since(added));
            wrong += f64::from(u8::from(which != i));
        }
        Ok(Outcome {
            wrong,
            pace: pace::reached(times, rate, start.into()),
            ..keep::outcome(wakes, start)
        })
    }
}

async fn wait(
    client: Client,
    stream: String,
    i: usize,
    woken: mpsc::UnboundedSender<(usize, Instant)>,
) -> anyhow::Result<()> {
    let mut after = "$".to_owned();
    loop {
        let read = client.read_batch(&stream, &after, 1, Some(0)).await;
        woken.send((i, Instant::now()))?;
        after = read.map_err(failed)?.last_id;
    }
}
