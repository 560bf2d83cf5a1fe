//! redis-rs on Redis, in its fastest setting on few processors: multiplexed connections without a
//! response timeout, on one thread.

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, IntoConnectionInfo};

use super::keep::keep;
use super::order::{Order, Outcome};
use super::streams::{MAXLEN, READ, READ_FROM, full, names, places};
use super::{Generator, no_counterpart, payload};

/// As `streamgate_client::Client` returns entries.
type Entries = Vec<(String, Vec<(String, String)>)>;

pub(super) struct Load {
    url: String,
    connections: Vec<MultiplexedConnection>,
}

impl Load {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            connections: Vec::new(),
        }
    }

    async fn connect(&mut self, wanted: usize) -> anyhow::Result<&[MultiplexedConnection]> {
        while self.connections.len() < wanted {
            self.connections.push(connect(&self.url).await?);
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
            order => no_counterpart(&order),
        }
    }
}

async fn connect(url: &str) -> anyhow::Result<MultiplexedConnection> {
    let tcp = TcpSettings::default().set_nodelay(true);
    let info = url.into_connection_info()?.set_tcp_settings(tcp);
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let client = redis::Client::open(info)?;
    Ok(client
        .get_multiplexed_async_connection_with_config(&config)
        .await?)
}

async fn add(connection: &MultiplexedConnection, stream: &str, value: &str) -> anyhow::Result<()> {
    let mut command = redis::cmd("XADD");
    command.arg(stream).arg("MAXLEN").arg("~");
    command.arg(MAXLEN).arg("*");
    command.arg("f").arg(value);
    let _id: String = command.query_async(&mut connection.clone()).await?;
    Ok(())
}

async fn read(connection: &MultiplexedConnection, after: String) -> anyhow::Result<()> {
    let mut command = redis::cmd("XREAD");
    command.arg("COUNT").arg(READ);
    command.arg("STREAMS").arg(READ_FROM).arg(after);
    let read: Vec<(String, Entries)> = command.query_async(&mut connection.clone()).await?;
    let entries = read.first().map_or(0, |(_, entries)| entries.len());
    full(entries)
}
