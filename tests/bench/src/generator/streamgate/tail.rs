//! Many tails of one stream.

use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use streamgate_client::{CacheResult, Client, StreamEntry};

use super::{add, failed, number};
use crate::generator::board::Board;
use crate::generator::order::Outcome;
use crate::generator::payload;

const STREAM: &str = "bench:tails";

/// Connections opened at once: less than a listening socket's queue holds.
const OPENING: usize = 64;

/// Entries that one read of a tail brings at most.
const BATCH: usize = 100;

pub(super) struct Tails {
    tails: usize,
    publisher: Client,
    board: Board,
}

impl Tails {
    /// Opens tails, each on a connection of its own.
    pub(super) async fn open(url: &str, tails: usize) -> anyhow::Result<Self> {
        let connect = async || Client::connect(url).await.map_err(failed);
        let publisher = connect().await?;
        let board = Board::default();
        let clients = stream::iter((0..tails).map(|_| connect())).buffer_unordered(OPENING);
        let receive = |client| {
            tokio::spawn(receive(tail(client), board.clone()));
            async { Ok(()) }
        };
        clients.try_for_each(receive).await?;
        Ok(Self {
            tails,
            publisher,
            board,
        })
    }

    pub(super) async fn publish(&self, rate: f64, seconds: f64) -> anyhow::Result<Outcome> {
        let add = async |number| add(&self.publisher, STREAM, &payload::numbered(number)).await;
        self.board.publish(rate, seconds, self.tails, add).await
    }
}

/// All entries of the stream from its beginning, as they come: the one place to change for
/// another way to tail.
fn tail(client: Client) -> BoxStream<'static, CacheResult<Vec<StreamEntry>>> {
    let read = async |(client, after): (Client, String)| {
        let batch = client.read_batch(STREAM, &after, BATCH, Some(0)).await?;
        Ok(Some((batch.entries, (client, batch.last_id))))
    };
    stream::try_unfold((client, "0".to_owned()), read).boxed()
}

/// An error ends the tail; what it misses then is seen as lost.
async fn receive(
    mut tail: BoxStream<'static, CacheResult<Vec<StreamEntry>>>,
    board: Board,
) -> anyhow::Result<()> {
    let mut next = 0;
    while let Some(entries) = tail.try_next().await.map_err(failed)? {
        for entry in &entries {
            let number = number(entry)?;
            board.arrived(number, number != next);
            next = number + 1;
        }
    }
    Ok(())
}
