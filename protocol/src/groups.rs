//! What a group's consumers hold: looked at, taken over, handed on.

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::error::CacheResult;
use crate::traits::{StreamEntry, StreamingBackend};

/// Entries of a group that are pending, in short.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PendingSummary {
    /// How many.
    pub count: u64,
    /// The smallest of their ids, if there are any.
    pub smallest: Option<String>,
    /// The greatest of their ids, if there are any.
    pub greatest: Option<String>,
    /// The consumers that hold them, by name, and how many each.
    pub consumers: Vec<(String, u64)>,
}

/// Which pending entries to give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingQuery {
    /// From this id on: an id, `(` and an id to leave that one out, or `-`.
    pub start: String,
    /// Up to this id: an id, `(` and an id to leave that one out, or `+`.
    pub end: String,
    /// At most so many, and at most
    /// [`MAX_PENDING_PAGE`](crate::limits::MAX_PENDING_PAGE).
    pub count: usize,
    /// Only those that this consumer holds.
    pub consumer: Option<String>,
    /// Only those that were last delivered so many milliseconds ago, or longer.
    pub min_idle_ms: u64,
}

/// An entry that was delivered and not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingEntry {
    /// The entry's id.
    pub id: String,
    /// Who holds it.
    pub consumer: String,
    /// Milliseconds since it was last delivered.
    pub idle_ms: u64,
    /// How often it was delivered.
    pub deliveries: u64,
}

/// What a claim gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claimed {
    /// Where to go on: the next claim's start. `0-0` once all that is pending was looked at.
    pub cursor: String,
    /// The entries that are the claiming consumer's now.
    pub entries: Vec<StreamEntry>,
    /// Ids that were pending although their entries were deleted. They are not pending any more.
    pub deleted: Vec<String>,
}

/// What a consumer held that vanished is not stuck: a [`StreamingBackend`] whose pending entries
/// can be looked at, taken over and handed on.
///
/// A consumer that is to take over by itself has
/// [`ConsumeOptions::claim_after_ms`](crate::ConsumeOptions::claim_after_ms).
///
/// # Errors
///
/// As the six operations. A group or a stream that is missing is `NOGROUP`; a malformed id is
/// `ERR`; a count beyond [`MAX_PENDING_PAGE`](crate::limits::MAX_PENDING_PAGE) is `LIMIT`. When a
/// client loses its connection, it asks the two that only look again, and the others fail with
/// `UNKNOWN_OUTCOME`.
///
/// # Cancel safety
///
/// As the six operations. A claim whose future is dropped may have taken entries over, which are
/// pending for its consumer then.
pub trait ConsumerGroups: StreamingBackend {
    /// How many entries of a group are pending, and who holds them: `XPENDING key group`.
    fn pending_summary<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
    ) -> BoxFuture<'a, CacheResult<PendingSummary>>;

    /// The pending entries of a group, in the order of their ids:
    /// `XPENDING key group [IDLE ms] start end count [consumer]`.
    ///
    /// A consumer that is missing holds nothing, and a count of 0 gives nothing. To go on behind a
    /// full page, ask from `(` and its last id.
    fn pending<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        query: PendingQuery,
    ) -> BoxFuture<'a, CacheResult<Vec<PendingEntry>>>;

    /// Takes over up to `count` entries, from the id `start` on, that were last delivered
    /// `min_idle_ms` milliseconds ago or longer, whoever holds them:
    /// `XAUTOCLAIM key group consumer min-idle-time start COUNT n`.
    ///
    /// That is a delivery: it counts as one, and the time since begins anew. `start` is as in a
    /// [`PendingQuery`]: begin with `0-0`, and go on with the [cursor](Claimed::cursor). As in
    /// Redis, one call looks at ten times `count` entries at most, so one that gives nothing need
    /// not be the last. A count of 0 is `ERR`.
    fn claim<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        consumer_name: &'a str,
        min_idle_ms: u64,
        start: &'a str,
        count: usize,
    ) -> BoxFuture<'a, CacheResult<Claimed>>;

    /// Removes a consumer from a group, after all that it holds was handed over to `heir`:
    /// `XCLAIM`, then `XGROUP DELCONSUMER`. Returns how many entries were handed over.
    ///
    /// No pending entry is lost, also if the consumer is given more meanwhile: the last hand-over
    /// and the removal are one step. Entries keep the time since their delivery and the count of
    /// deliveries. An heir that is missing is created if there is anything to hand over; one that
    /// is the consumer itself is `ERR`. A consumer that is missing gives 0. Entries that were
    /// deleted while they were pending are not handed over, and are not counted.
    ///
    /// A future that is dropped, and a connection that is lost, may leave part of the entries
    /// handed over and the consumer in place; calling again finishes it.
    fn remove_consumer<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        consumer_name: &'a str,
        heir_name: &'a str,
    ) -> BoxFuture<'a, CacheResult<u64>>;
}

impl Default for PendingQuery {
    /// All that is pending, a page of at most
    /// [`MAX_PENDING_PAGE`](crate::limits::MAX_PENDING_PAGE) entries.
    fn default() -> Self {
        Self {
            start: "-".to_owned(),
            end: "+".to_owned(),
            count: crate::limits::MAX_PENDING_PAGE,
            consumer: None,
            min_idle_ms: 0,
        }
    }
}
