//! `streamgate_client::Client`, through the proxy.

use anyhow::Context;
use streamgate_client::{CacheError, Client, StreamingBackend};

use super::keep::keep;
use super::order::{Order, Outcome};
use super::streams::{MAXLEN, READ, READ_FROM, full, names, places};
use super::{Generator, payload};

mod group;
mod tail;
mod wait;

const FIRST: &str = "ordered before what was to be opened first";

pub(super) struct Load {
    url: String,
    exactly_once: bool,
    connections: Vec<Client>,
    tails: Vec<tail::Tails>,
    waits: Option<wait::Waits>,
    group: Option<group::Group>,
}

impl Load {
    pub(super) fn new(url: &str, exactly_once: bool) -> Self {
        Self {
            url: url.to_owned(),
            exactly_once,
            connections: Vec::new(),
            tails: Vec::new(),
            waits: None,
            group: None,
        }
    }

    async fn publish(&self, rate: f64, seconds: f64) -> anyhow::Result<Outcome> {
        let tails = self.tails.last().context(FIRST)?;
        tails.publish(rate, seconds).await
    }

    async fn connect(&mut self, wanted: usize) -> anyhow::Result<&[Client]> {
        while self.connections.len() < wanted {
            let builder = Client::builder(&self.url).exactly_once(self.exactly_once);
            let client = builder.connect().await.map_err(failed)?;
            self.connections.push(client);
        }
        Ok(&self.connections[..wanted])
    }
}

impl Generator for Load {
    async fn perform(&mut self, order: Order) -> anyhow::Result<Outcome> {
        match order {
            Order::Add {
                connections,
                depth,
                seconds,
            } => {
                let streams = names("bench:adds", connections);
                let value = payload::numbered(0);
                let connections = self.connect(connections).await?;
                let begin = |i: usize, to| add(to, &streams[i], &value);
                keep(connections, depth, seconds, begin).await
            }
            Order::Read {
                connections,
                depth,
                seconds,
            } => {
                let connections = self.connect(connections).await?;
                let mut places = places();
                keep(connections, depth, seconds, |_, from| read(from, places())).await
            }
            Order::Tail { tails } => {
                let stream = format!("bench:tails:{}", self.tails.len());
                let opened = tail::Tails::open(&self.url, stream, tails).await?;
                self.tails.push(opened);
                self.publish(1.0, 1.0).await
            }
            Order::Publish { rate, seconds } => self.publish(rate, seconds).await,
            Order::Wait { waits, connections } => {
                let connections = self.connect(connections + 1).await?;
                let waits = wait::Waits::begin(connections, waits).await?;
                self.waits = Some(waits);
                Ok(Outcome::default())
            }
            Order::Wake { times, rate } => match &mut self.waits {
                Some(waits) => waits.wake(times, rate).await,
                None => anyhow::bail!(FIRST),
            },
            Order::Consume {
                consumers,
                connections,
                how,
            } => {
                let connections = self.connect(connections + 1).await?;
                let group = group::Group::begin(connections, consumers, how).await?;
                self.group = Some(group);
                Ok(Outcome::default())
            }
            Order::Distribute { rate, seconds } => match &self.group {
                Some(group) => group.distribute(rate, seconds).await,
                None => anyhow::bail!(FIRST),
            },
        }
    }
}

async fn add(client: &Client, stream: &str, value: &str) -> anyhow::Result<()> {
    let fields = vec![("f".to_owned(), value.to_owned())];
    let added = client.stream_add(stream, fields, Some(MAXLEN)).await;
    added.map(drop).map_err(failed)
}

async fn read(client: &Client, after: String) -> anyhow::Result<()> {
    let read = client.stream_read(READ_FROM, &after, READ, None).await;
    full(read.map_err(failed)?.len())
}

fn failed(error: CacheError) -> anyhow::Error {
    anyhow::anyhow!("{error}")
}

/// The number in an entry's only value.
fn number((id, fields): &streamgate_client::StreamEntry) -> anyhow::Result<usize> {
    match &fields[..] {
        [(_, value)] => payload::number(value.as_bytes()),
        _ => anyhow::bail!("entry {id} has not one field"),
    }
}
