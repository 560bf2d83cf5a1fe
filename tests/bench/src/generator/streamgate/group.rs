//! Many consumers of one group.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use futures_util::TryStreamExt;
use streamgate_client::{Client, ConsumeOptions, Entry, StreamingBackend, SubscribingBackend};

use super::{failed, number};
use crate::generator::command::{ConsumeMode, Outcome};
use crate::generator::connection_pool::StreamConnection;
use crate::generator::delivery_recorder::DeliveryRecorder;
use crate::generator::payload;

const STREAM: &str = "bench:group";
const GROUP: &str = "g";

pub(super) struct Group {
    adder: Client,
    recorder: DeliveryRecorder,
}

/// By number of the entry: whether a consumer has got it.
type Seen = Arc<Mutex<Vec<bool>>>;

impl Group {
    /// Begins consumers on all connections but the last, which adds.
    pub(super) async fn begin(
        connections: &[Client],
        consumers: usize,
        mode: ConsumeMode,
    ) -> anyhow::Result<Self> {
        let (adder, waiting) = connections.split_last().context("no connection")?;
        let created = adder.stream_create_group(STREAM, GROUP, "0").await;
        created.map_err(failed)?;
        let (recorder, seen) = (DeliveryRecorder::default(), Seen::default());
        for i in 0..consumers {
            let consumer = Consumer {
                client: waiting[i % waiting.len()].clone(),
                name: format!("c{i}"),
                recorder: recorder.clone(),
                seen: Arc::clone(&seen),
            };
            tokio::spawn(consumer.run(mode));
        }
        // A socket's operations begin in order, so the consumers have begun once these adds are
        // done.
        tokio::task::yield_now().await;
        for client in waiting {
            client.add("bench:barrier", "").await?;
        }
        Ok(Self {
            adder: adder.clone(),
            recorder,
        })
    }

    pub(super) async fn distribute(&self, rate: f64, seconds: f64) -> anyhow::Result<Outcome> {
        let add = async |number| self.adder.add(STREAM, &payload::numbered(number)).await;
        self.recorder.publish(rate, seconds, 1, add).await
    }
}

struct Consumer {
    client: Client,
    name: String,
    recorder: DeliveryRecorder,
    seen: Seen,
}

impl Consumer {
    /// An error ends the consumer. The entries that it misses then go to others, or count as lost.
    async fn run(self, mode: ConsumeMode) -> anyhow::Result<()> {
        match mode {
            ConsumeMode::Subscription => {
                let options = ConsumeOptions::default().batch(1);
                let mut deliveries = self.client.consume(STREAM, GROUP, &self.name, options);
                while let Some(entries) = deliveries.try_next().await.map_err(failed)? {
                    self.process(entries).await?;
                }
                Ok(())
            }
            ConsumeMode::GroupReads => loop {
                let read = self
                    .client
                    .stream_read_group(STREAM, GROUP, &self.name, 1, Some(0));
                let entries = read.await.map_err(failed)?.into_iter();
                self.process(entries.map(Entry::from).collect()).await?;
            },
        }
    }

    async fn process(&self, entries: Vec<Entry>) -> anyhow::Result<()> {
        for entry in &entries {
            let number = number(entry)?;
            self.recorder
                .record_arrival(number, mark_seen(&self.seen, number));
        }
        let ids: Vec<_> = entries.into_iter().map(|entry| entry.id).collect();
        let ack = self.client.stream_ack(STREAM, GROUP, &ids);
        ack.await.map_err(failed)
    }
}

/// Marks an entry as seen. Returns whether it was seen before.
fn mark_seen(seen: &Seen, number: usize) -> bool {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    if seen.len() <= number {
        seen.resize(number + 1, false);
    }
    std::mem::replace(&mut seen[number], true)
}
