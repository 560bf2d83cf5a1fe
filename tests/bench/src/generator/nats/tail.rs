//! Many subscribers of one subject, whose messages a stream stores.

use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::connection::Connection;
use crate::generator::board::Board;
use crate::generator::order::Outcome;
use crate::generator::payload;
use crate::generator::streams::MAXLEN;

const SUBJECT: &str = "tails";

/// Connections opened at once: less than a listening socket's queue holds.
const OPENING: usize = 64;

pub(super) struct Tails {
    tails: usize,
    publisher: Connection,
    board: Board,
}

impl Tails {
    /// Opens subscribers, each on a connection of its own.
    pub(super) async fn open(url: &str, tails: usize) -> anyhow::Result<Self> {
        let mut publisher = Connection::open(url).await?;
        publisher.create_stream("TAILS", SUBJECT, MAXLEN).await?;
        let board = Board::default();
        let connect = async || {
            let mut connection = Connection::open(url).await?;
            connection.subscribe(SUBJECT)?;
            connection.settle().await?;
            anyhow::Ok(connection)
        };
        let connections = stream::iter((0..tails).map(|_| connect())).buffer_unordered(OPENING);
        let receive = |connection| {
            tokio::spawn(receive(connection, board.clone()));
            async { Ok(()) }
        };
        connections.try_for_each(receive).await?;
        Ok(Self {
            tails,
            publisher,
            board,
        })
    }

    pub(super) async fn publish(&mut self, rate: f64, seconds: f64) -> anyhow::Result<Outcome> {
        let publisher = tokio::sync::Mutex::new(&mut self.publisher);
        let publish = async |number| {
            let mut publisher = publisher.lock().await;
            publisher.publish(SUBJECT, "created.TAILS", &payload::numbered(number))?;
            publisher.flush().await?;
            // The acknowledgement, as an add is answered.
            publisher.receive(|_, _| Ok(())).await
        };
        self.board.publish(rate, seconds, self.tails, publish).await
    }
}

/// An error ends the subscriber; what it misses then is seen as lost.
async fn receive(mut connection: Connection, board: Board) -> anyhow::Result<()> {
    let mut next = 0;
    loop {
        connection
            .receive(|_, value| {
                let number = payload::number(value)?;
                board.arrived(number, number != next);
                next = number + 1;
                Ok(())
            })
            .await?;
    }
}
