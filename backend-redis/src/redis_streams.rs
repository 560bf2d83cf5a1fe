//! `RedisStreams`: the backend that others use.

use std::fmt;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use streamgate_backend::memory_budget::MemoryBudget;
use streamgate_backend::reclaim::step::{ReclaimStep, Reclaimed};
use streamgate_backend::tail::source::TailSource;
use streamgate_backend::{Backend, BackendCounters, PerformOptions, Progress};
use streamgate_protocol::{
    Bytes, CacheError, CacheResult, Operation, PendingEntries, PerformOperation, Reply, TailFrom,
};
use tokio::sync::watch;

use crate::connection::command_connection::CommandConnection;
use crate::connection::endpoint::Endpoint;
use crate::connection::page_connection::PageConnection;
use crate::hub::Hub;
use crate::operation::batch::OperationBatch;
use crate::operation::bulk_reader::BulkReader;
use crate::operation::encode::EncodeContext;
use crate::operation::entry_sizes::EntrySizes;
use crate::operation::expected_answer::OutcomeContext;
use crate::operation::idempotent_add::{Deduplication, TtlRefresh};
use crate::operation::outcome::OperationOutcome;
use crate::tail::RedisTail;
use crate::tail::page_reader::PageReader;
use crate::wire::packing::PackedCommands;
use crate::wire::{answers, errors, scripts};

/// Streams in Redis 7.0 or newer. Clones are cheap and share everything.
///
/// One connection serves any number of waiting readers and tails. It carries commands, and on it
/// Redis pushes which stream has changed (`CLIENT TRACKING`). No command blocks inside Redis, so a
/// wait of any length delays nobody. A connection that is lost is replaced, and waits and tails
/// continue without missing an entry. [`availability`](Backend::availability) reports whether Redis
/// is available. A Redis that closes its connections is unavailable at once, and one that hangs
/// within [`PING_EVERY`](crate::PING_EVERY) plus the response time-out: seven seconds by default.
///
/// A second connection carries large reads, in pages of 256 KiB: no answer to one caller delays
/// those to others. A group read and a claim are one command, for as many entries as are known to
/// fit into the reply, and for 2,048 (1,000) at most; in process for 10,000 (1,000).
///
/// The same connection carries pages of backlogs for a while after Redis has cut one off: an answer
/// beyond its `client-output-buffer-limit` ends a connection. Pages then have fewer bytes, and a
/// tail ends with `LIMIT` at an entry that Redis never sends.
///
/// A value belongs to the tokio runtime in which it connected. Its tasks end with that runtime,
/// and every later call fails.
///
/// A Redis that has become a replica refuses writes (`READONLY`). While there are writes or waits,
/// another Redis is then looked for under the same host name, about once a second. So give a name
/// that moves with the master.
///
/// # Errors
///
/// Those of [`StreamingBackend`](streamgate_protocol::StreamingBackend), and:
///
/// - `DISCONNECTED`: at once while Redis is unavailable, or for a wait that ends meanwhile. If
///   Redis answers a temporary error, such as `LOADING`, that error takes its place.
/// - `TIMEOUT`: Redis did not answer an operation that only reads within the response time-out.
/// - `UNKNOWN_OUTCOME`: the same for any other operation, and for a group read that was being
///   served when the connection was lost.
/// - `OVERLOADED`: too many waits and tails are under way
///   ([`max_waits`](crate::RedisStreamsBuilder::max_waits)), or too many calls are unanswered
///   ([`max_pipelines`](crate::RedisStreamsBuilder::max_pipelines)), or the
///   [`memory_budget`](crate::RedisStreamsBuilder::memory_budget) has no room for a call.
/// - `SERIALIZATION`: Redis sent an answer of an unknown shape.
///
/// # Access lists
///
/// | for | Redis must allow |
/// |---|---|
/// | every connection | `PING`, `HELLO` (`AUTH` where it is unknown); `SELECT` for a database other than 0 |
/// | the six operations | `XADD`, `XREVRANGE`, `XREAD`, `XGROUP`, `XREADGROUP`, `XACK` |
/// | large reads, reads of streams whose entries are unknown | also `EVAL` and `XRANGE`; without them, answers are bounded less exactly |
/// | tails | also `XRANGE`, `XINFO`, `XLEN`, `MULTI`, `EXEC`; `EVAL` where Redis cuts pages off |
/// | pending entries | `XPENDING`, `XAUTOCLAIM`, `XINFO`; without `EVAL`, lists of consumers have no bound |
/// | finding lost deliveries again | `XPENDING`, `XRANGE` |
/// | removing a consumer | `EVAL`, `XPENDING`, `XCLAIM`, `XGROUP` |
/// | reclaiming idle entries | `EVAL`, `XPENDING`, `XCLAIM`, `TIME`, `XRANGE`, `XADD`, `XACK` |
/// | idempotent adds | `SCRIPT LOAD`, `EVALSHA`, `XADD`, `LINDEX`, `LRANGE`, `RPUSH`, `LTRIM`, `PEXPIRE` |
///
/// Idempotent adds use keys named `streamgate:once:*`. An operation whose command is missing fails
/// with `NOPERM`. The following are optional:
///
/// - `CLIENT TRACKING` and `CLIENT CACHING`: without them, streams are polled (see below).
/// - `CLIENT KILL`: without it, commands on a connection that was given up because Redis did not
///   answer in time may still run later.
/// - `EVALSHA`, `SCRIPT LOAD`, the commands of idempotent adds, and their keys: without any of them,
///   idempotent adds are plain ones, and repeats of them are `FORGOTTEN`.
/// - `XINFO STREAM`: without it, a tail knows the first entry of its stream alone. An entry that was
///   trimmed without a successor being missed may be reported as a gap, and neither a rollback nor a
///   stream that begins again at smaller ids is noticed.
/// - `INFO`: without it, Redis is taken for one that may evict keys, so a repeated idempotent add is
///   `FORGOTTEN` if nothing is remembered of its producer; and `CLIENT KILL` is not sent.
/// - `CLIENT SETNAME` and `CLIENT SETINFO`: they only describe the connection.
///
/// # Where Redis refuses `CLIENT TRACKING`
///
/// The same holds for a server that does not speak RESP3 (`HELLO 3`). Streams that somebody waits for
/// are then polled on the same connection, 64 in a pipeline: ten times a second, and more often while
/// they change. A tail notices within two seconds, instead of at once, that its stream was deleted,
/// trimmed or recreated. Nothing else differs but the cost.
///
/// ```no_run
/// # async fn example() -> streamgate_protocol::CacheResult<()> {
/// use streamgate_protocol::StreamingBackend;
/// use streamgate_redis::RedisStreams;
///
/// let streams = RedisStreams::connect("redis://127.0.0.1:6379").await?;
/// let id = streams.stream_add("orders", vec![("item".into(), "tea".into())], None).await?;
/// let later = streams.stream_read("orders", &id, 10, Some(30_000)).await?;
/// # drop(later);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisStreams {
    commands: CommandConnection,
    hub: Hub,
    pages: PageReader,
    ttl_refresh: Arc<TtlRefresh>,
    bulk: BulkReader,
    sizes: Arc<EntrySizes>,
    counters: Arc<BackendCounters>,
}

