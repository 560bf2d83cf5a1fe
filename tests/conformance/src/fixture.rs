//! What a case is given: a backend, keys that no other case uses, and where there is one, a way
//! round the backend.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, try_join_all};
use redis::aio::MultiplexedConnection;
use streamgate_protocol::{CacheResult, PendingEntries, StreamEntry, SubscribingBackend};

/// Longest time that a case waits for an item of a subscription. Only a hang takes as long, on any
/// machine; the limit is there for the message, which says where the case hangs.
pub const HANG: Duration = Duration::from_secs(120);

/// The `block_ms` of a wait that something must end. It is longer than any case may take, so that
/// an operation that waits in vain is found as a hang.
pub const LONG_WAIT: Option<usize> = Some(30 * 60 * 1_000);

/// A backend with all there is.
pub trait Whole: SubscribingBackend + PendingEntries {}

impl<B: SubscribingBackend + PendingEntries> Whole for B {}

/// A backend under test and names of a case's own.
#[derive(Clone)]
pub struct Fixture {
    /// The backend under test.
    pub backend: Arc<dyn Whole>,
    prefix: Arc<str>,
    keys: Arc<AtomicU64>,
}

impl Fixture {
    /// A fixture whose keys begin with `prefix`.
    pub fn new(backend: Arc<dyn Whole>, prefix: &str) -> Self {
        Self {
            backend,
            prefix: prefix.into(),
            keys: Arc::default(),
        }
    }

    /// A stream key that nobody else uses.
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
    /// Those of the backend.
    pub async fn add(&self, key: &str, value: &str) -> CacheResult<String> {
        self.backend
            .stream_add(key, pairs(&[("value", value)]), None)
            .await
    }

    /// Adds `n` entries of one field, `value`, that count from 0, and returns their ids.
    ///
    /// # Errors
    ///
    /// Those of the backend.
    pub async fn fill(&self, key: &str, n: usize) -> CacheResult<Vec<String>> {
        let mut ids = Vec::with_capacity(n);
        for i in 0..n {
            ids.push(self.add(key, &i.to_string()).await?);
        }
        Ok(ids)
    }

    /// As [`fill`](Self::fill), and quickly: adds are asked a hundred at a time.
    ///
    /// # Errors
    ///
    /// Those of the backend.
    pub async fn pour(&self, key: &str, n: usize) -> CacheResult<Vec<String>> {
        let values: Vec<_> = (0..n).map(|i| i.to_string()).collect();
        let mut ids = Vec::with_capacity(n);
        for values in values.chunks(100) {
            ids.extend(try_join_all(values.iter().map(|value| self.add(key, value))).await?);
        }
        Ok(ids)
    }

    /// Everything after `last_id`, without waiting.
    ///
    /// # Errors
    ///
    /// Those of the backend.
    pub async fn read(&self, key: &str, last_id: &str) -> CacheResult<Vec<StreamEntry>> {
        self.backend.stream_read(key, last_id, 0, None).await
    }

    /// Everything a group has not handed out yet, without waiting.
    ///
    /// # Errors
    ///
    /// Those of the backend.
    pub async fn take(
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

/// A connection to the Redis behind the backend under test, for what the trait cannot do.
#[derive(Clone)]
pub struct SideDoor {
    connection: MultiplexedConnection,
}

impl SideDoor {
    /// Connects to the Redis at `url`.
    ///
    /// # Errors
    ///
    /// Those of redis-rs.
    pub async fn open(url: &str) -> redis::RedisResult<Self> {
        let connection = redis::Client::open(url)?
            .get_multiplexed_async_connection()
            .await?;
        Ok(Self { connection })
    }

    /// Sends a command: its words, which may be any bytes.
    ///
    /// # Errors
    ///
    /// Those of Redis, and an answer that is not a `T`.
    pub async fn send<T: redis::FromRedisValue>(&self, words: &[&[u8]]) -> redis::RedisResult<T> {
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(*word);
        }
        command.query_async(&mut self.connection.clone()).await
    }
}

/// Names and values, as [`stream_add`](streamgate_protocol::StreamingBackend::stream_add) takes them.
pub fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// The ids of entries.
pub fn ids(entries: &[StreamEntry]) -> Vec<&str> {
    entries.iter().map(|(id, _)| id.as_str()).collect()
}

/// The values of entries, all fields of all of them one after the other.
pub fn values(entries: &[StreamEntry]) -> Vec<&str> {
    entries
        .iter()
        .flat_map(|(_, fields)| fields)
        .map(|(_, value)| value.as_str())
        .collect()
}

/// The two numbers of an id, which order ids as Redis does.
///
/// # Panics
///
/// If it is not a full id.
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

/// Asks now: polls once, so that the operation is under way before the next line.
///
/// # Panics
///
/// If the future is ready at once: what a case does behind it would then prove nothing.
pub fn asked<'a, T: Send + 'a>(future: impl Future<Output = T> + Send + 'a) -> BoxFuture<'a, T> {
    let mut future = future.boxed();
    assert!(
        (&mut future).now_or_never().is_none(),
        "the operation did not wait"
    );
    future
}
