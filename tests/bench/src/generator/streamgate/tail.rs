//! Many tails of one stream.

use futures_util::stream::{self, StreamExt, TryStreamExt};
use streamgate_client::{Client, SubscribingBackend, Tail, TailFrom, TailItem};

use super::{failed, number};
use crate::generator::command::Outcome;
use crate::generator::connection_pool::StreamConnection;
use crate::generator::delivery_recorder::DeliveryRecorder;
use crate::generator::payload;

/// Connections opened at once: fewer than a listening socket's queue holds.
const OPENING: usize = 64;

pub(super) struct Tails {
    tails: usize,
    stream: String,
    publisher: Client,
    recorder: DeliveryRecorder,
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
        let recorder = DeliveryRecorder::default();
        let clients = stream::iter((0..tails).map(|_| connect())).buffer_unordered(OPENING);
        let receive = |(client, tail)| {
            tokio::spawn(receive(client, tail, recorder.clone()));
            async { Ok(()) }
        };
        clients.try_for_each(receive).await?;
        Ok(Self {
            tails,
            stream,
            publisher,
            recorder,
        })
    }

    pub(super) async fn publish(&self, rate: f64, seconds: f64) -> anyhow::Result<Outcome> {
        let add = async |number| {
            self.publisher
                .add(&self.stream, &payload::numbered(number))
                .await
        };
        self.recorder.publish(rate, seconds, self.tails, add).await
    }
}

/// Opens a tail of the whole stream, and waits for its first item.
async fn tail(client: &Client, stream: &str) -> anyhow::Result<Tail> {
    let mut tail = client.tail(stream, TailFrom::Beginning);
    let first = tail.try_next().await.map_err(failed)?;
    anyhow::ensure!(first.is_some(), "a tail ended before its first item");
    Ok(tail)
}

/// An error ends the tail. The entries that it misses then count as lost.
async fn receive(
    _connected: Client,
    mut tail: Tail,
    recorder: DeliveryRecorder,
) -> anyhow::Result<()> {
    let mut next = 0;
    while let Some(item) = tail.try_next().await.map_err(failed)? {
        let TailItem::Entries { entries, .. } = item else {
            anyhow::bail!("a gap in a stream that nobody trims: {item:?}");
        };
        for entry in &entries {
            let number = number(entry)?;
            recorder.record_arrival(number, number != next);
            next = number + 1;
        }
    }
    Ok(())
}