impl RedisStreams {
    pub(crate) async fn connect_to(
        endpoint: Endpoint,
        max_waits: usize,
        max_pipelines: usize,
        memory: MemoryBudget,
        is_lazy: bool,
    ) -> CacheResult<Self> {
        let endpoint = endpoint.with_memory(memory.clone());
        let counters = Arc::clone(endpoint.counters());
        let commands = CommandConnection::connect(endpoint.clone(), max_pipelines, is_lazy).await?;
        let availability = commands.availability().clone();
        let page_connection = PageConnection::new(endpoint, commands.status(), availability);
        let sizes = Arc::new(EntrySizes::new());
        let (scripts, known) = (commands.scripts().clone(), Arc::clone(&sizes));
        let bulk = BulkReader::new(page_connection.clone(), memory, scripts.clone(), known);
        let pages = PageReader::new(page_connection, scripts, Arc::clone(&sizes));
        let hub = Hub::start(commands.clone(), max_waits, Arc::clone(&sizes));
        Ok(Self {
            commands,
            hub,
            pages,
            ttl_refresh: Arc::default(),
            bulk,
            sizes,
            counters,
        })
    }

    fn encode<'a>(
        &self,
        operations: impl ExactSizeIterator<Item = Operation<'a>>,
        max_reply_bytes: u64,
    ) -> OperationBatch {
        let deduplication = self.commands.dedup().is_allowed().then_some(Deduplication {
            ttl_refresh: &self.ttl_refresh,
            windows_may_be_evicted: self.commands.windows_may_be_evicted(),
        });
        let context = EncodeContext {
            sizes: &self.sizes,
            max_reply_bytes,
            runs_scripts: self.commands.scripts().is_allowed(),
            arms: self.commands.tracks(),
        };
        OperationBatch::new(operations, deduplication, context)
    }

    /// Returns a tail of a stream, which reads nothing before its first poll.
    pub(crate) fn redis_tail(&self, stream: &[u8], from: TailFrom) -> RedisTail {
        let (commands, hub) = (self.commands.clone(), self.hub.clone());
        RedisTail::new(commands, hub, self.pages.clone(), stream, from)
    }

    /// Sends the commands in the future's first poll.
    fn run(&self, batch: OperationBatch) -> impl Future<Output = Vec<OperationOutcome>> + Send {
        batch.run(OutcomeContext {
            commands: &self.commands,
            hub: &self.hub,
            bulk: &self.bulk,
            sizes: &self.sizes,
        })
    }
}

