//! Connecting [`RedisStreams`], and the settings for it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use streamgate_backend::memory_budget::MemoryBudget;
use streamgate_protocol::CacheResult;
use tokio::sync::Semaphore;

use crate::connection::command_connection::MAX_PIPELINES;
use crate::connection::endpoint::{ConnectionSettings, Endpoint};
use crate::hub::MAX_WAITS;
use crate::redis_streams::RedisStreams;

/// Longest time-out: a longer one is shortened to it, so that a clock can hold its end.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// Settings with which [`RedisStreams`] connects. [`RedisStreams::builder`] makes one.
///
/// ```no_run
/// # async fn example() -> streamgate_protocol::CacheResult<()> {
/// use std::time::Duration;
///
/// use streamgate_redis::RedisStreams;
///
/// let streams = RedisStreams::builder("redis://127.0.0.1:6379")
///     .client_name("orders")
///     .response_timeout(Duration::from_secs(2))
///     .connect()
///     .await?;
/// # drop(streams);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until `connect` is called"]
pub struct RedisStreamsBuilder {
    url: String,
    connection: ConnectionSettings,
    max_waits: usize,
    max_pipelines: usize,
    memory: MemoryBudget,
}

impl RedisStreams {
    /// Connects to the Redis at a URL, with default settings:
    ///
    /// - `redis://[user:password@]host[:port][/database]`
    /// - `rediss://…` for TLS. The certificate of Redis must have the host's name, and come from an
    ///   authority that the system trusts, or from [`ca_file`](RedisStreamsBuilder::ca_file).
    /// - `unix:///path?user=…&pass=…&db=…` for a Unix socket, or `redis+unix://`
    /// - `redis+sentinel://[user:password@]host[:port],…/master[/database]` for the master that these
    ///   Sentinels watch, up to 16 of them; `rediss+sentinel://` with TLS. If Sentinels ask for a
    ///   password, the URL ends with `?sentinel_user=…&sentinel_pass=…`. The backend asks them before
    ///   each connection, and twice a second which server is the master.
    ///
    /// `valkey` instead of `redis` means the same in each.
    ///
    /// # Errors
    ///
    /// `CONFIG` for an invalid URL, and if only another setting helps: another password, another
    /// certificate, another Redis. `DISCONNECTED` if Redis cannot be reached; else the error that
    /// Redis answers while it serves nobody, such as `LOADING`. No error repeats the password.
    pub async fn connect(url: &str) -> CacheResult<Self> {
        Self::builder(url).connect().await
    }

    /// Returns a builder with default settings for the Redis at a URL.
    pub fn builder(url: &str) -> RedisStreamsBuilder {
        RedisStreamsBuilder::new(url)
    }
}

