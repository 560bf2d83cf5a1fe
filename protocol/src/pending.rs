//! Pending entries of a consumer group: entries that were delivered and not acknowledged.

use futures_util::future::BoxFuture;

use crate::byte_string::ByteString;
use crate::entry::Entry;
use crate::error::CacheResult;
use crate::limits::MAX_PENDING_PAGE;
use crate::traits::StreamingBackend;

/// A summary of a group's pending entries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PendingSummary {
    /// The number of pending entries.
    pub count: u64,
    /// The smallest of their ids, if there are any.
    pub smallest: Option<String>,
    /// The greatest of their ids, if there are any.
    pub greatest: Option<String>,
    /// The consumers that hold them, by name, and the number of entries that each holds.
    pub consumers: Vec<(ByteString, u64)>,
}

/// Selects pending entries. The default selects all, in pages of [`MAX_PENDING_PAGE`].
///
/// ```
/// use streamgate_protocol::PendingQuery;
///
/// let query = PendingQuery::default().consumer("worker-1").min_idle_ms(60_000).count(100);
/// assert_eq!(query.start, "-");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingQuery {
    /// The first id: an id, `(` and an id to exclude that one, or `-`.
    pub start: String,
    /// The last id: an id, `(` and an id to exclude that one, or `+`.
    pub end: String,
    /// The largest number of entries to return, up to [`MAX_PENDING_PAGE`].
    pub count: usize,
    /// Selects only the entries of this consumer.
    pub consumer: Option<ByteString>,
    /// Selects only entries whose last delivery is at least this many milliseconds ago.
    pub min_idle_ms: u64,
}

/// One pending entry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingEntry {
    /// The entry's id.
    pub id: String,
    /// The consumer that holds it.
    pub consumer: ByteString,
    /// Milliseconds since its last delivery.
    pub idle_ms: u64,
    /// How often it was delivered.
    pub deliveries: u64,
}

/// One consumer of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerInfo {
    /// The consumer's name.
    pub name: ByteString,
    /// The number of entries that are pending for it.
    pub pending: u64,
    /// Milliseconds since its last attempt to read or claim.
    pub idle_ms: u64,
}

/// The result of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claimed {
    /// The start of the next claim. `0-0` after the last pending entry.
    pub cursor: String,
    /// The entries that now belong to the claiming consumer.
    pub entries: Vec<Entry>,
    /// Ids that were pending although their entries were deleted, as many as fit into the reply.
    /// They are pending no longer.
    pub deleted: Vec<String>,
    /// More entries were claimed than fit into the reply. They are pending for the consumer.
    pub more: bool,
}

