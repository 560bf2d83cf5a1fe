//! Subscriptions: tails of streams and consumers of groups, to which entries are pushed.

use futures_util::stream::BoxStream;

use crate::byte_string::{ByteString, Bytes};
use crate::entry::Entry;
use crate::error::CacheResult;
use crate::traits::StreamingBackend;

/// The default of [`ConsumeOptions::batch`]: large enough to share a round trip, small enough to
/// leave entries for the other consumers of the group.
pub const DEFAULT_CONSUME_BATCH: usize = 64;

/// The entries of a stream in order, none missing and none twice. An error is the last item.
pub type Tail = BoxStream<'static, CacheResult<TailItem>>;

/// The entries delivered to a consumer, in batches that are never empty. An error is the last item.
pub type Deliveries = BoxStream<'static, CacheResult<Vec<Entry>>>;

/// Where a tail starts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TailFrom {
    /// With the oldest entry.
    Beginning,
    /// With the first entry added from now on.
    Now,
    /// After this id: `ms` or `ms-seq`. To resume an earlier tail, use its last position.
    After(String),
    /// With the last N entries, then those that follow.
    Last(usize),
}

/// An item of a [`Tail`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TailItem {
    /// Entries, oldest first.
    Entries {
        /// Empty only in a tail's first item, which then reports just the position.
        entries: Vec<Entry>,
        /// Where to resume: the id of the last entry, if there is one.
        position: String,
    },
    /// Entries are missing here, or may be.
    Gap(Gap),
    /// An entry that cannot be carried, and is left out.
    Skipped(Skipped),
}

/// A gap in a tail: entries after its position were trimmed or may have been, or the stream was
/// deleted and created again. Plain `XREAD` skips them silently.
///
/// A tail reports a gap once, before any entry after it. It also reports one if the entry at its
/// position and the neighbours are gone and nothing shows whether there were more.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// The tail's position before the gap.
    pub after: String,
    /// The first remaining entry after the gap, if there is one yet.
    pub first: Option<String>,
    /// Why entries are missing.
    pub reason: GapReason,
    /// Where to resume after the gap.
    pub position: String,
}

/// Why entries are missing in a [`Gap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum GapReason {
    /// Entries were trimmed or deleted, or may have been.
    #[default]
    Trimmed,
    /// The stream was deleted and created again: its ids may have started anew, and the tail
    /// continues with its first entry.
    Recreated,
    /// Redis lost its newest entries, as in a failover. The tail continues with the first entry
    /// that is added after those that are left.
    RolledBack,
}

/// An entry that cannot be carried to this client, because it is too large.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// The entry's id.
    pub id: String,
    /// The bytes of its id, names and values; 0 if they are unknown, because a client found the entry
    /// in a recovery.
    pub bytes: u64,
    /// Why it cannot be carried: `size`, or a word of a later version.
    pub reason: String,
}

