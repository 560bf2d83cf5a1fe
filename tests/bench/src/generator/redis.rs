//! redis-rs on Redis, in its fastest configuration on few processors: multiplexed connections
//! without a response timeout, on one thread.

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, IntoConnectionInfo};

use super::command::{Command, Outcome};
use super::connection_pool::{ConnectionPool, StreamConnection};
use super::streams::{MAXLEN, READ, READ_FROM, check_full};
use super::{Generator, unsupported};

/// As `streamgate_client::Client` returns entries.
type Entries = Vec<(String, Vec<(String, String)>)>;

pub(super) struct RedisGenerator(ConnectionPool<MultiplexedConnection>);

impl RedisGenerator {
    pub(super) fn new(url: String) -> Self {
        Self(ConnectionPool::new(url))
    }
}

impl Generator for RedisGenerator {
    async fn perform(&mut self, command: Command) -> anyhow::Result<Outcome> {
        match command {
            Command::Add {
                connections,
                depth,
                seconds,
            } => self.0.run_adds(connections, depth, seconds).await,
            Command::Read {
                connections,
                depth,
                seconds,
            } => self.0.run_reads(connections, depth, seconds).await,
            command => unsupported(&command),
        }
    }
}

impl StreamConnection for MultiplexedConnection {
    type Config = String;

    async fn open(url: &String) -> anyhow::Result<Self> {
        let tcp = TcpSettings::default().set_nodelay(true);
        let info = url.as_str().into_connection_info()?.set_tcp_settings(tcp);
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let client = redis::Client::open(info)?;
        Ok(client
            .get_multiplexed_async_connection_with_config(&config)
            .await?)
    }

    async fn add(&self, stream: &str, value: &str) -> anyhow::Result<()> {
        let mut command = redis::cmd("XADD");
        command.arg(stream).arg("MAXLEN").arg("~");
        command.arg(MAXLEN).arg("*");
        command.arg("f").arg(value);
        let _id: String = command.query_async(&mut self.clone()).await?;
        Ok(())
    }

    async fn read(&self, after: String) -> anyhow::Result<()> {
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(READ);
        command.arg("STREAMS").arg(READ_FROM).arg(after);
        let read: Vec<(String, Entries)> = command.query_async(&mut self.clone()).await?;
        let entries = read.first().map_or(0, |(_, entries)| entries.len());
        check_full(entries)
    }
}
