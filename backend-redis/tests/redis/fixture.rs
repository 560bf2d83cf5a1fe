//! A Redis of the test's own, a backend on it, and a connection to look behind the backend's back.

use std::cell::Cell;
use std::future::Future;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, RedisResult};
use streamgate_backend::{Backend, Progress};
use streamgate_protocol::text::Text;
use streamgate_protocol::{
    CacheError, CacheResult, Gap, Operation, Reply, StreamEntry, StreamingBackend, Tail, TailItem,
};
use streamgate_redis::RedisStreams;
use streamgate_test_support::{RedisServer, RedisVersion};

thread_local! {
    /// Whether servers started by this thread refuse `CLIENT TRACKING`.
    pub(crate) static UNTRACKED: Cell<bool> = const { Cell::new(false) };
}

/// May do all but that.
const BOB: &str = "--user bob on nopass ~* &* +@all -client|tracking";

pub(crate) struct Fixture {
    pub(crate) server: RedisServer,
    pub(crate) streams: RedisStreams,
    pub(crate) direct: MultiplexedConnection,
}

impl Fixture {
    pub(crate) async fn new(version: RedisVersion) -> Self {
        if UNTRACKED.get() {
            return Self::as_bob(version, BOB).await;
        }
        let server = RedisServer::start(version).unwrap();
        let streams = RedisStreams::connect(&server.url()).await.unwrap();
        let direct = direct(&server).await;
        Self {
            server,
            streams,
            direct,
        }
    }

    /// With a backend that is the user bob, who may do what that says.
    pub(crate) async fn as_bob(version: RedisVersion, bob: &str) -> Self {
        let config: Vec<&str> = bob.split(' ').collect();
        let server = RedisServer::start_with(version, &config).unwrap();
        let url = format!("redis://bob:any@127.0.0.1:{}", server.port());
        Self {
            streams: RedisStreams::connect(&url).await.unwrap(),
            direct: direct(&server).await,
            server,
        }
    }

    /// Sends a command behind the backend's back.
    pub(crate) async fn ask<T: FromRedisValue>(&self, command: &str) -> RedisResult<T> {
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

    /// Performs one read that waits; returns once it is known that it does.
    pub(crate) async fn start_read(
        &self,
        stream: &str,
        last_id: &str,
        block_ms: u64,
    ) -> Progress<'_> {
        self.start(read(stream, last_id, 0, Some(block_ms))).await
    }

    pub(crate) async fn start_group(
        &self,
        consumer: &str,
        count: u64,
        block_ms: u64,
    ) -> Progress<'_> {
        self.start(read_group("s", "g", consumer, count, Some(block_ms)))
            .await
    }

    pub(crate) async fn start(&self, operation: Operation<'_>) -> Progress<'_> {
        let mut progress = self.streams.perform(vec![operation]).await;
        assert_eq!(progress.len(), 1);
        let progress = progress.pop().unwrap();
        assert!(
            matches!(progress, Progress::Waiting { .. }),
            "it does not wait"
        );
        progress
    }

    /// Connections that Redis has, without the fixture's own.
    pub(crate) async fn connections(&self) -> usize {
        self.ask::<String>("CLIENT LIST")
            .await
            .unwrap()
            .lines()
            .count()
            - 1
    }

    /// How often Redis ran a command.
    pub(crate) async fn calls(&self, command: &str) -> u64 {
        let stats: String = self.ask("INFO commandstats").await.unwrap();
        let prefix = format!("cmdstat_{command}:calls=");
        let line = stats.lines().find_map(|line| line.strip_prefix(&prefix));
        line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
    }

    /// Ids that are pending in the group `g` of the stream `s`, with their consumers.
    pub(crate) async fn pending(&self) -> Vec<(String, String)> {
        let rows: Vec<(String, String, u64, u64)> =
            self.ask("XPENDING s g - + 100000").await.unwrap();
        rows.into_iter()
            .map(|(id, consumer, ..)| (id, consumer))
            .collect()
    }
}

pub(crate) async fn direct(server: &RedisServer) -> MultiplexedConnection {
    let client = redis::Client::open(server.url()).unwrap();
    // A busy machine is no failure; a test that hangs is ended by `soon`.
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
    client
        .get_multiplexed_async_connection_with_config(&config)
        .await
        .unwrap()
}

pub(crate) fn add<'a>(stream: &'a str, value: &'a str) -> Operation<'a> {
    Operation::Add {
        stream: stream.into(),
        fields: vec![(Text::from("f"), Text::from(value))],
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

/// The entries of a reply, and the id to read on from.
pub(crate) fn entries(reply: CacheResult<Reply>) -> (Vec<StreamEntry>, Option<String>) {
    match reply.unwrap() {
        Reply::Entries { entries, last_id } => (entries, last_id),
        other => panic!("no entries: {other:?}"),
    }
}

/// The values of the only field of each entry.
pub(crate) fn values(entries: &[StreamEntry]) -> Vec<&str> {
    entries
        .iter()
        .map(|(_, fields)| fields[0].1.as_str())
        .collect()
}

/// What a future gives, and how many milliseconds it takes.
pub(crate) async fn timed<T>(future: impl Future<Output = T>) -> (T, u128) {
    let start = Instant::now();
    let value = future.await;
    (value, start.elapsed().as_millis())
}

/// Returns once the backend says that Redis is away for that reason, or there if there is none.
pub(crate) async fn until_away(streams: &RedisStreams, code: Option<&str>) {
    let mut availability = streams.availability().unwrap();
    let told = availability.wait_for(|away| away.as_ref().map(CacheError::code) == code);
    drop(soon(told).await.unwrap());
}

/// Fails the test instead of waiting for ever.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(10);
    tokio::time::timeout(limit, future)
        .await
        .expect("it takes more than 10 s")
}

/// The next item of a tail.
pub(crate) async fn next(tail: &mut Tail) -> CacheResult<TailItem> {
    soon(tail.next()).await.expect("the tail goes on")
}

/// The values of the next entries, of which there must be some.
pub(crate) async fn next_values(tail: &mut Tail) -> Vec<String> {
    match next(tail).await {
        Ok(TailItem::Entries { entries, .. }) if !entries.is_empty() => {
            values(&entries).into_iter().map(str::to_owned).collect()
        }
        other => panic!("no entries: {other:?}"),
    }
}

/// The values of so many entries, which may come in any number of items.
pub(crate) async fn collect(tail: &mut Tail, count: usize) -> Vec<String> {
    let mut found = Vec::new();
    while found.len() < count {
        found.extend(next_values(tail).await);
    }
    found
}

/// Where a tail stands, which its next item says without entries.
pub(crate) async fn standing(tail: &mut Tail) -> String {
    match next(tail).await {
        Ok(TailItem::Entries { entries, position }) if entries.is_empty() => position,
        other => panic!("not only where it stands: {other:?}"),
    }
}

/// The next item, which must be a gap.
pub(crate) async fn gap(tail: &mut Tail) -> Gap {
    match next(tail).await {
        Ok(TailItem::Gap(gap)) => gap,
        other => panic!("no gap: {other:?}"),
    }
}

/// The next item, which must be an error and the last.
pub(crate) async fn failure(tail: &mut Tail) -> CacheError {
    let error = next(tail).await.unwrap_err();
    assert!(
        soon(tail.next()).await.is_none(),
        "an error is the last item"
    );
    error
}
