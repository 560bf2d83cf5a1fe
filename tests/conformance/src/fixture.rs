//! The arguments of a case: a backend, keys that no other case uses, and where the backend has a
//! Redis, a direct connection to it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, try_join_all};
use redis::aio::MultiplexedConnection;
use streamgate_protocol::{
    CacheResult, Entry, Operation, PendingEntries, PerformOperation, Reply, StreamEntry,
    SubscribingBackend,
};

/// Longest time that a case waits for an item of a subscription. Only a hang takes as long, on any
/// machine. The message then shows where the case hangs.
pub const HANG: Duration = Duration::from_secs(120);

/// The `block_ms` of a wait that the case ends. It is longer than any case may take, so a wait that
/// is never ended is reported as a hang.
pub const LONG_WAIT: Option<usize> = Some(30 * 60 * 1_000);

/// A backend with every operation, subscriptions and pending entries.
pub trait FullBackend: SubscribingBackend + PendingEntries {}

impl<B: SubscribingBackend + PendingEntries> FullBackend for B {}

/// A backend that performs operations as data: also those that no method of the traits calls.
pub trait Operations: Send + Sync {
    /// Performs an operation and returns its reply.
    ///
    /// # Errors
    ///
    /// The errors of the operation.
    fn perform(&self, operation: Operation<'static>) -> BoxFuture<'_, CacheResult<Reply>>;
}

impl<B: PerformOperation> Operations for B {
    fn perform(&self, operation: Operation<'static>) -> BoxFuture<'_, CacheResult<Reply>> {
        self.perform_operation(operation).boxed()
    }
}

/// A backend under test, and stream keys that no other case uses.
#[derive(Clone)]
pub struct Fixture {
    /// The backend under test.
    pub backend: Arc<dyn FullBackend>,
    prefix: Arc<str>,
    keys: Arc<AtomicU64>,
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl Fixture {
    /// A fixture whose keys begin with `prefix`.
    pub fn new(backend: Arc<dyn FullBackend>, prefix: &str) -> Self {
        Self {
            backend,
            prefix: prefix.into(),
            keys: Arc::default(),
        }
    }

    /// A stream key that is used nowhere else.
    pub fn key(&self) -> String {
        format!(
            "{}:{}",
            self.prefix,
            self.keys.fetch_add(1, Ordering::Relaxed)
        )
    }

    /// Adds an entry of one field, `value`.
    ///
    /// # Errors
    ///
    /// The errors of the backend.
    pub async fn add(&self, key: &str, value: &str) -> CacheResult<String> {
        self.backend
            .stream_add(key, pairs(&[("value", value)]), None)
            .await
    }

    /// Adds `n` entries of one field, `value`, that count from 0, and returns their ids.
    ///
    /// # Errors
    ///
    /// The errors of the backend.
    pub async fn add_in_sequence(&self, key: &str, n: usize) -> CacheResult<Vec<String>> {
        let mut ids = Vec::with_capacity(n);
        for i in 0..n {
            ids.push(self.add(key, &i.to_string()).await?);
        }
        Ok(ids)
    }

    /// As [`add_in_sequence`](Self::add_in_sequence), but with a hundred adds in flight.
    ///
    /// # Errors
    ///
    /// The errors of the backend.
    pub async fn add_concurrently(&self, key: &str, n: usize) -> CacheResult<Vec<String>> {
        let values: Vec<_> = (0..n).map(|i| i.to_string()).collect();
        let mut ids = Vec::with_capacity(n);
        for values in values.chunks(100) {
            ids.extend(try_join_all(values.iter().map(|value| self.add(key, value))).await?);
        }
        Ok(ids)
    }

    /// Reads everything after `last_id`, without waiting.
    ///
    /// # Errors
    ///
    /// The errors of the backend.
    pub async fn read(&self, key: &str, last_id: &str) -> CacheResult<Vec<StreamEntry>> {
        self.backend.stream_read(key, last_id, 0, None).await
    }

    /// Reads everything that the group has not delivered yet, without waiting.
    ///
    /// # Errors
    ///
    /// The errors of the backend.
    pub async fn read_group_now(
        &self,
        key: &str,
        group: &str,
        consumer: &str,
    ) -> CacheResult<Vec<StreamEntry>> {
        self.backend
            .stream_read_group(key, group, consumer, 0, None)
            .await
    }
}

/// A connection to the Redis of the backend under test, for commands that the trait does not have.
#[derive(Debug, Clone)]
pub struct DirectRedis {
    connection: MultiplexedConnection,
}

impl DirectRedis {
    /// Connects to the Redis at `url`.
    ///
    /// # Errors
    ///
    /// The errors of redis-rs.
    pub async fn open(url: &str) -> redis::RedisResult<Self> {
        let client = redis::Client::open(url)?;
        // A busy machine is no failure; a case that hangs is ended.
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
        let connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        Ok(Self { connection })
    }

