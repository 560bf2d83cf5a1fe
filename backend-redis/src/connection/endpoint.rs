//! A Redis server: its address or its Sentinels, its credentials, and how connections to it are made.
//!
//! `resp/open.rs` opens connections with these settings. Whoever receives the answer of a replica
//! reports a suspected failover to this value.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::ConnectionInfo;
use streamgate_backend::BackendCounters;
use streamgate_backend::memory_budget::MemoryBudget;
use streamgate_protocol::{CacheError, CacheResult};
use tokio::sync::Notify;

use crate::connection::sentinels::Sentinels;
use crate::connection::tls::{TlsFiles, TlsSettings};
use crate::connection::url;

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
    pub(crate) tls_files: TlsFiles,
}

/// Where Redis is, how to sign in, and whether a failover is suspected. Clones share everything.
#[derive(Clone)]
pub(crate) struct Endpoint {
    info: Arc<ConnectionInfo>,
    /// Those who know where Redis is, if the URL does not say it.
    sentinels: Option<Arc<Sentinels>>,
    /// Absent for connections without TLS.
    tls: Option<Arc<TlsSettings>>,
    settings: ConnectionSettings,
    suspected_failover: Arc<Notify>,
    counters: Arc<BackendCounters>,
    memory: MemoryBudget,
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        Self {
            connect_timeout: CONNECT_TIMEOUT,
            response_timeout: RESPONSE_TIMEOUT,
            client_name: CLIENT_NAME.to_owned(),
            tls_files: TlsFiles::default(),
        }
    }
}

impl Endpoint {
    /// Parses a URL.
    ///
    /// # Errors
    ///
    /// `CONFIG` for a URL or a client name that Redis cannot take, and for files of TLS without TLS.
    /// The error never repeats a password.
    pub(crate) fn new(url: &str, settings: ConnectionSettings) -> CacheResult<Self> {
        let name = &settings.client_name;
        // Redis's own rule.
        if !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(CacheError::ConfigError(format!(
                "invalid client name {name:?}: Redis takes printable ASCII without spaces"
            )));
        }
        let parsed = url::parse(url)?;
        let files = &settings.tls_files;
        let tls = match parsed.is_tls {
            true => Some(Arc::new(TlsSettings::new(files.clone()))),
            false if files.is_empty() => None,
            false => {
                let why = "a CA or a client certificate needs TLS; write rediss://host:port";
                return Err(url::invalid(url, why));
            }
        };
        Ok(Self {
            info: Arc::new(parsed.info),
            sentinels: parsed.sentinels.map(|url| Arc::new(Sentinels::new(url))),
            tls,
            settings,
            suspected_failover: Arc::default(),
            counters: Arc::default(),
            memory: MemoryBudget::unlimited(),
        })
    }

    /// Sets the memory budget in which unanswered commands count.
    pub(crate) fn with_memory(self, memory: MemoryBudget) -> Self {
        Self { memory, ..self }
    }

    pub(crate) const fn memory(&self) -> &MemoryBudget {
        &self.memory
    }

    pub(crate) fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    /// Returns how to speak TLS; `None` for connections without it.
    pub(super) const fn tls(&self) -> Option<&Arc<TlsSettings>> {
        self.tls.as_ref()
    }

    /// Reads the files of TLS.
    ///
    /// # Errors
    ///
    /// `CONFIG` if one of them cannot be used.
    pub(crate) fn check_files(&self) -> CacheResult<()> {
        match &self.tls {
            Some(tls) => tls.client_config().map(drop),
            None => Ok(()),
        }
    }

    pub(crate) const fn settings(&self) -> &ConnectionSettings {
        &self.settings
    }

    /// Returns the counts of all connections to this Redis.
    pub(crate) const fn counters(&self) -> &Arc<BackendCounters> {
        &self.counters
    }

    /// Returns who knows where Redis is; `None` if the URL says it.
    pub(super) const fn sentinels(&self) -> Option<&Arc<Sentinels>> {
        self.sentinels.as_ref()
    }

    /// Returns host and port, or those of the Sentinels, without user name and password.
    pub(crate) fn address(&self) -> String {
        match &self.sentinels {
            Some(sentinels) => sentinels.to_string(),
            None => self.info().addr().to_string(),
        }
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
    fn files_of_tls_need_a_url_of_tls() {
        let settings = ConnectionSettings {
            tls_files: TlsFiles {
                ca: Some("ca.pem".into()),
                identity: None,
            },
            ..ConnectionSettings::default()
        };
        for url in ["redis://127.0.0.1", "unix:///run/redis.sock"] {
            let error = Endpoint::new(url, settings.clone()).unwrap_err();
            assert_eq!(error.code(), "CONFIG");
            assert!(error.to_string().contains("rediss://"), "{error}");
        }
        let endpoint = Endpoint::new("rediss://127.0.0.1", settings).unwrap();
        let error = endpoint.check_files().unwrap_err();
        assert!(error.to_string().contains("ca.pem"), "{error}");
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
