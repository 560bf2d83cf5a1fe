//! The trait that the server calls.

use futures_util::future::BoxFuture;
use streamgate_protocol::{
    Bytes, CacheError, CacheResult, Operation, PendingEntries, StreamingBackend, TailFrom,
};
use tokio::sync::watch;

use crate::counters::BackendCounters;
use crate::default_perform::{perform_in_order, unsupported};
use crate::perform_options::PerformOptions;
use crate::progress::Progress;
use crate::reclaim::step::{ReclaimStep, Reclaimed};
use crate::tail::polling::PollingTail;
use crate::tail::source::TailSource;

/// A backend that the streamgate server can serve.
///
/// Every method has a default, so `impl Backend for Mine {}` is enough for a backend that has the
/// six operations. The defaults call those six. Operations on pending entries fail with `ERR` until
/// the backend overrides [`pending_entries`](Self::pending_entries) and [`reclaim`](Self::reclaim).
///
/// The server holds a backend as `Arc<dyn Backend>` and calls it from several threads.
///
/// # Example
///
/// ```
/// use futures_util::future::BoxFuture;
/// use streamgate_backend::Backend;
/// use streamgate_protocol::error::code;
/// use streamgate_protocol::{
///     CacheError, CacheResult, PendingEntries, Operation, PerformOperation, Reply,
/// };
///
/// /// Takes every entry and stores none.
/// struct Discard;
///
/// impl PerformOperation for Discard {
///     async fn perform_operation<'a>(&'a self, operation: Operation<'a>) -> CacheResult<Reply> {
///         operation.validate()?;
///         match operation {
///             Operation::Add { .. } => Ok(Reply::Added { id: "0-1".to_owned() }),
///             _ => Err(CacheError::backend(code::ERR, "nothing is stored here")),
///         }
///     }
/// }
///
/// impl Backend for Discard {
///     // `PerformOperation` implies `PendingEntries` too.
///     fn pending_entries(&self) -> Option<&dyn PendingEntries> {
///         Some(self)
///     }
/// }
/// ```
pub trait Backend: StreamingBackend {
    /// Performs operations in the order given and returns the progress of each, in that order.
    ///
    /// The server passes all operations that arrived on a socket together, so that a backend can
    /// perform them in one round trip. The default performs them one after the other.
    ///
    /// The returned future must not wait for an entry. Return [`Progress::waiting`] for an
    /// operation that has to. Its wait must begin in its turn: a read from `$` must see an entry
    /// that a later operation of the same list adds.
    ///
    /// What exceeds the largest reply of the options need not be loaded. Once a wait is cancelled, it
    /// must not take entries that are added after that, although the returned future is not dropped.
    ///
    /// Drop the [permit](PerformOptions::permit) of the options when the backend has moved the bytes.
    /// Do not keep it in the returned future: the server does not poll that while its client reads
    /// nothing. The default drops the permit at once, so it bounds nothing.
    ///
    /// # Cancel safety
    ///
    /// As the six operations: an operation without a reply may have been performed.
    fn perform<'a>(
        &'a self,
        operations: Vec<Operation<'_>>,
        options: PerformOptions,
    ) -> BoxFuture<'a, Vec<Progress<'a>>> {
        // The six operations load all that they return.
        let _ = options;
        let operations: Vec<_> = operations.into_iter().map(Operation::into_owned).collect();
        Box::pin(async move { perform_in_order(self, self.pending_entries(), operations).await })
    }

    /// Returns how many bytes the backend loads at once for a read, as far as it knows.
    ///
    /// The server calls this for each read. It begins few large reads at once, so that small
    /// operations do not wait behind them.
    ///
    /// The default knows nothing, and returns 0.
    fn expected_reply_bytes(&self, read: &Operation<'_>) -> usize {
        let _ = read;
        0
    }

    /// Returns a tail of a stream that the server pulls.
    ///
    /// The default polls with [`stream_read`](StreamingBackend::stream_read). It reports a gap if
    /// entries after its position were trimmed. It does not notice that a stream was deleted and
    /// recreated with greater ids.
    fn tail_source<'a>(&'a self, stream: Bytes<'_>, from: TailFrom) -> Box<dyn TailSource + 'a> {
        Box::new(PollingTail::new(self, stream, from))
    }

    /// Returns the operations on pending entries, or `None` if the backend has none.
    ///
    /// The default of [`perform`](Self::perform) needs them for the operations of
    /// [`PendingEntries`].
    fn pending_entries(&self) -> Option<&dyn PendingEntries> {
        None
    }

    /// Returns a watch on the backend's availability: `None` while healthy, else the error that
    /// made it unavailable. Feeds `/readyz` and the clients' `degraded` state.
    ///
    /// The server reports a change of the error's code, and ignores a change of its message alone.
    /// The server still sends operations to an unavailable backend, which answers as it can.
    ///
    /// The default returns no watch: the backend is always available.
    fn availability(&self) -> Option<watch::Receiver<Option<CacheError>>> {
        None
    }

    /// Returns what the backend counts of its own work, for the server's metrics.
    ///
    /// The default counts nothing.
    fn counters(&self) -> Option<&BackendCounters> {
        None
    }

    /// Reclaims one page of a group's pending entries for a consumer.
    ///
    /// The server calls this for a subscription with
    /// [`claim_after_ms`](streamgate_protocol::ConsumeOptions::claim_after_ms). The first poll of
    /// the future must send the step before any operation that the caller starts later.
    ///
    /// Look at up to [`STEP_ENTRIES`](crate::reclaim::step::STEP_ENTRIES) pending entries after the
    /// cursor, and at those idle for [`min_idle_ms`](ReclaimStep::min_idle_ms) do one of these:
    ///
    /// - skip the entry if it was delivered to this same consumer at or after
    ///   [`since_ms`](ReclaimStep::since_ms);
    /// - acknowledge it if it was deleted from the stream;
    /// - if it was delivered [`max_deliveries`](crate::reclaim::dead_letter::DeadLetterPolicy)
    ///   times, add it to the dead-letter stream and acknowledge it, atomically, and do not return
    ///   it;
    /// - if it has more than [`max_entry_bytes`](ReclaimStep::max_entry_bytes), make it pending for
    ///   the consumer without counting a delivery, and return it as skipped;
    /// - if it is not the first to be returned, and does not fit into
    ///   [`max_bytes`](ReclaimStep::max_bytes), leave it to the next step, which begins with it;
    /// - else deliver it to the consumer, and return it.
    ///
    /// # Errors
    ///
    /// Those of the operations. An error whose [`retry`](CacheError::retry) is `Later` ends this
    /// scan of the pending entries; the next scan begins anew. Any other ends the subscription.
    ///
    /// # Cancel safety
    ///
    /// As [`claim`](PendingEntries::claim).
    fn reclaim<'a>(&'a self, step: ReclaimStep) -> BoxFuture<'a, CacheResult<Reclaimed>> {
        drop(step);
        Box::pin(async { Err(unsupported()) })
    }
}