    /// Sends a command. Its words may be any bytes.
    ///
    /// # Errors
    ///
    /// The errors of Redis, and an answer that is not a `T`.
    pub async fn send<T: redis::FromRedisValue>(&self, words: &[&[u8]]) -> redis::RedisResult<T> {
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(*word);
        }
        command.query_async(&mut self.connection.clone()).await
    }
}

/// Names and values, as
/// [`stream_add`](streamgate_protocol::StreamingBackend::stream_add) takes them.
pub fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// An entry of bytes or of text.
pub trait Identified {
    /// Its id.
    fn id(&self) -> &str;
}

impl Identified for Entry {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Identified for StreamEntry {
    fn id(&self) -> &str {
        &self.0
    }
}

/// The ids of entries.
pub fn ids(entries: &[impl Identified]) -> Vec<&str> {
    entries.iter().map(Identified::id).collect()
}

/// Entries as the six operations return them.
pub fn as_text(entries: Vec<Entry>) -> Vec<StreamEntry> {
    entries.into_iter().map(StreamEntry::from).collect()
}

/// The values of all fields of all entries.
pub fn values(entries: &[StreamEntry]) -> Vec<&str> {
    entries
        .iter()
        .flat_map(|(_, fields)| fields)
        .map(|(_, value)| value.as_str())
        .collect()
}

/// The two numbers of an id. They order ids as Redis does.
///
/// # Panics
///
/// If `id` is not a full id.
pub fn parts(id: &str) -> (u64, u64) {
    let parsed = id
        .split_once('-')
        .and_then(|(ms, seq)| Some((ms.parse().ok()?, seq.parse().ok()?)));
    assert!(parsed.is_some(), "not a full id: {id:?}");
    parsed.unwrap_or_default()
}

/// The code of a failure, or `OK`.
pub fn code<T>(result: &CacheResult<T>) -> &str {
    match result {
        Ok(_) => "OK",
        Err(error) => error.code(),
    }
}

/// Polls an operation once, so that it is under way before the next line.
///
/// # Panics
///
/// If the operation completes in its first poll, because the rest of the case would prove nothing.
pub fn started<'a, T: Send + 'a>(future: impl Future<Output = T> + Send + 'a) -> BoxFuture<'a, T> {
    let mut future = future.boxed();
    assert!(
        (&mut future).now_or_never().is_none(),
        "the operation did not wait"
    );
    future
}

/// Gives operations that were sent before time to be fully established in the backend.
///
/// No event reports that a wait is established. A case must pass whether it is or not; the pause
/// only makes it likely, so that both are tested.
pub async fn settle() {
    tokio::time::sleep(Duration::from_millis(200)).await;
}

/// Lets real time pass, by which the backend's clock measures how long entries are idle.
pub async fn let_idle(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

/// Gives an operation time to complete, and panics if it does.
///
/// # Panics
///
/// If the operation completes within `ms` milliseconds.
pub async fn assert_keeps_waiting<T: std::fmt::Debug>(operation: impl Future<Output = T>, ms: u64) {
    let completed = tokio::time::timeout(Duration::from_millis(ms), operation).await;
    assert!(completed.is_err(), "the operation completed: {completed:?}");
}
