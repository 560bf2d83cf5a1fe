//! Many subscribers of one subject. A stream stores the messages.

use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::connection::Connection;
use crate::generator::command::Outcome;
use crate::generator::delivery_recorder::DeliveryRecorder;
use crate::generator::payload;
use crate::generator::streams::MAXLEN;

/// Connections opened at once: fewer than a listening socket's queue holds.
const OPENING: usize = 64;

pub(super) struct Tails {
    tails: usize,
    subject: String,
    /// The subject of acknowledgements.
    inbox: String,
    publisher: Connection,
    recorder: DeliveryRecorder,
}

impl Tails {
    /// Opens subscribers of a new stream, each on a connection of its own.
    pub(super) async fn open(url: &str, number: usize, tails: usize) -> anyhow::Result<Self> {
        let subject = format!("tails.{number}");
        let mut publisher = Connection::open(url).await?;
        let name = format!("TAILS{number}");
        let inbox = publisher.create_stream(&name, &subject, MAXLEN).await?;
        let recorder = DeliveryRecorder::default();
        let connect = async || {
            let mut connection = Connection::open(url).await?;
            connection.subscribe(&subject)?;
            connection.round_trip().await?;
            anyhow::Ok(connection)
        };
        let connections = stream::iter((0..tails).map(|_| connect())).buffer_unordered(OPENING);
        let receive = |connection| {
            tokio::spawn(receive(connection, recorder.clone()));
            async { Ok(()) }
        };
        connections.try_for_each(receive).await?;
        Ok(Self {
            tails,
            subject,
            inbox,
            publisher,
            recorder,
        })
    }

    pub(super) async fn publish(&mut self, rate: f64, seconds: f64) -> anyhow::Result<Outcome> {
        let (subject, inbox) = (&self.subject, &self.inbox);
        let publisher = tokio::sync::Mutex::new(&mut self.publisher);
        let publish = async |number| {
            let mut publisher = publisher.lock().await;
            publisher.publish(subject, inbox, &payload::numbered(number))?;
            publisher.flush().await?;
            // The acknowledgement, the counterpart of an add's reply.
            publisher.receive(|_, _| Ok(())).await
        };
        self.recorder
            .publish(rate, seconds, self.tails, publish)
            .await
    }
}

/// An error ends the subscriber. The entries that it misses then count as lost.
async fn receive(mut connection: Connection, recorder: DeliveryRecorder) -> anyhow::Result<()> {
    let mut next = 0;
    loop {
        connection
            .receive(|_, value| {
                let number = payload::number(value)?;
                recorder.record_arrival(number, number != next);
                next = number + 1;
                Ok(())
            })
            .await?;
    }
}
