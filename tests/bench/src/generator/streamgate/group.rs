//! Many consumers of one group.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use streamgate_client::{Client, StreamingBackend};

use super::{add, failed, number};
use crate::generator::board::Board;
use crate::generator::order::Outcome;
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
    pub(super) async fn begin(connections: &[Client], consumers: usize) -> anyhow::Result<Self> {
        let (adder, waiting) = connections.split_last().context("no connection")?;
        let created = adder.stream_create_group(STREAM, GROUP, "0").await;
        created.map_err(failed)?;
        let (board, seen) = (Board::default(), Seen::default());
        for i in 0..consumers {
            let client = waiting[i % waiting.len()].clone();
            let consumer = format!("c{i}");
            tokio::spawn(consume(client, consumer, board.clone(), Arc::clone(&seen)));
        }
        // Operations of one socket are begun in their order, so these tell that the reads are.
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

/// An error ends the consumer; what it misses then, others get, or it is seen as lost.
async fn consume(client: Client, consumer: String, board: Board, seen: Seen) -> anyhow::Result<()> {
    loop {
        let read = client.stream_read_group(STREAM, GROUP, &consumer, 1, Some(0));
        let entries = read.await.map_err(failed)?;
        for entry in &entries {
            let number = number(entry)?;
            board.arrived(number, was_seen(&seen, number));
        }
        let ids: Vec<_> = entries.into_iter().map(|(id, _)| id).collect();
        let ack = client.stream_ack(STREAM, GROUP, &ids);
        ack.await.map_err(failed)?;
    }
}

fn was_seen(seen: &Seen, number: usize) -> bool {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    if seen.len() <= number {
        seen.resize(number + 1, false);
    }
    std::mem::replace(&mut seen[number], true)
}