/// Options of [`SubscribingBackend::consume`].
///
/// ```
/// use streamgate_protocol::ConsumeOptions;
///
/// let options = ConsumeOptions::default()
///     .batch(10)
///     .claim_after_ms(60_000)
///     .dead_letter("orders:dead", 5);
/// assert_eq!(options.max_deliveries, Some(5));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumeOptions {
    /// The largest number of entries in a batch; at least 1. [`DEFAULT_CONSUME_BATCH`] by default.
    pub batch: usize,
    /// Reclaims pending entries whose last delivery is at least this many milliseconds ago; at
    /// least 1. `None` by default: entries of crashed consumers then stay pending.
    ///
    /// Choose more than the longest time a worker takes for a batch, because a slow worker loses
    /// its entries too. A subscription does not reclaim what it delivered itself, so it delivers
    /// nothing twice (unless another consumer claimed an entry meanwhile, and crashed). It does
    /// reclaim what an earlier subscription of the same consumer delivered.
    pub claim_after_ms: Option<u64>,
    /// Moves an entry to [`dead_letter`](Self::dead_letter) instead of reclaiming it, if it was
    /// delivered this many times; at least 1. Requires that stream and
    /// [`claim_after_ms`](Self#structfield.claim_after_ms).
    ///
    /// Entries that a client recovers after a lost connection are not counted once more.
    pub max_deliveries: Option<u64>,
    /// The stream for entries with too many deliveries; not the group's own. Requires
    /// [`max_deliveries`](Self::max_deliveries).
    ///
    /// One step adds the entry there and acknowledges it. [`DEAD_LETTER_FIELDS`] follow its own
    /// fields.
    pub dead_letter: Option<ByteString>,
    /// Creates the group, and the stream, where either is missing: after this id, or after the last
    /// entry if it is `$`. Also whenever they are deleted, as after `FLUSHALL`. `None` by default: the
    /// subscription then ends with `NOGROUP`.
    ///
    /// Once the subscription has begun, `$` stands for the last new entry that it delivered, or for
    /// where it began. If the stream ends before that entry, it is another one, and `$` stands for
    /// its beginning. So nothing is skipped that was added before the group was created again, also
    /// while the client had no connection.
    pub create_from: Option<String>,
}

/// The fields that a dead-letter stream appends to an entry, in this order: the reason
/// ([`DEAD_LETTER_REASON`]), the stream, the group, the last consumer, the entry's id in the
/// stream, and its count of deliveries.
pub const DEAD_LETTER_FIELDS: [&str; 6] = [
    "dead-letter-reason",
    "dead-letter-stream",
    "dead-letter-group",
    "dead-letter-consumer",
    "dead-letter-id",
    "dead-letter-deliveries",
];

/// The value of the first of [`DEAD_LETTER_FIELDS`].
pub const DEAD_LETTER_REASON: &str = "max-deliveries";

/// A [`StreamingBackend`] with subscriptions.
///
/// A subscription begins in its stream's first poll and ends when the stream is dropped, at the
/// server too. Streams own what they need, so they may outlive the handle that returned them.
///
/// If your own implementor cannot reclaim entries, it ends a subscription with
/// [`claim_after_ms`](ConsumeOptions::claim_after_ms) with `ERR`.
///
/// # Errors
///
/// A stream ends with its first error, whose code is one of [the table](crate::error::CODES):
///
/// - `WRONGTYPE` if the key holds something else than a stream, even if that happens under a live
///   tail;
/// - `NOGROUP` if the group is missing or is deleted;
/// - `ERR` for a malformed id, a batch of 0, and an invalid combination of [`ConsumeOptions`];
/// - `LIMIT` for a name that is too long, and an entry that is too large to send.
///
/// A lost connection, of the client or of its server to Redis, ends neither. A tail resumes from
/// its position. A consumer first receives the entries that were on their way to it.
///
/// # Back pressure
///
/// A stream that is not polled holds a bounded number of entries and delays nobody else. When it is
/// polled again, a tail continues from its position.
pub trait SubscribingBackend: StreamingBackend {
    /// Follows a stream: its entries from `from` on, then new entries as they are added. A missing
    /// stream is an empty one.
    ///
    /// The first item comes at once, without entries if need be, and reports the tail's position.
    fn tail(&self, stream_key: &str, from: TailFrom) -> Tail {
        self.tail_stream(stream_key.into(), from)
    }

    /// Delivers entries of a group to a consumer as they come, as if
    /// [`stream_read_group`](StreamingBackend::stream_read_group) were called repeatedly without a
    /// limit to its wait. Waiting consumers are served in the order in which they came.
    ///
    /// Entries stay pending until [`stream_ack`](StreamingBackend::stream_ack) acknowledges them,
    /// one by one or together. If the stream is dropped, entries on their way to it stay pending
    /// too.
    ///
    /// With [`claim_after_ms`](ConsumeOptions::claim_after_ms), the stream also reclaims idle
    /// entries while it is polled: when it begins, and then every quarter of that time, but at
    /// least 100 ms and at most 30 s apart.
    fn consume(
        &self,
        stream_key: &str,
        group_name: &str,
        consumer_name: &str,
        options: ConsumeOptions,
    ) -> Deliveries {
        self.consume_group(
            stream_key.into(),
            group_name.into(),
            consumer_name.into(),
            options,
        )
    }

