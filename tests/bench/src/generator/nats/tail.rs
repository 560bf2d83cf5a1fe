//! Many subscribers of one subject, whose messages a stream stores.

use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::connection::Connection;
use crate::generator::board::Board;
use crate::generator::order::Outcome;
use crate::generator::payload;
use crate::generator::streams::MAXLEN;

/// Connections opened at once: less than a listening socket's queue holds.
const OPENING: usize = 64;

pub(super) struct Tails {
    tails: usize,
    subject: String,
    /// Where a publication is acknowledged.
    inbox: String,
    publisher: Connection,
    board: Board,
}

impl Tails {
    /// Opens subscribers of the stream with a number, each on a connection of its own.
    pub(super) async fn open(url: &str, number: usize, tails: usize) -> anyhow::Result<Self> {
        let subject = format!("tails.{number}");
        let mut publisher = Connection::open(url).await?;
        let name = format!("TAILS{number}");
        let inbox = publisher.create_stream(&name, &subject, MAXLEN).await?;
        let board = Board::default();
        let connect = async || {
            let mut connection = Connection::open(url).await?;
            connection.subscribe(&subject)?;
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
            subject,
            inbox,
            publisher,
            board,
        })
    }

    pub(super) async fn publish(&mut self, rate: f64, seconds: f64) -> anyhow::Result<Outcome> {
        let (subject, inbox) = (&self.subject, &self.inbox);
        let publisher = tokio::sync::Mutex::new(&mut self.publisher);
        let publish = async |number| {
            let mut publisher = publisher.lock().await;
            publisher.publish(subject, inbox, &payload::numbered(number))?;
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
