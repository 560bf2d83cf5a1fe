//! Many tails of one stream.

use futures_util::stream::{self, StreamExt, TryStreamExt};
use streamgate_client::{Client, SubscribingBackend, Tail, TailFrom, TailItem};

use super::{add, failed, number};
use crate::generator::board::Board;
use crate::generator::order::Outcome;
use crate::generator::payload;

/// Connections opened at once: less than a listening socket's queue holds.
const OPENING: usize = 64;

pub(super) struct Tails {
    tails: usize,
    stream: String,
    publisher: Client,
    board: Board,
}

impl Tails {
    /// Opens tails of a stream, each on a connection of its own.
    pub(super) async fn open(url: &str, stream: String, tails: usize) -> anyhow::Result<Self> {
        let connect = async || {
            let client = Client::connect(url).await.map_err(failed)?;
            let tail = tail(&client, &stream).await?;
            anyhow::Ok((client, tail))
        };
        let publisher = Client::connect(url).await.map_err(failed)?;
        let board = Board::default();
        let clients = stream::iter((0..tails).map(|_| connect())).buffer_unordered(OPENING);
        let receive = |(client, tail)| {
            tokio::spawn(receive(client, tail, board.clone()));
            async { Ok(()) }
        };
        clients.try_for_each(receive).await?;
        Ok(Self {
            tails,
            stream,
            publisher,
            board,
        })
    }

    pub(super) async fn publish(&self, rate: f64, seconds: f64) -> anyhow::Result<Outcome> {
        let add =
            async |number| add(&self.publisher, &self.stream, &payload::numbered(number)).await;
        self.board.publish(rate, seconds, self.tails, add).await
    }
}

/// All entries of the stream from its beginning, as they come, once the tail stands.
async fn tail(client: &Client, stream: &str) -> anyhow::Result<Tail> {
    let mut tail = client.tail(stream, TailFrom::Beginning);
    let first = tail.try_next().await.map_err(failed)?;
    anyhow::ensure!(first.is_some(), "a tail ended before it began");
    Ok(tail)
}

/// An error ends the tail; what it misses then is seen as lost.
async fn receive(_connected: Client, mut tail: Tail, board: Board) -> anyhow::Result<()> {
    let mut next = 0;
    while let Some(item) = tail.try_next().await.map_err(failed)? {
        let TailItem::Entries { entries, .. } = item else {
            anyhow::bail!("nothing is trimmed here: {item:?}");
        };
        for entry in &entries {
            let number = number(entry)?;
            board.arrived(number, number != next);
            next = number + 1;
        }
    }
    Ok(())
}
