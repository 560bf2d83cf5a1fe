//! One Redis server and connections to it.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::{AsyncPushSender, MultiplexedConnection};
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisResult,
};
use streamgate_protocol::{CacheError, CacheResult};
use tokio::sync::{Notify, watch};

/// How long Redis may be silent before it is taken for hung. Nothing that is sent blocks inside
/// Redis, so only a command of enormous size, or someone else's, takes longer.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection may take to be made, its handshake included.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where Redis is and how to sign in.
#[derive(Clone)]
pub(crate) struct Endpoint {
    client: Client,
    moved: Arc<watch::Sender<()>>,
    doubted: Arc<Notify>,
}

impl Endpoint {
    /// Reads a `redis://` URL.
    pub(crate) fn new(url: &str) -> CacheResult<Self> {
        // The URL is not repeated in the error: it may hold a password.
        let wrong = |error| CacheError::ConfigError(format!("the URL of Redis is wrong: {error}"));
        let info = url.into_connection_info().map_err(wrong)?;
        // Pushes, and so news of a lost connection, exist in RESP3 only.
        let settings = info
            .redis_settings()
            .clone()
            .set_protocol(ProtocolVersion::RESP3);
        let info = info
            .set_redis_settings(settings)
            .set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let client = Client::open(info).map_err(wrong)?;
        Ok(Self {
            client,
            moved: Arc::default(),
            doubted: Arc::default(),
        })
    }

    pub(crate) fn info(&self) -> &ConnectionInfo {
        self.client.get_connection_info()
    }

    /// It has become a replica. After a failover its name may be that of the one that was promoted,
    /// though this one keeps its connections.
    pub(crate) fn suspect_failover(&self) {
        self.doubted.notify_one();
    }

    /// Ready when there is a doubt.
    pub(crate) async fn failover_suspected(&self) {
        self.doubted.notified().await;
    }

    /// The name of the server is that of another one by now: whoever is connected connects again.
    pub(crate) fn announce_new_master(&self) {
        self.moved.send_replace(());
    }

    /// Sees when it has moved.
    pub(crate) fn master_changes(&self) -> watch::Receiver<()> {
        self.moved.subscribe()
    }

    /// Host and port, without name and password.
    pub(crate) fn address(&self) -> String {
        self.info().addr().to_string()
    }

    /// Makes a connection that reports its pushes, and its end as one of them.
    pub(crate) async fn connect(
        &self,
        pushes: impl AsyncPushSender,
    ) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_push_sender(pushes);
        self.client
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }
}

impl Endpoint {
    /// Makes a connection for commands that block, which must not share it.
    pub(crate) async fn connect_for_blocking(&self) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_connection_timeout(Some(CONNECT_TIMEOUT));
        self.client
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }
}
