//! Many consumers of one group.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use futures_util::TryStreamExt;
use streamgate_client::{
    Client, ConsumeOptions, StreamEntry, StreamingBackend, SubscribingBackend,
};

use super::{add, failed, number};
use crate::generator::board::Board;
use crate::generator::order::{Outcome, Taking};
use crate::generator::payload;

const STREAM: &str = "bench:group";
const GROUP: &str = "g";

pub(super) struct Group {
    adder: Client,
    board: Board,
}

/// By number of the entry: has a consumer had it?
type Seen = Arc<Mutex<Vec<bool>>>;

impl Group {
    /// Begins consumers on all connections but the last, which is kept to add.
    pub(super) async fn begin(
        connections: &[Client],
        consumers: usize,
        how: Taking,
    ) -> anyhow::Result<Self> {
        let (adder, waiting) = connections.split_last().context("no connection")?;
        let created = adder.stream_create_group(STREAM, GROUP, "0").await;
        created.map_err(failed)?;
        let (board, seen) = (Board::default(), Seen::default());
        for i in 0..consumers {
            let consumer = Consumer {
                client: waiting[i % waiting.len()].clone(),
                name: format!("c{i}"),
                board: board.clone(),
                seen: Arc::clone(&seen),
            };
            tokio::spawn(consumer.run(how));
        }
        // Operations of one socket are begun in their order, so these tell that the consumers are.
        tokio::task::yield_now().await;
        for client in waiting {
            add(client, "bench:barrier", "").await?;
        }
        Ok(Self {
            adder: adder.clone(),
            board,
        })
    }

    pub(super) async fn distribute(&self, rate: f64, seconds: f64) -> anyhow::Result<Outcome> {
        let add = async |number| add(&self.adder, STREAM, &payload::numbered(number)).await;
        self.board.publish(rate, seconds, 1, add).await
    }
}

struct Consumer {
    client: Client,
    name: String,
    board: Board,
    seen: Seen,
}

impl Consumer {
    /// An error ends the consumer; what it misses then, others get, or it is seen as lost.
    async fn run(self, how: Taking) -> anyhow::Result<()> {
        match how {
            Taking::Pushed => {
                let options = ConsumeOptions {
                    batch: 1,
                    ..ConsumeOptions::default()
                };
                let mut deliveries = self.client.consume(STREAM, GROUP, &self.name, options);
                while let Some(entries) = deliveries.try_next().await.map_err(failed)? {
                    self.took(entries).await?;
                }
                Ok(())
            }
            Taking::Read => loop {
                let read = self
                    .client
                    .stream_read_group(STREAM, GROUP, &self.name, 1, Some(0));
                self.took(read.await.map_err(failed)?).await?;
            },
        }
    }

    async fn took(&self, entries: Vec<StreamEntry>) -> anyhow::Result<()> {
        for entry in &entries {
            let number = number(entry)?;
            self.board.arrived(number, was_seen(&self.seen, number));
        }
        let ids: Vec<_> = entries.into_iter().map(|(id, _)| id).collect();
        let ack = self.client.stream_ack(STREAM, GROUP, &ids);
        ack.await.map_err(failed)
    }
}

fn was_seen(seen: &Seen, number: usize) -> bool {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    if seen.len() <= number {
        seen.resize(number + 1, false);
    }
    std::mem::replace(&mut seen[number], true)
}
