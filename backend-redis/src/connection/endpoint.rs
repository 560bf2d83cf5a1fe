//! A Redis server: its address, its credentials, and how connections to it are made.
//!
//! Two connections reach it: `resp/` opens the one for commands from the same settings, and the
//! hub opens its own here. Both report a suspected failover to this value and learn from it when a
//! new master was found under the same name.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::{AsyncPushSender, MultiplexedConnection};
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Client, ConnectionInfo, ProtocolVersion, RedisResult};
use streamgate_protocol::{CacheError, CacheResult};
use tokio::sync::{Notify, watch};

use crate::connection::url;
use crate::wire::commands;

/// Default [response time-out](crate::RedisStreamsBuilder::response_timeout): how long Redis may be
/// silent while a command is unanswered. No command blocks inside Redis, so only a command of
/// enormous size, or somebody else's, takes longer.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Default [connect time-out](crate::RedisStreamsBuilder::connect_timeout): how long opening a
/// connection may take, its handshake included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Default of [`RedisStreamsBuilder::client_name`](crate::RedisStreamsBuilder::client_name).
pub(crate) const CLIENT_NAME: &str = "streamgate";

/// `LIB-NAME` and `LIB-VER` of `CLIENT SETINFO`.
pub(crate) const LIBRARY: [&str; 2] = ["streamgate", env!("CARGO_PKG_VERSION")];

/// How connections are made, whatever their address.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionSettings {
    pub(crate) connect_timeout: Duration,
    pub(crate) response_timeout: Duration,
    /// Name in `CLIENT LIST`; empty for none.
    pub(crate) client_name: String,
}

/// Where Redis is, how to sign in, and whether a failover is suspected. Clones share everything.
#[derive(Clone)]
pub(crate) struct Endpoint {
    client: Client,
    settings: ConnectionSettings,
    master_changed: Arc<watch::Sender<()>>,
    suspected_failover: Arc<Notify>,
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        Self {
            connect_timeout: CONNECT_TIMEOUT,
            response_timeout: RESPONSE_TIMEOUT,
            client_name: CLIENT_NAME.to_owned(),
        }
    }
}

impl Endpoint {
    /// Parses a `redis://` URL.
    ///
    /// # Errors
    ///
    /// `CONFIG` for a URL or a client name that Redis cannot take. The error never repeats a
    /// password.
    pub(crate) fn new(url: &str, settings: ConnectionSettings) -> CacheResult<Self> {
        let name = &settings.client_name;
        // Redis's own rule.
        if !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(CacheError::ConfigError(format!(
                "invalid client name {name:?}: Redis takes printable ASCII without spaces"
            )));
        }
        let info = url::parse(url)?;
        // Invalidations, and the news that the hub's connection is lost, exist in RESP3 only.
        let redis_settings = info
            .redis_settings()
            .clone()
            .set_protocol(ProtocolVersion::RESP3)
            .set_lib_name(LIBRARY[0], LIBRARY[1]);
        let info = info
            .set_redis_settings(redis_settings)
            .set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let client = Client::open(info).map_err(|error| url::invalid(url, &error.to_string()))?;
        Ok(Self {
            client,
            settings,
            master_changed: Arc::default(),
            suspected_failover: Arc::default(),
        })
    }

    pub(crate) fn info(&self) -> &ConnectionInfo {
        self.client.get_connection_info()
    }

    pub(crate) const fn settings(&self) -> &ConnectionSettings {
        &self.settings
    }

    /// Returns host and port, without user name and password.
    pub(crate) fn address(&self) -> String {
        self.info().addr().to_string()
    }

    /// Reports that this Redis refused a write with `READONLY`: it is a replica. After a failover
    /// its name may belong to the promoted server, while the old one keeps its connections.
    pub(crate) fn suspect_failover(&self) {
        self.suspected_failover.notify_one();
    }

    /// Waits until a failover is suspected.
    pub(crate) async fn failover_suspected(&self) {
        self.suspected_failover.notified().await;
    }

    /// Reports that a new master was found under the same name: every connection reconnects.
    pub(crate) fn announce_new_master(&self) {
        self.master_changed.send_replace(());
    }

    /// Returns a receiver that changes whenever a new master is announced.
    pub(crate) fn master_changes(&self) -> watch::Receiver<()> {
        self.master_changed.subscribe()
    }

    /// Opens a connection that passes on what Redis pushes, and its own end as one of the pushes.
    pub(crate) async fn connect(
        &self,
        pushes: impl AsyncPushSender,
    ) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(Some(self.settings.response_timeout))
            .set_push_sender(pushes);
        self.open(config).await
    }

    /// Opens a connection for commands that block. It carries nothing else.
    pub(crate) async fn connect_for_blocking(&self) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        self.open(config).await
    }

    async fn open(&self, config: AsyncConnectionConfig) -> RedisResult<MultiplexedConnection> {
        let deadline = tokio::time::Instant::now() + self.settings.connect_timeout;
        let config = config.set_connection_timeout(Some(self.settings.connect_timeout));
        let mut connection = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        let mut naming = redis::pipe();
        commands::set_client_name(&mut naming, &self.settings.client_name);
        if !naming.is_empty() {
            // The name is part of the handshake, so it has the rest of its time. A refusal is among
            // the answers and changes nothing.
            let named = connection.send_packed_commands(&naming, 0, naming.len());
            tokio::time::timeout_at(deadline, named)
                .await
                .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
        }
        Ok(connection)
    }
}

impl fmt::Debug for Endpoint {
    /// Leaves out user name and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("address", &self.address())
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_name_that_redis_would_refuse_is_an_error() {
        let with_name = |name: &str| {
            let settings = ConnectionSettings {
                client_name: name.to_owned(),
                ..ConnectionSettings::default()
            };
            Endpoint::new("redis://127.0.0.1", settings).map(drop)
        };
        for name in ["", "orders", "orders-2:eu"] {
            assert_eq!(with_name(name), Ok(()), "{name:?}");
        }
        for name in ["two words", "line\n", "naïve"] {
            assert_eq!(with_name(name).unwrap_err().code(), "CONFIG", "{name:?}");
        }
    }

    #[test]
    fn debug_output_has_no_password() {
        let url = "redis://ann:hunter2@127.0.0.1:6379";
        let endpoint = Endpoint::new(url, ConnectionSettings::default()).unwrap();
        let debug = format!("{endpoint:?}");
        assert!(debug.contains("127.0.0.1:6379"), "{debug}");
        assert!(!debug.contains("hunter2"), "{debug}");
    }
}
