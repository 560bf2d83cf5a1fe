//! Streams in Redis.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use streamgate_protocol::{
    CacheError, CacheResult, ConsumerGroups, Operation, PerformOperation, Reply, TailFrom,
};
use tokio::sync::watch;

use streamgate_backend::reclaim::step::{ReclaimStep, Reclaimed};
use streamgate_backend::tail::source::TailSource;
use streamgate_backend::{Backend, Progress};

use crate::connection::availability::RedisAvailability;
use crate::connection::barrier::Barrier;
use crate::connection::command_connection::{CommandConnection, MAX_PIPELINES};
use crate::connection::endpoint::Endpoint;
use crate::connection::resp::PackedCommands;
use crate::hub::{Hub, MAX_WAITS};
use crate::operation::batch::{OperationBatch, OperationOutcome};
use crate::tail::{PageReader, RedisTail, TailReaders};

/// Streams in Redis 7.0 or newer. Clones are cheap and share everything.
///
/// There are two connections, however many readers wait and however many tails are followed: one
/// for commands, and one on which Redis pushes which stream has changed (`CLIENT TRACKING`). No
/// command blocks inside Redis, so a wait of any length delays nobody. Both connections are made
/// again by themselves when they are lost; waits and tails go on meanwhile and miss nothing.
/// [`availability`](Backend::availability) says whether Redis is there: one that closes its connections
/// is away at once, one that hangs within [`PING_EVERY`] and [`RESPONSE_TIMEOUT`], seven seconds.
///
/// A value belongs to the tokio runtime in which it was connected: its tasks end with that
/// runtime, and after that nothing works.
///
/// A Redis that has become a replica refuses what writes (`READONLY`). Another one is then looked for
/// under the same name, about once a second, for as long as somebody writes or waits to: name that
/// which moves with the master.
///
/// # Errors
///
/// Those of [`StreamingBackend`](streamgate_protocol::StreamingBackend), and:
///
/// - `DISCONNECTED` at once while Redis is away, and for a wait that ends while it is away; or what
///   Redis says for now, such as `LOADING`;
/// - `TIMEOUT` for an operation that only reads, `UNKNOWN_OUTCOME` for any other, when Redis
///   gives no answer for [`RESPONSE_TIMEOUT`];
/// - `UNKNOWN_OUTCOME` for a group read that was being served when the connection was lost;
/// - `OVERLOADED` beyond 131,072 waits and tails at once, and beyond 65,536 calls that Redis has not
///   answered;
/// - `SERIALIZATION` for an answer whose shape is unknown.
///
/// # What an access list must allow
///
/// Beside the commands that the operations are named after (`XADD`, `XREVRANGE`, `XREAD`, `XGROUP`,
/// `XREADGROUP`, `XACK`) and `PING`, and best `CLIENT TRACKING`, a tail takes `XRANGE`,
/// `XREVRANGE`, `XINFO`, `XLEN`, `MULTI` and `EXEC`. Whatever is missing ends it with `NOPERM`. What is
/// about pending entries takes `XPENDING` and `XAUTOCLAIM`. The removal of a consumer, and one that
/// claims by itself, take `EVAL`, and in the script `XPENDING`, `XCLAIM` and `XGROUP`, or `XPENDING`,
/// `XCLAIM`, `TIME`, `XRANGE`, `XADD` and `XACK`. To do adds once takes `SCRIPT LOAD` and `EVALSHA`, and
/// in the script `GET`, `GETRANGE`, `SETRANGE` and `PEXPIRE` on keys of the name `streamgate:once:*`;
/// where `SCRIPT LOAD` is refused, adds are plain ones, and none is asked for again. `ROLE` tells
/// after a failover whether the Redis that is found under the same name is the one that was promoted;
/// without it that is found out by the next write.
///
/// # Where Redis refuses `CLIENT TRACKING`
///
/// By its access list, perhaps. Then it is asked by `XREAD BLOCK`, on further connections of up
/// to 256 streams each, which are best unblocked when there are others (`CLIENT ID`, `CLIENT
/// UNBLOCK`; without them a new stream may have to wait for 100 ms). A stream that is deleted, trimmed or made anew is noticed within two
/// seconds then, instead of at once; nothing else is different but the cost.
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
    pub(crate) readers: TailReaders,
}

impl RedisStreams {
    /// Connects to the Redis at a URL: `redis://[user:password@]host[:port][/database]`.
    ///
    /// # Errors
    ///
    /// `CONFIG` for a URL that is none, `DISCONNECTED` if Redis cannot be reached, otherwise what
    /// Redis says, such as `WRONGPASS` or `NOAUTH`. No error repeats the password.
    pub async fn connect(url: &str) -> CacheResult<Self> {
        Self::connect_with(url, MAX_WAITS, MAX_PIPELINES).await
    }