impl fmt::Debug for RedisStreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStreams")
            .field("commands", &self.commands)
            .finish_non_exhaustive()
    }
}

/// Bytes that a read which may wait counts for, at most.
const USUAL_WAITING_BYTES: usize = 64 * 1024;

impl PerformOperation for RedisStreams {
    async fn perform_operation<'a>(&'a self, operation: Operation<'a>) -> CacheResult<Reply> {
        let batch = self.encode(std::iter::once(operation), u64::MAX);
        match self.run(batch).await.pop() {
            Some(outcome) => outcome.finish().await,
            None => Err(errors::unexpected("an answer")),
        }
    }
}

impl Backend for RedisStreams {
    fn perform<'a>(
        &'a self,
        operations: Vec<Operation<'_>>,
        options: PerformOptions,
    ) -> BoxFuture<'a, Vec<Progress<'a>>> {
        let progress = |outcome| match outcome {
            OperationOutcome::Done(result) => Progress::Done(result),
            OperationOutcome::Waiting { wait, position } => {
                Progress::waiting(position, wait.finish().boxed())
            }
            OperationOutcome::Continuing(future) => Progress::continuing(future),
        };
        let mut batch = self.encode(operations.into_iter(), options.max_reply_bytes as u64);
        batch.set_cancellations(options.cancellations);
        batch.set_permit(options.permit);
        self.run(batch)
            .map(move |outcomes| outcomes.into_iter().map(progress).collect())
            .boxed()
    }

    fn expected_reply_bytes(&self, read: &Operation<'_>) -> usize {
        let (stream, count) = match read {
            // Only the last id is read.
            Operation::Read { last_id, .. } if &**last_id == "$" => return 0,
            Operation::ReadLatest { stream, count }
            | Operation::Read { stream, count, .. }
            | Operation::ReadGroup { stream, count, .. }
            | Operation::ReadPending { stream, count, .. }
            | Operation::Claim { stream, count, .. } => (stream, *count),
            _ => return 0,
        };
        let place = self.sizes.place(stream);
        let bytes = self.sizes.first_page_bytes(place, count);
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        match read.block_ms() {
            // Most reads that may wait find little.
            Some(_) if !self.sizes.is_known(place) => 0,
            Some(_) => bytes.min(USUAL_WAITING_BYTES),
            None => bytes,
        }
    }

    fn tail_source<'a>(&'a self, stream: Bytes<'_>, from: TailFrom) -> Box<dyn TailSource + 'a> {
        Box::new(self.redis_tail(&stream, from))
    }

    fn pending_entries(&self) -> Option<&dyn PendingEntries> {
        Some(self)
    }

    fn availability(&self) -> Option<watch::Receiver<Option<CacheError>>> {
        Some(self.commands.availability().watch())
    }

    fn counters(&self) -> Option<&BackendCounters> {
        Some(&self.counters)
    }

    fn reclaim<'a>(&'a self, step: ReclaimStep) -> BoxFuture<'a, CacheResult<Reclaimed>> {
        let mut packed = PackedCommands::default();
        scripts::reclaim(&mut packed, &step);
        async move {
            match self.commands.send(packed).await {
                Ok(mut values) => match values.pop() {
                    Some(value) => {
                        let (reclaimed, dead_letters) = answers::reclaimed(value)?;
                        let entries = reclaimed.entries.len() as u64;
                        self.counters.reclaimed_entries.add(entries);
                        self.counters.dead_letter_entries.add(dead_letters);
                        Ok(reclaimed)
                    }
                    None => Err(errors::unexpected("an answer")),
                },
                Err(error) => Err(error.to_cache_error(false)),
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use streamgate_protocol::{Retry, StreamingBackend, SubscribingBackend};
    use streamgate_test_support::{RedisServer, RedisVersion};

    use super::*;

    async fn connect(server: &RedisServer, max_waits: usize, max_pipelines: usize) -> RedisStreams {
        let builder = RedisStreams::builder(&server.url());
        let bounded = builder.max_waits(max_waits).max_pipelines(max_pipelines);
        bounded.connect().await.unwrap()
    }

    #[tokio::test]
    async fn a_pipeline_beyond_the_bound_is_refused_until_another_ends() {
        let server = RedisServer::start(RedisVersion::V7_0).unwrap();
        let streams = connect(&server, 2, 2).await;
        server.pause().unwrap();
        let ask = || streams.stream_read_latest("s", 1);
        let (first, second) = (ask(), ask());
        let mut both = futures_util::future::join(first, second);
        assert!((&mut both).now_or_never().is_none());
        let refused = ask().await.unwrap_err();
        assert_eq!(
            (refused.code(), refused.retry()),
            ("OVERLOADED", Retry::Later)
        );
        server.resume().unwrap();
        let (first, second) = both.await;
        assert_eq!((first.unwrap(), second.unwrap()), (vec![], vec![]));
        assert_eq!(ask().await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_pipeline_counts_until_it_is_answered_though_its_caller_has_gone() {
        let server = RedisServer::start(RedisVersion::V7_0).unwrap();
        let streams = connect(&server, 2, 100).await;
        server.pause().unwrap();
        let add = || streams.stream_add("s", vec![("f".into(), "v".into())], None);
        let mut refused = 0;
        for _ in 0..1_000 {
            if let Some(error) = add().now_or_never() {
                assert_eq!(error.unwrap_err().code(), "OVERLOADED");
                refused += 1;
            }
        }
        assert_eq!(refused, 900);
        server.resume().unwrap();
        // The answers free the room again.
        loop {
            match add().await {
                Ok(_) => break,
                Err(error) => assert_eq!(error.code(), "OVERLOADED"),
            }
            tokio::task::yield_now().await;
        }
        let entries = streams.stream_read("s", "0", 0, None).await.unwrap();
        assert_eq!(entries.len(), 101);
    }

    #[tokio::test]
    async fn any_number_of_concurrent_adds_keep_their_order() {
        let server = RedisServer::start(RedisVersion::V7_0).unwrap();
        let streams = connect(&server, 2, 5_000).await;
        let add = |n: usize| streams.stream_add("s", vec![("n".into(), n.to_string())], None);
        let adds = futures_util::future::join_all((0..5_000).map(add)).await;
        let ids: Vec<_> = adds.into_iter().map(Result::unwrap).collect();
        let entries = streams.stream_read("s", "0", 0, None).await.unwrap();
        let added: Vec<_> = entries.into_iter().map(|(id, _)| id).collect();
        assert!(ids == added, "they were reordered");
    }

    #[tokio::test]
    async fn a_wait_or_tail_beyond_the_bound_is_refused_until_another_ends() {
        let server = RedisServer::start(RedisVersion::V7_0).unwrap();
        let streams = connect(&server, 2, 64).await;
        streams.stream_create_group("s", "g", "$").await.unwrap();
        let read = || Operation::Read {
            stream: "s".into(),
            last_id: "$".into(),
            count: 1,
            block_ms: Some(0),
        };
        let read_group = || Operation::ReadGroup {
            stream: "s".into(),
            group: "g".into(),
            consumer: "c".into(),
            count: 1,
            block_ms: Some(50),
        };
        let mut waits = streams
            .perform(
                vec![read(), read_group(), read(), read_group()],
                PerformOptions::default(),
            )
            .await;
        for refused in waits.split_off(2) {
            let error = refused.finish().await.unwrap_err();
            assert_eq!((error.code(), error.retry()), ("OVERLOADED", Retry::Later));
        }
        let ended = waits.remove(1).finish().await.unwrap();
        assert_eq!(ended.into_entries().unwrap(), []);
        let mut tail = streams.tail("s", TailFrom::Now);
        tail.next().await.unwrap().unwrap();
        let refused = streams.tail("s", TailFrom::Now).next().await.unwrap();
        assert_eq!(refused.unwrap_err().code(), "OVERLOADED");
        drop(tail);
        let again = streams
            .perform(vec![read_group(), read()], PerformOptions::default())
            .await
            .remove(0);
        assert!(matches!(again, Progress::Waiting { .. }));
    }
}
