//! `streamgate_client::Client`, through the proxy.

use anyhow::Context;
use streamgate_client::{CacheError, Client, StreamingBackend};

use super::command::{Command, Outcome};
use super::connection_pool::{ConnectionPool, StreamConnection};
use super::streams::{MAXLEN, READ, READ_FROM, check_full};
use super::{Generator, payload};

mod group;
mod tail;
mod wait;

const NOT_OPENED: &str = "the command needs tails, waits or consumers that no command has opened";

pub(super) struct StreamgateGenerator {
    pool: ConnectionPool<Client>,
    url: String,
    tails: Vec<tail::Tails>,
    waits: Option<wait::Waits>,
    group: Option<group::Group>,
}

/// How clients connect.
pub(super) struct ClientConfig {
    url: String,
    exactly_once: bool,
}

impl StreamgateGenerator {
    pub(super) fn new(url: String, exactly_once: bool) -> Self {
        Self {
            pool: ConnectionPool::new(ClientConfig {
                url: url.clone(),
                exactly_once,
            }),
            url,
            tails: Vec::new(),
            waits: None,
            group: None,
        }
    }

    async fn publish(&self, rate: f64, seconds: f64) -> anyhow::Result<Outcome> {
        let tails = self.tails.last().context(NOT_OPENED)?;
        tails.publish(rate, seconds).await
    }
}

impl Generator for StreamgateGenerator {
    async fn perform(&mut self, command: Command) -> anyhow::Result<Outcome> {
        match command {
            Command::Add {
                connections,
                depth,
                seconds,
            } => self.pool.run_adds(connections, depth, seconds).await,
            Command::Read {
                connections,
                depth,
                seconds,
            } => self.pool.run_reads(connections, depth, seconds).await,
            Command::Tail { tails } => {
                let stream = format!("bench:tails:{}", self.tails.len());
                let opened = tail::Tails::open(&self.url, stream, tails).await?;
                self.tails.push(opened);
                self.publish(1.0, 1.0).await
            }
            Command::Publish { rate, seconds } => self.publish(rate, seconds).await,
            Command::Wait { waits, connections } => {
                let connections = self.pool.connect(connections + 1).await?;
                let waits = wait::Waits::begin(connections, waits).await?;
                self.waits = Some(waits);
                Ok(Outcome::default())
            }
            Command::Wake { times, rate } => match &mut self.waits {
                Some(waits) => waits.wake(times, rate).await,
                None => anyhow::bail!(NOT_OPENED),
            },
            Command::Consume {
                consumers,
                connections,
                mode,
            } => {
                let connections = self.pool.connect(connections + 1).await?;
                let group = group::Group::begin(connections, consumers, mode).await?;
                self.group = Some(group);
                Ok(Outcome::default())
            }
            Command::Distribute { rate, seconds } => match &self.group {
                Some(group) => group.distribute(rate, seconds).await,
                None => anyhow::bail!(NOT_OPENED),
            },
        }
    }
}

impl StreamConnection for Client {
    type Config = ClientConfig;

    async fn open(config: &ClientConfig) -> anyhow::Result<Self> {
        let builder = Self::builder(&config.url).exactly_once(config.exactly_once);
        builder.connect().await.map_err(failed)
    }

    async fn add(&self, stream: &str, value: &str) -> anyhow::Result<()> {
        let fields = vec![("f".to_owned(), value.to_owned())];
        let added = self.stream_add(stream, fields, Some(MAXLEN)).await;
        added.map(drop).map_err(failed)
    }

    async fn read(&self, after: String) -> anyhow::Result<()> {
        let read = self.stream_read(READ_FROM, &after, READ, None).await;
        check_full(read.map_err(failed)?.len())
    }
}

fn failed(error: CacheError) -> anyhow::Error {
    anyhow::anyhow!("{error}")
}

/// Returns the number in an entry's only value.
fn number(
    streamgate_client::Entry { id, fields, .. }: &streamgate_client::Entry,
) -> anyhow::Result<usize> {
    match &fields[..] {
        [(_, value)] => payload::number(value),
        _ => anyhow::bail!("entry {id} has {} fields instead of one", fields.len()),
    }
}