    async fn connect_with(url: &str, max_waits: usize, max_pipelines: usize) -> CacheResult<Self> {
        let endpoint = Endpoint::new(url)?;
        let barrier = Barrier::default();
        let availability = RedisAvailability::default();
        let (own, told) = (barrier.clone(), availability.clone());
        let commands =
            CommandConnection::connect(endpoint.clone(), own, told, max_pipelines).await?;
        let hub = Hub::connect(endpoint, barrier, availability, max_waits).await?;
        let pages = PageReader::new();
        Ok(Self {
            readers: TailReaders {
                commands,
                hub,
                pages,
            },
        })
    }
}

impl PerformOperation for RedisStreams {
    /// Encodes at once; the future queues the command when it is first polled.
    fn perform_operation<'a>(
        &'a self,
        operation: Operation<'a>,
    ) -> impl Future<Output = CacheResult<Reply>> + Send + 'a {
        let batch = OperationBatch::new(
            std::iter::once(operation),
            &self.readers.hub,
            self.readers.commands.ttl_refresh(),
        );
        async move {
            match batch
                .run(&self.readers.commands, &self.readers.hub)
                .await
                .pop()
            {
                Some(outcome) => outcome.finish().await,
                None => Err(crate::wire::errors::unexpected("an answer")),
            }
        }
    }
}

impl Backend for RedisStreams {
    fn perform<'a>(&'a self, operations: Vec<Operation<'_>>) -> BoxFuture<'a, Vec<Progress<'a>>> {
        let batch = OperationBatch::new(
            operations.into_iter(),
            &self.readers.hub,
            self.readers.commands.ttl_refresh(),
        );
        let outcomes = batch.run(&self.readers.commands, &self.readers.hub);
        let progress = |outcome| match outcome {
            OperationOutcome::Done(result) => Progress::Done(result),
            OperationOutcome::Waiting { wait, position } => {
                Progress::waiting(position, wait.finish().boxed())
            }
            OperationOutcome::GoingOn(future) => Progress::waiting(None, future),
        };
        outcomes
            .map(move |outcomes| outcomes.into_iter().map(progress).collect())
            .boxed()
    }

    fn tail_source<'a>(&'a self, stream: &str, from: TailFrom) -> Box<dyn TailSource + 'a> {
        Box::new(RedisTail::new(self.readers.clone(), stream, from))
    }

    fn groups(&self) -> Option<&dyn ConsumerGroups> {
        Some(self)
    }

    fn availability(&self) -> Option<watch::Receiver<Option<CacheError>>> {
        Some(self.readers.commands.availability().watch())
    }

    fn reclaim<'a>(&'a self, step: ReclaimStep) -> BoxFuture<'a, CacheResult<Reclaimed>> {
        let mut packed = PackedCommands::default();
        crate::wire::scripts::reclaim(&mut packed, &step);
        async move {
            match self.readers.commands.send(packed).await {
                Ok(mut values) => match values.pop() {
                    Some(value) => crate::wire::answers::taken_over(value),
                    None => Err(crate::wire::errors::unexpected("an answer")),
                },
                Err(failure) => Err(failure.error(false)),
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

    async fn connect(server: &RedisServer, waits: usize, pipelines: usize) -> RedisStreams {
        let url = server.url();
        let connected = RedisStreams::connect_with(&url, waits, pipelines);
        connected.await.unwrap()
    }

    #[tokio::test]
    async fn one_pipeline_too_many_is_refused_until_another_ends() {
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
    async fn adds_that_are_asked_together_keep_their_order_however_many() {
        let server = RedisServer::start(RedisVersion::V7_0).unwrap();
        let streams = connect(&server, 2, MAX_PIPELINES).await;
        let add = |n: usize| streams.stream_add("s", vec![("n".into(), n.to_string())], None);
        let adds = futures_util::future::join_all((0..5_000).map(add)).await;
        let ids: Vec<_> = adds.into_iter().map(Result::unwrap).collect();
        let entries = streams.stream_read("s", "0", 0, None).await.unwrap();
        let added: Vec<_> = entries.into_iter().map(|(id, _)| id).collect();
        assert!(ids == added, "they were reordered");
    }

    #[tokio::test]
    async fn one_wait_or_tail_too_many_is_refused_until_another_ends() {
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
            .perform(vec![read(), read_group(), read(), read_group()])
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
        let again = streams.perform(vec![read_group(), read()]).await.remove(0);
        assert!(matches!(again, Progress::Waiting { .. }));
    }
}
