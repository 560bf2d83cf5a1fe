//! Many waits, each on a stream of its own.

use std::time::Instant;

use anyhow::Context;
use streamgate_client::Client;
use tokio::sync::mpsc;

use super::failed;
use crate::generator::command::Outcome;
use crate::generator::connection_pool::StreamConnection;
use crate::generator::streams::names;
use crate::generator::{payload, wakes};

pub(super) struct Waits {
    streams: Vec<String>,
    adder: Client,
    woken: mpsc::UnboundedReceiver<(usize, Instant)>,
}

impl Waits {
    /// Begins waits on all connections but the last, which adds.
    pub(super) async fn begin(connections: &[Client], waits: usize) -> anyhow::Result<Self> {
        let (adder, waiting) = connections.split_last().context("no connection")?;
        let streams = names("bench:waits", waits);
        let (sender, woken) = mpsc::unbounded_channel();
        for (i, stream) in streams.iter().enumerate() {
            let client = waiting[i % waiting.len()].clone();
            tokio::spawn(wait(client, stream.clone(), i, sender.clone()));
        }
        // A socket's operations begin in order, so the waits have begun once these adds are done.
        tokio::task::yield_now().await;
        for client in waiting {
            client.add("bench:barrier", "").await?;
        }
        Ok(Self {
            streams,
            adder: adder.clone(),
            woken,
        })
    }

    pub(super) async fn wake(&mut self, times: usize, rate: f64) -> anyhow::Result<Outcome> {
        let (adder, streams, woken) = (&self.adder, &self.streams, &mut self.woken);
        let value = payload::numbered(0);
        let wake = async |number: usize| {
            let add = adder.add(&streams[number], &value);
            let (added, woken) = tokio::join!(add, woken.recv());
            added?;
            woken.context("no wait is left")
        };
        wakes::run(streams.len(), times, rate, wake).await
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
