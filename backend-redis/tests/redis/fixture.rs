//! A Redis of the test's own, a backend on it, and a direct connection beside the backend.

use std::cell::Cell;
use std::future::Future;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, RedisResult};
use streamgate_backend::{Backend, PerformOptions, Progress};
use streamgate_protocol::{
    CacheError, CacheResult, Entry, Gap, Operation, Reply, StreamingBackend, Tail, TailItem,
};
use streamgate_redis::RedisStreams;
use streamgate_test_support::{RedisServer, RedisVersion};

thread_local! {
    /// Whether servers that this thread starts refuse `CLIENT TRACKING` to the backend.
    pub(crate) static UNTRACKED: Cell<bool> = const { Cell::new(false) };
}

/// A user that may do everything but that.
const UNTRACKED_USER: &str = "--user app on nopass ~* &* +@all -client|tracking";

pub(crate) struct Fixture {
    pub(crate) server: RedisServer,
    pub(crate) streams: RedisStreams,
    pub(crate) direct: MultiplexedConnection,
}

impl Fixture {
    pub(crate) async fn new(version: RedisVersion) -> Self {
        if UNTRACKED.get() {
            return Self::with_user(version, UNTRACKED_USER).await;
        }
        let server = RedisServer::start(version).unwrap();
        let streams = RedisStreams::connect(&server.url()).await.unwrap();
        Self::of(server, streams).await
    }

    pub(crate) async fn of(server: RedisServer, streams: RedisStreams) -> Self {
        Self {
            direct: connect_directly(&server).await,
            server,
            streams,
        }
    }

    /// Starts a Redis with a configuration that defines the user `app`, and signs the backend in as
    /// that user.
    pub(crate) async fn with_user(version: RedisVersion, config: &str) -> Self {
        let config: Vec<&str> = config.split(' ').collect();
        let server = RedisServer::start_with(version, &config).unwrap();
        let streams = RedisStreams::connect(&user_url(&server)).await.unwrap();
        Self::of(server, streams).await
    }

    /// Does the same with a user who may do all but what these rules of an access list forbid.
    pub(crate) async fn refusing(version: RedisVersion, rules: &str) -> Self {
        let user = format!("--user app on nopass ~* &* +@all {rules}");
        Self::with_user(version, &user).await
    }

    /// Returns the URL that signs in as the user `app`.
    pub(crate) fn user_url(&self) -> String {
        user_url(&self.server)
    }

    /// Sends a command on the direct connection.
    pub(crate) async fn command<T: FromRedisValue>(&self, command: &str) -> RedisResult<T> {
        let mut words = command.split(' ');
        let mut cmd = redis::cmd(words.next().unwrap());
        words.for_each(|word| {
            cmd.arg(word);
        });
        cmd.query_async(&mut self.direct.clone()).await
    }

    /// Adds an entry with one field `f`.
    pub(crate) async fn add(&self, stream: &str, value: &str) -> String {
        self.streams
            .stream_add(stream, vec![("f".into(), value.into())], None)
            .await
            .unwrap()
    }

    /// Starts a read that waits. Returns once Redis had no entry for it.
    pub(crate) async fn start_read(
        &self,
        stream: &str,
        last_id: &str,
        block_ms: u64,
    ) -> Progress<'_> {
        self.start(read(stream, last_id, 0, Some(block_ms))).await
    }

    /// Starts a group read of the group `g` of the stream `s` that waits.
    pub(crate) async fn start_group_read(
        &self,
        consumer: &str,
        count: u64,
        block_ms: u64,
    ) -> Progress<'_> {
        self.start(read_group("s", "g", consumer, count, Some(block_ms)))
            .await
    }

    /// Reads an entry of the group `g` of the stream `s`, and waits for it.
    pub(crate) async fn start_or_serve(&self, consumer: &str) -> Vec<Entry> {
        let read = read_group("s", "g", consumer, 1, Some(0));
        let options = PerformOptions::default();
        let mut progress = self.streams.perform(vec![read], options).await;
        let reply = progress.pop().unwrap().finish().await;
        entries(reply).0
    }

    /// Returns once the hub has handled every message that it was sent before.
    pub(crate) async fn sync_with_hub(&self) {
        let wait = self.start_read("nobody adds to this", "$", 50).await;
        wait.finish().await.unwrap();
    }

    pub(crate) async fn start(&self, operation: Operation<'_>) -> Progress<'_> {
        let mut progress = self
            .streams
            .perform(vec![operation], PerformOptions::default())
            .await;
        assert_eq!(progress.len(), 1);
        let progress = progress.pop().unwrap();
        assert!(
            matches!(progress, Progress::Waiting { .. }),
            "it does not wait"
        );
        progress
    }

    /// Returns how many connections Redis has, without the direct one.
    pub(crate) async fn connections(&self) -> usize {
        self.command::<String>("CLIENT LIST")
            .await
            .unwrap()
            .lines()
            .count()
            - 1
    }

    /// Returns how often Redis ran a command.
    pub(crate) async fn calls(&self, command: &str) -> u64 {
        self.command_statistic(command, "calls").await
    }

    /// Returns how often Redis refused a command without running it.
    pub(crate) async fn rejected_calls(&self, command: &str) -> u64 {
        self.command_statistic(command, "rejected_calls").await
    }

    async fn command_statistic(&self, command: &str, name: &str) -> u64 {
        let stats: String = self.command("INFO commandstats").await.unwrap();
        let prefix = format!("cmdstat_{command}:");
        let line = stats.lines().find_map(|line| line.strip_prefix(&prefix));
        let mut pairs = line.unwrap_or_default().split(',');
        let value = pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        value.map_or(0, |value| value.parse().unwrap())
    }

    /// Returns the ids that are pending in the group `g` of the stream `s`, and their consumers.
    pub(crate) async fn pending(&self) -> Vec<(String, String)> {
        let rows: Vec<(String, String, u64, u64)> =
            self.command("XPENDING s g - + 100000").await.unwrap();
        rows.into_iter()
            .map(|(id, consumer, ..)| (id, consumer))
            .collect()
    }
}

