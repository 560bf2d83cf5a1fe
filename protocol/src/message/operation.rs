//! Operations as data.

use super::Text;
use crate::byte_string::Bytes;
use crate::pending::PendingQuery;

mod into_owned;
mod validate;

pub(super) use self::validate::name;

/// A call of [`StreamingBackend`](crate::StreamingBackend) or
/// [`PendingEntries`](crate::PendingEntries), with its arguments.
///
/// Numbers have 64 bits, whatever the width of `usize` at either side.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation<'a> {
    /// [`stream_add`](crate::StreamingBackend::stream_add); answered by `Added`.
    Add {
        /// The stream's key.
        stream: Bytes<'a>,
        /// Names and values, in order. At least one pair.
        fields: Vec<(Bytes<'a>, Bytes<'a>)>,
        /// Trims the stream to about this many entries, never fewer.
        maxlen: Option<u64>,
    },
    /// [`stream_read_latest`](crate::StreamingBackend::stream_read_latest); answered by `Entries`.
    ReadLatest {
        /// The stream's key.
        stream: Bytes<'a>,
        /// The largest number of entries.
        count: u64,
    },
    /// [`stream_read`](crate::StreamingBackend::stream_read); answered by `Entries`.
    Read {
        /// The stream's key.
        stream: Bytes<'a>,
        /// An id or `$`.
        last_id: Text<'a>,
        /// The largest number of entries; 0 sets no limit.
        count: u64,
        /// The longest wait in milliseconds; 0 sets no limit, `None` does not wait.
        block_ms: Option<u64>,
    },
    /// [`stream_create_group`](crate::StreamingBackend::stream_create_group); answered by `Done`.
    CreateGroup {
        /// The stream's key.
        stream: Bytes<'a>,
        /// The group's name.
        group: Bytes<'a>,
        /// The group starts after this id, or after the last one if it is `$`.
        id: Text<'a>,
    },
    /// [`stream_read_group`](crate::StreamingBackend::stream_read_group); answered by `Entries`.
    ReadGroup {
        /// The stream's key.
        stream: Bytes<'a>,
        /// The group's name.
        group: Bytes<'a>,
        /// The consumer's name.
        consumer: Bytes<'a>,
        /// The largest number of entries; 0 sets no limit.
        count: u64,
        /// The longest wait in milliseconds; 0 sets no limit, `None` does not wait.
        block_ms: Option<u64>,
    },
    /// [`stream_ack`](crate::StreamingBackend::stream_ack); answered by `Acknowledged`.
    Ack {
        /// The stream's key.
        stream: Bytes<'a>,
        /// The group's name.
        group: Bytes<'a>,
        /// The entries' ids.
        ids: Vec<Text<'a>>,
    },
    /// Reads entries that are pending for a consumer, which counts no delivery and restarts no idle
    /// time; answered by `Entries`. A client uses it to recover the entries of a lost reply to
    /// `ReadGroup`.
    ReadPending {
        /// The stream's key.
        stream: Bytes<'a>,
        /// The group's name.
        group: Bytes<'a>,
        /// The consumer's name.
        consumer: Bytes<'a>,
        /// Strictly after this id.
        after: Text<'a>,
        /// The largest number of entries; 0 sets no limit.
        count: u64,
        /// Entries that are left out, by their ids.
        except: Vec<Text<'a>>,
    },
    /// Adds an entry once, however often it is sent; answered by `Added`.
    IdempotentAdd {
        /// The stream's key.
        stream: Bytes<'a>,
        /// Names and values, in order. At least one pair.
        fields: Vec<(Bytes<'a>, Bytes<'a>)>,
        /// Trims the stream to about this many entries, never fewer.
        maxlen: Option<u64>,
        /// The producer's name; each client has one of its own for each stream.
        producer: Text<'a>,
        /// The producer's number for this add. Numbers rise from 1.
        number: u64,
        /// The number of the preceding add: without that one stored, the backend rejects this add
        /// with `OUT_OF_ORDER`. 0 for none.
        after: u64,
        /// Whether an earlier attempt may have stored the entry.
        resent: bool,
    },
    /// [`pending_summary`](crate::PendingEntries::pending_summary); answered by `Summary`.
    PendingSummary {
        /// The stream's key.
        stream: Bytes<'a>,
        /// The group's name.
        group: Bytes<'a>,
    },
    /// [`pending`](crate::PendingEntries::pending); answered by `Pending`.
    Pending {
        /// The stream's key.
        stream: Bytes<'a>,
        /// The group's name.
        group: Bytes<'a>,
        /// The first id: an id, `(` and an id to exclude that one, or `-`.
        start: Text<'a>,
        /// The last id: an id, `(` and an id to exclude that one, or `+`.
        end: Text<'a>,
        /// The largest number of entries.
        count: u64,
        /// Selects only the entries of this consumer.
        consumer: Option<Bytes<'a>>,
        /// Selects only entries whose last delivery is at least this many milliseconds ago.
        min_idle_ms: Option<u64>,
    },
    /// [`claim`](crate::PendingEntries::claim); answered by `Claimed`.
    Claim {
        /// The stream's key.
        stream: Bytes<'a>,
        /// The group's name.
        group: Bytes<'a>,
        /// The consumer that claims the entries.
        consumer: Bytes<'a>,
        /// Selects only entries whose last delivery is at least this many milliseconds ago.
        min_idle_ms: u64,
        /// The first id.
        start: Text<'a>,
        /// The largest number of entries; at least 1.
        count: u64,
    },
    /// [`remove_consumer`](crate::PendingEntries::remove_consumer); answered by `Removed`.
    RemoveConsumer {
        /// The stream's key.
        stream: Bytes<'a>,
        /// The group's name.
        group: Bytes<'a>,
        /// The consumer to remove.
        consumer: Bytes<'a>,
        /// The consumer that takes over its pending entries.
        new_owner: Bytes<'a>,
    },
    /// [`consumers`](crate::PendingEntries::consumers); answered by `Consumers`.
    Consumers {
        /// The stream's key.
        stream: Bytes<'a>,
        /// The group's name.
        group: Bytes<'a>,
    },
}