    /// Follows a stream as [`tail`](Self::tail) does. Its key may be any bytes.
    fn tail_stream(&self, stream_key: Bytes<'_>, from: TailFrom) -> Tail;

    /// Delivers entries of a group to a consumer as [`consume`](Self::consume) does. The names may
    /// be any bytes.
    fn consume_group(
        &self,
        stream_key: Bytes<'_>,
        group_name: Bytes<'_>,
        consumer_name: Bytes<'_>,
        options: ConsumeOptions,
    ) -> Deliveries;
}

impl Gap {
    /// Builds a gap. Set [`first`](Self::first) and [`reason`](Self::reason) where they apply.
    pub fn new(after: impl Into<String>, position: impl Into<String>) -> Self {
        Self {
            after: after.into(),
            first: None,
            reason: GapReason::Trimmed,
            position: position.into(),
        }
    }

    /// Sets the [first remaining entry](Self#structfield.first).
    #[must_use]
    pub fn first(mut self, first: Option<String>) -> Self {
        self.first = first;
        self
    }

    /// Sets [why](Self#structfield.reason) entries are missing.
    #[must_use]
    pub fn reason(mut self, reason: GapReason) -> Self {
        self.reason = reason;
        self
    }
}

impl GapReason {
    /// Returns the word on the wire and in JavaScript.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trimmed => "trimmed",
            Self::Recreated => "recreated",
            Self::RolledBack => "rolled_back",
        }
    }

    /// Returns the reason of a word. A word of a later version is read as `trimmed`.
    pub fn of_word(word: &str) -> Self {
        let all = [Self::Recreated, Self::RolledBack];
        let known = all.into_iter().find(|reason| reason.as_str() == word);
        known.unwrap_or_default()
    }
}

impl Skipped {
    /// Builds the item for an entry that is too large: its id, and its bytes.
    pub fn new(id: impl Into<String>, bytes: u64) -> Self {
        Self {
            id: id.into(),
            bytes,
            reason: "size".to_owned(),
        }
    }
}

impl ConsumeOptions {
    /// Sets the [largest number of entries in a batch](Self#structfield.batch).
    #[must_use]
    pub fn batch(mut self, batch: usize) -> Self {
        self.batch = batch;
        self
    }

    /// Sets the idle time after which entries are [reclaimed](Self#structfield.claim_after_ms).
    #[must_use]
    pub fn claim_after_ms(mut self, claim_after_ms: u64) -> Self {
        self.claim_after_ms = Some(claim_after_ms);
        self
    }

    /// Sets the [dead-letter stream](Self#structfield.dead_letter) and the
    /// [number of deliveries](Self::max_deliveries) after which it takes an entry.
    #[must_use]
    pub fn dead_letter(mut self, stream_key: impl Into<ByteString>, max_deliveries: u64) -> Self {
        self.dead_letter = Some(stream_key.into());
        self.max_deliveries = Some(max_deliveries);
        self
    }

    /// Sets the id after which a missing group is [created](Self#structfield.create_from).
    #[must_use]
    pub fn create_from(mut self, id: impl Into<String>) -> Self {
        self.create_from = Some(id.into());
        self
    }
}

impl Default for ConsumeOptions {
    fn default() -> Self {
        Self {
            batch: DEFAULT_CONSUME_BATCH,
            claim_after_ms: None,
            max_deliveries: None,
            dead_letter: None,
            create_from: None,
        }
    }
}
