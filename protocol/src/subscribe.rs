//! Subscriptions: entries that come by themselves, beside the six operations.

use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::error::CacheResult;
use crate::traits::{StreamEntry, StreamingBackend};

/// Entries that one consumer of a group is given at once, unless it says otherwise: enough that a
/// round trip is shared, few enough that its siblings get some too.
pub const DEFAULT_CONSUME_BATCH: usize = 64;

/// A stream's entries as they come, in order, none missing and none twice. An error is the last
/// item.
pub type Tail = BoxStream<'static, CacheResult<TailItem>>;

/// The entries that a consumer is given, batch by batch; no batch is empty. An error is the last
/// item.
pub type Deliveries = BoxStream<'static, CacheResult<Vec<StreamEntry>>>;

/// Where a tail starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TailFrom {
    /// With the oldest entry there is.
    Beginning,
    /// With the first entry added from now on.
    Now,
    /// Behind this id: `ms` or `ms-seq`. To go on from an earlier tail, its last position.
    After(String),
    /// With the last so many entries that are there, then those that follow.
    Last(usize),
}

/// What a tail gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TailItem {
    /// Entries, oldest first.
    Entries {
        /// Only the first item of a tail may have none: it then says where the tail stands.
        entries: Vec<StreamEntry>,
        /// Where to resume: the last entry's id, if there is one.
        position: String,
    },
    /// Entries are, or may be, missing here.
    Gap(Gap),
}

/// Entries between where a tail stood and what is left are missing, or may be: they were trimmed,
/// or the stream was deleted and made anew. Redis passes over them without a word.
///
/// Told before any entry behind it, and once. It is told too if the entry that the tail stood
/// at and its neighbours are gone in a way that does not say whether more was there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The id the tail stood at.
    pub after: String,
    /// The first entry that is left behind the gap, if there is one yet.
    pub first: Option<String>,
    /// The stream is another one than before: its ids may have started anew, and what follows is
    /// all of it.
    pub recreated: bool,
    /// Where to resume behind the gap.
    pub position: String,
}

/// How a consumer is given entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumeOptions {
    /// At most so many entries at once; at least 1. [`DEFAULT_CONSUME_BATCH`] by default.
    pub batch: usize,
    /// Also takes over entries that were last delivered so many milliseconds ago or longer, and are
    /// pending since; at least 1. `None` by default: what a consumer holds that vanished stays
    /// pending then.
    ///
    /// Choose more than a worker ever takes for a batch: what a slow one still works on is taken
    /// over from it too. Entries that were delivered through this very stream are not taken over by it,
    /// however long they are pending, so that it gives none twice (unless another consumer took one
    /// over meanwhile, and vanished). Those that a consumer of the same name was given before this
    /// stream began are taken over like anybody's.
    pub claim_after_ms: Option<u64>,
    /// An entry that was delivered so often already, and would be taken over, is not delivered again
    /// but goes to [`dead_letter`](Self::dead_letter); at least 1. Wants that and
    /// [`claim_after_ms`](Self::claim_after_ms). Where a client looks for what a lost connection took,
    /// that counts as a delivery of whatever its consumer holds: leave room.
    pub max_deliveries: Option<u64>,
    /// The stream that takes what was delivered too often: another one than the group's. Each entry
    /// goes there in one step with its acknowledgement, with its fields and, behind them,
    /// [`DEAD_LETTER_FIELDS`]. Wants [`max_deliveries`](Self::max_deliveries).
    pub dead_letter: Option<String>,
}

/// The names of the fields that stand behind those of an entry of a dead-letter stream, in this order:
/// why it is there ([`DEAD_LETTER_REASON`]), the stream, the group, the consumer that held it last, its
/// id there, and how often it was delivered.
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

impl Default for ConsumeOptions {
    fn default() -> Self {
        Self {
            batch: DEFAULT_CONSUME_BATCH,
            claim_after_ms: None,
            max_deliveries: None,
            dead_letter: None,
        }
    }
}

/// A [`StreamingBackend`] that also pushes.
///
/// An implementor of your own that cannot take over what vanished consumers hold should end a
/// subscription that asks for it with `ERR`, as the server does where its backend cannot.
///
/// A subscription begins in its stream's first poll, and ends when the stream is dropped, at the
/// server too. Streams own what they need, so they may outlive the handle they came from.
///
/// # Errors
///
/// Each stream ends with its first error, which is one of
/// [the table](crate::error::CODES): `WRONGTYPE` for a key that holds something else than a
/// stream, also when that happens under a live tail; `NOGROUP` for a group that is missing or
/// goes away; `ERR` for a malformed id, a batch of 0 and [`ConsumeOptions`] that do not go
/// together; `LIMIT` for a name that is too long and an entry too large to be sent.
///
/// A client's connection that is lost ends neither, nor does its server's to Redis: a tail goes on from
/// its last position, and a consumer is given first what was on its way to it.
///
/// # Back pressure
///
/// A stream that is not polled holds a bounded number of entries, and delays nobody else. A tail
/// reads on from where it stands when it is polled again.
pub trait SubscribingBackend: StreamingBackend {
    /// Follows a stream: what is there from `from` on, then what is added, as it is added. A
    /// missing stream is an empty one.
    ///
    /// The first item comes at once, if need be without entries: it says where the tail stands.
    fn tail(&self, stream_key: &str, from: TailFrom) -> Tail;

    /// Takes entries of a group for a consumer, as they come: as if
    /// [`stream_read_group`](StreamingBackend::stream_read_group) were called again and again with
    /// no limit to its wait. Waiting consumers are served in the order they came.
    ///
    /// Entries stay pending until they are acknowledged, one by one or together, with
    /// [`stream_ack`](StreamingBackend::stream_ack). Those of a batch on its way when the stream
    /// is dropped stay pending too.
    ///
    /// With [`claim_after_ms`](ConsumeOptions::claim_after_ms) it looks for entries of consumers that
    /// vanished, too: when it begins, and from then on every quarter of that time, though not more often
    /// than every 100 ms and not less often than every 30 s, as long as it is polled.
    fn consume(
        &self,
        stream_key: &str,
        group_name: &str,
        consumer_name: &str,
        options: ConsumeOptions,
    ) -> Deliveries;
}
