//! Streams in this process's memory.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::future::BoxFuture;
use streamgate_protocol::{
    CacheResult, ConsumeOptions, ConsumerGroups, Deliveries, Operation, PerformOperation, Reply,
    SubscribingBackend, Tail, TailFrom,
};

use streamgate_backend::consume::consume;
use streamgate_backend::reclaim::step::{ReclaimStep, Reclaimed};
use streamgate_backend::tail::source::{TailSource, tail};
use streamgate_backend::{Backend, Progress};

use crate::budget::{DEFAULT_CAPACITY_BYTES, MAX_PENDING_BYTES, MAX_WAITING_BYTES};

use crate::store::{Engine, Step};
use crate::tail::Follower;
use crate::wait::Wait;

/// Streams in this process's memory, with the meaning they have in Redis 7.0.
///
/// A clone is cheap and shows the same streams. When the last clone is dropped they are gone.
///
/// # How it differs from Redis
///
/// - `maxlen` trims exactly, which is one of the answers `MAXLEN ~` allows.
/// - A number beyond what Redis takes (2^63 − 1, or a wait that ends after the end of its clock)
///   means "no limit" instead of an error.
/// - When an entry does not fit ([`with_capacity_bytes`](Self::with_capacity_bytes)), but does
///   after the trimming that the same add asks for, the add is done; Redis checks its memory
///   first.
///
/// # Errors
///
/// Beside Redis's own: `OOM` when the streams
/// ([`with_capacity_bytes`](Self::with_capacity_bytes)) or what is pending
/// ([`MAX_PENDING_BYTES`]) would grow too large, and `OVERLOADED` when too many calls wait
/// ([`MAX_WAITING_BYTES`]). Nothing is changed then.
///
/// # Cancel safety
///
/// A call whose future is dropped leaves no trace of its wait, and is handed no entry after that.
/// A call does nothing before its future is first polled.
///
/// # Runtime
///
/// A wait with a limit needs a tokio runtime with its timer; all else runs on any executor.
#[derive(Clone)]
pub struct MemoryStreams {
    pub(crate) engine: Arc<Mutex<Engine>>,
}

impl MemoryStreams {
    /// No streams yet, and room for [`DEFAULT_CAPACITY_BYTES`].
    pub fn new() -> Self {
        Self::with_capacity_bytes(DEFAULT_CAPACITY_BYTES)
    }

    /// No streams yet, and room for about `bytes` bytes of streams: their keys, their groups'
    /// names and their entries, with what it costs to hold them.
    pub fn with_capacity_bytes(bytes: usize) -> Self {
        Self::with_engine(Engine::new(bytes, MAX_PENDING_BYTES, MAX_WAITING_BYTES))
    }

    pub(crate) fn with_engine(engine: Engine) -> Self {
        Self {
            engine: Arc::new(Mutex::new(engine)),
        }
    }

    fn perform_all(&self, operations: Vec<Operation<'_>>) -> Vec<Progress<'_>> {
        let now_ms = now_ms();
        let mut engine = lock(&self.engine);
        let perform = |operation: Operation<'_>| {
            let from_now =
                matches!(&operation, Operation::Read { last_id, .. } if &**last_id == "$");
            (engine.perform(operation, now_ms), from_now)
        };
        let steps: Vec<_> = operations.into_iter().map(perform).collect();
        drop(engine);
        // Outside the lock, because an answer copies its entries.
        let progress = |(step, from_now)| self.progress(step, from_now);
        steps.into_iter().map(progress).collect()
    }

    fn progress(&self, step: CacheResult<Step>, from_now: bool) -> Progress<'_> {
        match step {
            Ok(Step::Done(answer)) => Progress::Done(Ok(answer.into())),
            Ok(Step::Waiting(ticket)) => Progress::Waiting {
                position: ticket.asked.clone().filter(|_| from_now),
                future: Box::pin(Wait::new(&self.engine, ticket).reply()),
            },
            Err(error) => Progress::Done(Err(error)),
        }
    }
}

impl Default for MemoryStreams {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStreams").finish_non_exhaustive()
    }
}

impl PerformOperation for MemoryStreams {
    async fn perform_operation<'a>(&'a self, operation: Operation<'a>) -> CacheResult<Reply> {
        let step = lock(&self.engine).perform(operation, now_ms());
        match step? {
            Step::Done(answer) => Ok(answer.into()),
            Step::Waiting(ticket) => Wait::new(&self.engine, ticket).reply().await,
        }
    }
}

impl Backend for MemoryStreams {
    fn perform<'a>(&'a self, operations: Vec<Operation<'_>>) -> BoxFuture<'a, Vec<Progress<'a>>> {
        let operations: Vec<_> = operations.into_iter().map(Operation::into_owned).collect();
        Box::pin(async move { self.perform_all(operations) })
    }

    fn tail_source<'a>(&'a self, stream: &str, from: TailFrom) -> Box<dyn TailSource + 'a> {
        Box::new(Follower::new(&self.engine, stream, from))
    }

    fn groups(&self) -> Option<&dyn ConsumerGroups> {
        Some(self)
    }

    fn reclaim<'a>(&'a self, step: ReclaimStep) -> BoxFuture<'a, CacheResult<Reclaimed>> {
        Box::pin(async move {
            let taken = lock(&self.engine).reclaim(&step, now_ms())?;
            // Outside the lock, because it copies the entries.
            Ok(taken.into())
        })
    }
}

impl SubscribingBackend for MemoryStreams {
    fn tail(&self, stream_key: &str, from: TailFrom) -> Tail {
        tail(Follower::new(&self.engine, stream_key, from))
    }

    fn consume(
        &self,
        stream_key: &str,
        group_name: &str,
        consumer_name: &str,
        options: ConsumeOptions,
    ) -> Deliveries {
        consume(self, stream_key, group_name, consumer_name, options)
    }
}

/// Goes on after a panic elsewhere: nothing panics between two changes that belong together, so
/// what the lock guards is whole even then.
pub(crate) fn lock(engine: &Mutex<Engine>) -> MutexGuard<'_, Engine> {
    engine.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Milliseconds since 1970; 0 on a clock set before that, where ids still only grow.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