impl RedisStreamsBuilder {
    fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            connection: ConnectionSettings::default(),
            max_waits: MAX_WAITS,
            max_pipelines: MAX_PIPELINES,
            memory: MemoryBudget::unlimited(),
        }
    }

    /// Sets how long opening a connection may take, its handshake included. The default is
    /// [`CONNECT_TIMEOUT`](crate::CONNECT_TIMEOUT), 5 seconds; the maximum is a day.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connection.connect_timeout = timeout.min(LONGEST_TIMEOUT);
        self
    }

    /// Sets how long Redis may be silent while a command is unanswered; after that the connection
    /// is replaced. No command blocks inside Redis, so a wait of any length needs no longer one.
    /// The default is [`RESPONSE_TIMEOUT`](crate::RESPONSE_TIMEOUT), 5 seconds; the maximum is a
    /// day.
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.connection.response_timeout = timeout.min(LONGEST_TIMEOUT);
        self
    }

    /// Sets the name that `CLIENT LIST` shows for the connections, in printable ASCII without
    /// spaces; an empty one sets none. The default is `streamgate`.
    ///
    /// A Redis whose access list forbids `CLIENT SETNAME` shows no name; nothing else changes.
    pub fn client_name(mut self, name: impl Into<String>) -> Self {
        self.connection.client_name = name.into();
        self
    }

    /// Sets the file with the certificates of the authorities, in PEM, that Redis's certificate must
    /// come from; they take the place of the system's. The URL must begin with `rediss://`.
    ///
    /// The file is read for each connection, so that a renewed one counts from the next on.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.connection.tls_files.ca = Some(path.into());
        self
    }

    /// Sets the files with a client certificate, followed by those of intermediate authorities, and
    /// with its private key, both in PEM. The URL must begin with `rediss://`.
    ///
    /// The files are read for each connection, so that a renewed certificate is used from the next
    /// on. Connections that are open stay.
    pub fn client_certificate_files(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.connection.tls_files.identity = Some((certificate.into(), key.into()));
        self
    }

    /// Sets how many waits and tails may be under way at once; a further one fails with
    /// `OVERLOADED`. The default is 131,072. Each takes about 1 KiB.
    pub fn max_waits(mut self, waits: usize) -> Self {
        self.max_waits = waits.min(Semaphore::MAX_PERMITS);
        self
    }

    /// Sets how many calls may be unanswered by Redis at once; a further one fails with
    /// `OVERLOADED`. The default is 65,536.
    pub fn max_pipelines(mut self, pipelines: usize) -> Self {
        self.max_pipelines = pipelines.min(Semaphore::MAX_PERMITS);
        self
    }

    /// Sets the memory budget in which commands count until Redis answers them, and from which
    /// reads of several pages reserve their room. A call whose commands find no room fails with
    /// `OVERLOADED` before they are sent. A read of several pages waits for room, first come, first
    /// served. The default refuses nothing.
    pub fn memory_budget(mut self, budget: MemoryBudget) -> Self {
        self.memory = budget;
        self
    }

    /// Checks the settings, and the files of TLS, without connecting.
    ///
    /// # Errors
    ///
    /// `CONFIG` for an invalid URL, for a client name that Redis would refuse, and for a file that
    /// cannot be used.
    pub fn validate(&self) -> CacheResult<()> {
        self.endpoint()?.check_files()
    }

    pub(crate) fn endpoint(&self) -> CacheResult<Endpoint> {
        Endpoint::new(&self.url, self.connection.clone())
    }

    /// Connects to Redis.
    ///
    /// # Errors
    ///
    /// Those of [`RedisStreams::connect`], and `CONFIG` for a client name that Redis would refuse.
    pub async fn connect(self) -> CacheResult<RedisStreams> {
        self.connect_to(false).await
    }

    /// Tries once to connect to Redis, and goes on trying if Redis is unavailable: returns a value
    /// that reports `DISCONNECTED`, or what Redis answered, as its
    /// [`availability`](streamgate_backend::Backend::availability) until it has a connection.
    ///
    /// # Errors
    ///
    /// `CONFIG`, as for [`connect`](Self::connect): no waiting helps.
    pub async fn connect_lazily(self) -> CacheResult<RedisStreams> {
        self.connect_to(true).await
    }

    async fn connect_to(self, is_lazy: bool) -> CacheResult<RedisStreams> {
        let endpoint = self.endpoint()?;
        let (waits, pipelines) = (self.max_waits, self.max_pipelines);
        RedisStreams::connect_to(endpoint, waits, pipelines, self.memory, is_lazy).await
    }
}

impl fmt::Debug for RedisStreamsBuilder {
    /// Leaves out the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStreamsBuilder")
            .field("connection", &self.connection)
            .field("max_waits", &self.max_waits)
            .field("max_pipelines", &self.max_pipelines)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_setting_is_too_large() {
        let builder = RedisStreamsBuilder::new("redis://127.0.0.1")
            .connect_timeout(Duration::MAX)
            .response_timeout(Duration::MAX)
            .max_waits(usize::MAX)
            .max_pipelines(usize::MAX);
        assert_eq!(builder.connection.response_timeout, LONGEST_TIMEOUT);
        assert_eq!(builder.connection.connect_timeout, LONGEST_TIMEOUT);
        assert_eq!(builder.max_waits, Semaphore::MAX_PERMITS);
        assert_eq!(builder.max_pipelines, Semaphore::MAX_PERMITS);
    }

    #[test]
    fn debug_output_has_no_password() {
        let builder = RedisStreamsBuilder::new("redis://:hunter2@127.0.0.1").client_name("orders");
        let debug = format!("{builder:?}");
        assert!(debug.contains("orders"), "{debug}");
        assert!(!debug.contains("hunter2"), "{debug}");
    }
}