pub(crate) async fn connect_directly(server: &RedisServer) -> MultiplexedConnection {
    let client = redis::Client::open(server.socket_url()).unwrap();
    // A busy machine is no failure; a test that hangs is ended by `within_limit`.
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
    client
        .get_multiplexed_async_connection_with_config(&config)
        .await
        .unwrap()
}

pub(crate) fn add<'a>(stream: &'a str, value: &'a str) -> Operation<'a> {
    Operation::Add {
        stream: stream.into(),
        fields: vec![("f".into(), value.into())],
        maxlen: None,
    }
}

pub(crate) fn read<'a>(
    stream: &'a str,
    last_id: &'a str,
    count: u64,
    block_ms: Option<u64>,
) -> Operation<'a> {
    Operation::Read {
        stream: stream.into(),
        last_id: last_id.into(),
        count,
        block_ms,
    }
}

pub(crate) fn read_group<'a>(
    stream: &'a str,
    group: &'a str,
    consumer: &'a str,
    count: u64,
    block_ms: Option<u64>,
) -> Operation<'a> {
    Operation::ReadGroup {
        stream: stream.into(),
        group: group.into(),
        consumer: consumer.into(),
        count,
        block_ms,
    }
}

/// Returns the entries of a reply, and the id to read on from.
pub(crate) fn entries(reply: CacheResult<Reply>) -> (Vec<Entry>, Option<String>) {
    match reply.unwrap() {
        Reply::Entries {
            entries, last_id, ..
        } => (entries, last_id),
        other => panic!("no entries: {other:?}"),
    }
}

/// Returns the value of the only field of each entry.
pub(crate) fn values(entries: &[Entry]) -> Vec<&str> {
    entries
        .iter()
        .map(|entry| entry.fields[0].1.as_text().expect("it is text"))
        .collect()
}

/// Returns what a future returns, and how many milliseconds it took.
pub(crate) async fn timed<T>(future: impl Future<Output = T>) -> (T, u128) {
    let start = Instant::now();
    let value = future.await;
    (value, start.elapsed().as_millis())
}

/// Returns once the backend reports that Redis is unavailable with that code; with `None`, once it
/// reports that Redis is available.
pub(crate) async fn wait_for_availability(streams: &RedisStreams, code: Option<&str>) {
    let mut availability = streams.availability().unwrap();
    let reported = availability.wait_for(|why| why.as_ref().map(CacheError::code) == code);
    drop(within_limit(reported).await.unwrap());
}

/// Fails the test if a future takes so long that it must be a hang.
pub(crate) async fn within_limit<T>(future: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(60);
    tokio::time::timeout(limit, future)
        .await
        .expect("it takes more than 60 s")
}

/// Returns the next item of a tail.
pub(crate) async fn next(tail: &mut Tail) -> CacheResult<TailItem> {
    within_limit(tail.next()).await.expect("the tail goes on")
}

/// Returns the values of the next item, which must have entries.
pub(crate) async fn next_values(tail: &mut Tail) -> Vec<String> {
    match next(tail).await {
        Ok(TailItem::Entries { entries, .. }) if !entries.is_empty() => {
            values(&entries).into_iter().map(str::to_owned).collect()
        }
        other => panic!("no entries: {other:?}"),
    }
}

/// Returns the values of the next `count` entries, in any number of items.
pub(crate) async fn collect(tail: &mut Tail, count: usize) -> Vec<String> {
    let mut found = Vec::new();
    while found.len() < count {
        found.extend(next_values(tail).await);
    }
    found
}

/// Returns the position of a tail's first item, which must have no entries.
pub(crate) async fn first_position(tail: &mut Tail) -> String {
    match next(tail).await {
        Ok(TailItem::Entries { entries, position }) if entries.is_empty() => position,
        other => panic!("not only a position: {other:?}"),
    }
}

/// Returns the next item, which must be a gap.
pub(crate) async fn next_gap(tail: &mut Tail) -> Gap {
    match next(tail).await {
        Ok(TailItem::Gap(gap)) => gap,
        other => panic!("no gap: {other:?}"),
    }
}

/// Returns the next item, which must be an error and the last.
pub(crate) async fn next_error(tail: &mut Tail) -> CacheError {
    let error = next(tail).await.unwrap_err();
    assert!(
        within_limit(tail.next()).await.is_none(),
        "an error is the last item"
    );
    error
}

fn user_url(server: &RedisServer) -> String {
    format!("redis://app:any@127.0.0.1:{}", server.port())
}