impl Operation<'_> {
    /// Returns the stream's key.
    pub fn stream(&self) -> &Bytes<'_> {
        match self {
            Self::Add { stream, .. }
            | Self::ReadLatest { stream, .. }
            | Self::Read { stream, .. }
            | Self::CreateGroup { stream, .. }
            | Self::ReadGroup { stream, .. }
            | Self::Ack { stream, .. }
            | Self::ReadPending { stream, .. }
            | Self::IdempotentAdd { stream, .. }
            | Self::PendingSummary { stream, .. }
            | Self::Pending { stream, .. }
            | Self::Claim { stream, .. }
            | Self::RemoveConsumer { stream, .. }
            | Self::Consumers { stream, .. } => stream,
        }
    }

    /// Returns the longest wait in milliseconds; 0 sets no limit, `None` does not wait.
    pub fn block_ms(&self) -> Option<u64> {
        match self {
            Self::Read { block_ms, .. } | Self::ReadGroup { block_ms, .. } => *block_ms,
            _ => None,
        }
    }

    /// Returns whether the operation asks for entries, so that its reply may be large, and so that
    /// a cancelled one need not begin. The others change something that their caller wants changed.
    pub fn is_read(&self) -> bool {
        match self {
            Self::ReadLatest { .. }
            | Self::Read { .. }
            | Self::ReadGroup { .. }
            | Self::ReadPending { .. }
            | Self::PendingSummary { .. }
            | Self::Pending { .. }
            | Self::Claim { .. }
            | Self::Consumers { .. } => true,
            Self::Add { .. }
            | Self::IdempotentAdd { .. }
            | Self::CreateGroup { .. }
            | Self::Ack { .. }
            | Self::RemoveConsumer { .. } => false,
        }
    }

    /// Returns whether the operation changes nothing, so that it may be sent twice.
    ///
    /// A group read does change something: it delivers entries to a consumer. A read of pending
    /// entries does not.
    pub fn is_read_only(&self) -> bool {
        matches!(
            self,
            Self::ReadLatest { .. }
                | Self::Read { .. }
                | Self::ReadPending { .. }
                | Self::PendingSummary { .. }
                | Self::Pending { .. }
                | Self::Consumers { .. }
        )
    }

    /// Builds the operation of [`pending`](crate::PendingEntries::pending).
    pub fn pending<'a>(
        stream: impl Into<Bytes<'a>>,
        group: impl Into<Bytes<'a>>,
        query: PendingQuery,
    ) -> Operation<'a> {
        Operation::Pending {
            stream: stream.into(),
            group: group.into(),
            start: query.start.into(),
            end: query.end.into(),
            count: u64::try_from(query.count).unwrap_or(u64::MAX),
            consumer: query.consumer.map(Bytes::from),
            min_idle_ms: (query.min_idle_ms > 0).then_some(query.min_idle_ms),
        }
    }
}