/// A [`StreamingBackend`] with operations on pending entries: list, claim, hand over.
///
/// With them, entries of crashed consumers are found and reclaimed. A consumer that does so by
/// itself has [`ConsumeOptions::claim_after_ms`](crate::ConsumeOptions::claim_after_ms).
///
/// # Errors
///
/// As [`StreamingBackend`]. A missing group or stream is `NOGROUP`; a malformed id is `ERR`; a
/// count above [`MAX_PENDING_PAGE`] is `LIMIT`, and so is a summary or a list of the consumers of a
/// group that has more than 10,000. If a client loses its connection, it repeats
/// [`pending_summary`](Self::pending_summary) and [`pending`](Self::pending) on the next one; the
/// others fail with `UNKNOWN_OUTCOME`.
///
/// # Cancel safety
///
/// As [`StreamingBackend`]. A claim whose future is dropped may have claimed entries; they are then
/// pending for its consumer.
pub trait PendingEntries: StreamingBackend {
    /// Returns how many entries of a group are pending, and which consumers hold them:
    /// `XPENDING key group`.
    fn pending_summary<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
    ) -> BoxFuture<'a, CacheResult<PendingSummary>>;

    /// Lists pending entries of a group in the order of their ids:
    /// `XPENDING key group [IDLE ms] start end count [consumer]`.
    ///
    /// A missing consumer holds nothing, and a count of 0 returns nothing. To continue after a full
    /// page, start with `(` and its last id.
    fn pending<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        query: PendingQuery,
    ) -> BoxFuture<'a, CacheResult<Vec<PendingEntry>>>;

    /// Claims up to `count` entries whose last delivery is at least `min_idle_ms` milliseconds ago,
    /// whichever consumer holds them: `XAUTOCLAIM key group consumer min-idle-time start COUNT n`.
    ///
    /// A claim is a delivery: it increments the entry's count of deliveries and restarts its idle
    /// time. `start` is the first id to examine: begin with `0-0`, and continue with the
    /// [cursor](Claimed::cursor). As in Redis, one call examines at most ten times `count` entries,
    /// so a call may return none before the last. It may also claim fewer than `count`, so that they
    /// fit into one reply. A count of 0 is `ERR`.
    fn claim<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        consumer_name: &'a str,
        min_idle_ms: u64,
        start: &'a str,
        count: usize,
    ) -> BoxFuture<'a, CacheResult<Claimed>>;

    /// Removes a consumer from a group after handing its pending entries to `new_owner`, and
    /// returns how many it handed over: `XCLAIM`, then `XGROUP DELCONSUMER`.
    ///
    /// No pending entry is lost, even if the consumer receives more meanwhile: the last hand-over
    /// and the removal are one step. Entries keep their idle time and their count of deliveries. A
    /// missing new owner is created if there is anything to hand over. If it is the consumer
    /// itself, the call fails with `ERR`. A missing consumer returns 0. Entries that were deleted
    /// while they were pending are neither handed over nor counted.
    ///
    /// A dropped future, or a lost connection, may leave part of the entries handed over and the
    /// consumer in place. Calling again completes the removal.
    fn remove_consumer<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        consumer_name: &'a str,
        new_owner: &'a str,
    ) -> BoxFuture<'a, CacheResult<u64>>;

    /// Lists the consumers of a group by name, with the number of entries that each holds:
    /// `XINFO CONSUMERS key group`.
    fn consumers<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
    ) -> BoxFuture<'a, CacheResult<Vec<ConsumerInfo>>>;

    /// Acknowledges entries as [`stream_ack`](StreamingBackend::stream_ack) does, and returns how
    /// many of them were pending.
    fn acknowledge<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        ids: &'a [String],
    ) -> BoxFuture<'a, CacheResult<u64>>;
}

impl PendingSummary {
    /// Builds a summary.
    pub fn new(
        count: u64,
        smallest: Option<String>,
        greatest: Option<String>,
        consumers: Vec<(ByteString, u64)>,
    ) -> Self {
        Self {
            count,
            smallest,
            greatest,
            consumers,
        }
    }
}

impl PendingEntry {
    /// Builds a pending entry.
    pub fn new(
        id: impl Into<String>,
        consumer: impl Into<ByteString>,
        idle_ms: u64,
        deliveries: u64,
    ) -> Self {
        Self {
            id: id.into(),
            consumer: consumer.into(),
            idle_ms,
            deliveries,
        }
    }
}

impl Claimed {
    /// Builds the result of a claim.
    pub fn new(cursor: impl Into<String>, entries: Vec<Entry>, deleted: Vec<String>) -> Self {
        Self {
            cursor: cursor.into(),
            entries,
            deleted,
            more: false,
        }
    }
}

impl ConsumerInfo {
    /// Builds what is known of a consumer.
    pub fn new(name: impl Into<ByteString>, pending: u64, idle_ms: u64) -> Self {
        Self {
            name: name.into(),
            pending,
            idle_ms,
        }
    }
}

impl PendingQuery {
    /// Sets the [first id](Self#structfield.start).
    #[must_use]
    pub fn start(mut self, start: impl Into<String>) -> Self {
        self.start = start.into();
        self
    }

    /// Sets the [last id](Self#structfield.end).
    #[must_use]
    pub fn end(mut self, end: impl Into<String>) -> Self {
        self.end = end.into();
        self
    }

    /// Sets the [largest number of entries](Self#structfield.count).
    #[must_use]
    pub fn count(mut self, count: usize) -> Self {
        self.count = count;
        self
    }

    /// Selects only the entries of one [consumer](Self::consumer).
    #[must_use]
    pub fn consumer(mut self, consumer: impl Into<ByteString>) -> Self {
        self.consumer = Some(consumer.into());
        self
    }

    /// Sets the [minimum idle time](Self#structfield.min_idle_ms).
    #[must_use]
    pub fn min_idle_ms(mut self, min_idle_ms: u64) -> Self {
        self.min_idle_ms = min_idle_ms;
        self
    }
}

impl Default for PendingQuery {
    fn default() -> Self {
        Self {
            start: "-".to_owned(),
            end: "+".to_owned(),
            count: MAX_PENDING_PAGE,
            consumer: None,
            min_idle_ms: 0,
        }
    }
}
