//! The public type, and the traits it implements.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use streamgate_backend::memory_budget::{MemoryBudget, MemoryKind};
use streamgate_backend::tail::source::into_tail;
use streamgate_backend::{
    Backend, BackendCounters, PerformOptions, Progress, ReclaimStep, Reclaimed, TailSource, consume,
};
use streamgate_protocol::{
    Bytes, CacheResult, ConsumeOptions, Deliveries, Operation, PendingEntries, PerformOperation,
    Reply, SubscribingBackend, Tail, TailFrom,
};

use crate::answer::{Answer, Outcome};
use crate::builder::MemoryStreamsBuilder;
use crate::clock::now_ms;
use crate::shared_store::SharedStore;
use crate::tail::MemoryTail;
use crate::waiting_call::WaitingCall;

/// Streams in this process's memory, with the meaning they have in Redis 7.0.
///
/// Clones are cheap and share the streams. Dropping the last clone drops the streams.
///
/// # How it differs from Redis
///
/// - `maxlen` trims exactly, which is one of the answers that `MAXLEN ~` allows.
/// - A number that Redis refuses as too large (above 2^63 − 1, or a wait that ends after the end
///   of its clock) means "no limit" here.
/// - An add succeeds if it fits [the capacity](MemoryStreamsBuilder::capacity_bytes) after its own
///   trimming. Redis checks its memory before it trims.
///
/// # Errors
///
/// Beside Redis's own errors: `OOM` if an entry or a pending entry does not fit, and `OVERLOADED`
/// if a wait or a tail does not fit. [`MemoryStreamsBuilder`] sets these capacities. A call that
/// fails changes nothing.
///
/// # Cancel safety
///
/// A call does nothing before its future is first polled. A wait whose future is dropped leaves no
/// trace and gets no entry afterwards.
///
/// # Runtime
///
/// A wait with a time limit needs a tokio runtime with its timer enabled, and so does a
/// subscription that reclaims. All else runs on any executor.
#[derive(Clone)]
pub struct MemoryStreams {
    pub(crate) store: SharedStore,
    memory: MemoryBudget,
    counters: Arc<BackendCounters>,
}

impl MemoryStreams {
    /// Returns streams in memory with the default capacities; there are none yet.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder that sets the capacities.
    pub fn builder() -> MemoryStreamsBuilder {
        MemoryStreamsBuilder::new()
    }

    fn perform_all(
        &self,
        operations: Vec<Operation<'_>>,
        options: &PerformOptions,
    ) -> Vec<Progress<'_>> {
        let max_bytes = options.max_reply_bytes as u64;
        let now_ms = now_ms();
        let mut store = self.store.lock();
        let perform = |operation: Operation<'_>| {
            let from_now =
                matches!(&operation, Operation::Read { last_id, .. } if &**last_id == "$");
            (store.perform(operation, max_bytes, now_ms), from_now)
        };
        let outcomes: Vec<_> = operations.into_iter().map(perform).collect();
        drop(store);
        // Outside the lock, because an answer copies its entries.
        let progress = |(outcome, from_now)| self.progress(outcome, from_now);
        outcomes.into_iter().map(progress).collect()
    }

    /// Copies the entries of a large answer, once there is room for them.
    async fn copy_large(&self, answer: Answer, bytes: usize) -> CacheResult<Reply> {
        // A small budget serves one such reply at a time.
        let room = bytes.min(self.memory.max_bytes() / 2);
        let _reservation = self.memory.reserve(MemoryKind::Replies, room).await?;
        Ok(answer.into())
    }

    fn progress(&self, outcome: CacheResult<Outcome>, from_now: bool) -> Progress<'_> {
        match outcome {
            Ok(Outcome::Done(answer)) => match answer.large_bytes() {
                Some(bytes) => Progress::continuing(Box::pin(self.copy_large(answer, bytes))),
                None => Progress::Done(Ok(answer.into())),
            },
            Ok(Outcome::Waiting(registration)) => Progress::waiting(
                registration.after.clone().filter(|_| from_now),
                Box::pin(WaitingCall::new(&self.store, registration).reply()),
            ),
            Err(error) => Progress::Done(Err(error)),
        }
    }
}

impl MemoryStreamsBuilder {
    /// Returns streams in memory; there are none yet.
    pub fn build(self) -> MemoryStreams {
        let (store, memory) = self.into_parts();
        MemoryStreams {
            store,
            memory,
            counters: Arc::default(),
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
        // The guard is gone before the wait.
        let outcome = self.store.lock().perform(operation, u64::MAX, now_ms());
        match outcome? {
            Outcome::Done(answer) => Ok(answer.into()),
            Outcome::Waiting(registration) => {
                WaitingCall::new(&self.store, registration).reply().await
            }
        }
    }
}

impl Backend for MemoryStreams {
    fn perform<'a>(
        &'a self,
        operations: Vec<Operation<'_>>,
        options: PerformOptions,
    ) -> BoxFuture<'a, Vec<Progress<'a>>> {
        let operations: Vec<_> = operations.into_iter().map(Operation::into_owned).collect();
        Box::pin(async move { self.perform_all(operations, &options) })
    }

    fn tail_source<'a>(&'a self, stream: Bytes<'_>, from: TailFrom) -> Box<dyn TailSource + 'a> {
        Box::new(MemoryTail::new(&self.store, stream, from))
    }

    fn pending_entries(&self) -> Option<&dyn PendingEntries> {
        Some(self)
    }

    fn counters(&self) -> Option<&BackendCounters> {
        Some(&self.counters)
    }

    fn reclaim<'a>(&'a self, step: ReclaimStep) -> BoxFuture<'a, CacheResult<Reclaimed>> {
        Box::pin(async move {
            let answer = self.store.lock().reclaim(&step, now_ms())?;
            let reclaimed = answer.entries.len() as u64;
            self.counters.reclaimed_entries.add(reclaimed);
            let dead_letters = answer.dead_letters as u64;
            self.counters.dead_letter_entries.add(dead_letters);
            // Outside the lock, because it copies the entries.
            Ok(answer.into())
        })
    }
}

impl SubscribingBackend for MemoryStreams {
    fn tail_stream(&self, stream_key: Bytes<'_>, from: TailFrom) -> Tail {
        into_tail(MemoryTail::new(&self.store, stream_key, from))
    }

    fn consume_group(
        &self,
        stream_key: Bytes<'_>,
        group_name: Bytes<'_>,
        consumer_name: Bytes<'_>,
        options: ConsumeOptions,
    ) -> Deliveries {
        consume(self, stream_key, group_name, consumer_name, options)
    }
}
