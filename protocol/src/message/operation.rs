//! The six operations as data.

use serde::{Deserialize, Serialize};

use super::Text;
use crate::pending::PendingQuery;

mod into_owned;
mod validate;

pub(super) use self::validate::name;

/// One call of [`StreamingBackend`](crate::StreamingBackend), with its arguments.
///
/// Numbers are 64 bits wide on the wire whatever the width of `usize` at either side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Operation<'a> {
    /// [`stream_add`](crate::StreamingBackend::stream_add); answered by `Added`.
    Add {
        /// The stream's key.
        #[serde(borrow)]
        stream: Text<'a>,
        /// Names and values, in order; at least one pair.
        #[serde(borrow)]
        fields: Vec<(Text<'a>, Text<'a>)>,
        /// Trim to about this many entries, never fewer.
        maxlen: Option<u64>,
    },
    /// [`stream_read_latest`](crate::StreamingBackend::stream_read_latest); answered by `Entries`.
    ReadLatest {
        /// The stream's key.
        #[serde(borrow)]
        stream: Text<'a>,
        /// At most this many.
        count: u64,
    },
    /// [`stream_read`](crate::StreamingBackend::stream_read); answered by `Entries`.
    Read {
        /// The stream's key.
        #[serde(borrow)]
        stream: Text<'a>,
        /// An id or `$`.
        #[serde(borrow)]
        last_id: Text<'a>,
        /// At most this many; 0 for no limit.
        count: u64,
        /// Wait so many milliseconds; 0 for no limit; absent for no wait.
        block_ms: Option<u64>,
    },
    /// [`stream_create_group`](crate::StreamingBackend::stream_create_group); answered by `Done`.
    CreateGroup {
        /// The stream's key.
        #[serde(borrow)]
        stream: Text<'a>,
        /// The group's name.
        #[serde(borrow)]
        group: Text<'a>,
        /// The group starts after this id, or after the last one if it is `$`.
        #[serde(borrow)]
        id: Text<'a>,
    },
    /// [`stream_read_group`](crate::StreamingBackend::stream_read_group); answered by `Entries`.
    ReadGroup {
        /// The stream's key.
        #[serde(borrow)]
        stream: Text<'a>,
        /// The group's name.
        #[serde(borrow)]
        group: Text<'a>,
        /// The consumer's name.
        #[serde(borrow)]
        consumer: Text<'a>,
        /// At most this many; 0 for no limit.
        count: u64,
        /// Wait so many milliseconds; 0 for no limit; absent for no wait.
        block_ms: Option<u64>,
    },
    /// [`stream_ack`](crate::StreamingBackend::stream_ack); answered by `Done`.
    Ack {
        /// The stream's key.
        #[serde(borrow)]
        stream: Text<'a>,
        /// The group's name.
        #[serde(borrow)]
        group: Text<'a>,
        /// The entries' ids.
        #[serde(borrow)]
        ids: Vec<Text<'a>>,
    },
    /// What a consumer was given and has not acknowledged; answered by `Entries`. So a client finds
    /// what a lost answer to a `ReadGroup` gave it.
    ReadPending {
        /// The stream's key.
        #[serde(borrow)]
        stream: Text<'a>,
        /// The group's name.
        #[serde(borrow)]
        group: Text<'a>,
        /// The consumer's name.
        #[serde(borrow)]
        consumer: Text<'a>,
        /// Strictly after this id.
        #[serde(borrow)]
        after: Text<'a>,
        /// At most this many; 0 for no limit.
        count: u64,
    },
    /// As `Add`, once however often it is asked for; answered by `Added`.
    AddOnce {
        /// The stream's key.
        #[serde(borrow)]
        stream: Text<'a>,
        /// Names and values, in order; at least one pair.
        #[serde(borrow)]
        fields: Vec<(Text<'a>, Text<'a>)>,
        /// Trim to about this many entries, never fewer.
        maxlen: Option<u64>,
        /// Who adds: a name of its own for each client and stream.
        #[serde(borrow)]
        producer: Text<'a>,
        /// The producer's number for this add; they rise.
        number: u64,
        /// The number of the add before it without which this one must not be; 0 for none.
        after: u64,
        /// Whether it was asked for before.
        again: bool,
    },
    /// [`pending_summary`](crate::PendingEntries::pending_summary); answered by `Summary`.
    PendingSummary {
        /// The stream's key.
        #[serde(borrow)]
        stream: Text<'a>,
        /// The group's name.
        #[serde(borrow)]
        group: Text<'a>,
    },
    /// [`pending`](crate::PendingEntries::pending); answered by `Pending`.
    Pending {
        /// The stream's key.
        #[serde(borrow)]
        stream: Text<'a>,
        /// The group's name.
        #[serde(borrow)]
        group: Text<'a>,
        /// From this id on; `(` in front leaves it out; or `-`.
        #[serde(borrow)]
        start: Text<'a>,
        /// Up to this id; `(` in front leaves it out; or `+`.
        #[serde(borrow)]
        end: Text<'a>,
        /// At most this many.
        count: u64,
        /// Only those that this consumer holds.
        #[serde(borrow)]
        consumer: Option<Text<'a>>,
        /// Only those that were last delivered so many milliseconds ago, or longer.
        min_idle_ms: Option<u64>,
    },
    /// [`claim`](crate::PendingEntries::claim); answered by `Claimed`.
    Claim {
        /// The stream's key.
        #[serde(borrow)]
        stream: Text<'a>,
        /// The group's name.
        #[serde(borrow)]
        group: Text<'a>,
        /// Who takes them over.
        #[serde(borrow)]
        consumer: Text<'a>,
        /// Only those that were last delivered so many milliseconds ago, or longer.
        min_idle_ms: u64,
        /// From this id on.
        #[serde(borrow)]
        start: Text<'a>,
        /// At most this many; at least 1.
        count: u64,
    },
    /// [`remove_consumer`](crate::PendingEntries::remove_consumer); answered by `Removed`.
    RemoveConsumer {
        /// The stream's key.
        #[serde(borrow)]
        stream: Text<'a>,
        /// The group's name.
        #[serde(borrow)]
        group: Text<'a>,
        /// Who is removed.
        #[serde(borrow)]
        consumer: Text<'a>,
        /// Who is given what it holds.
        #[serde(borrow, rename = "heir")]
        new_owner: Text<'a>,
    },
}

impl Operation<'_> {
    /// The stream's key.
    pub fn stream(&self) -> &str {
        match self {
            Self::Add { stream, .. }
            | Self::ReadLatest { stream, .. }
            | Self::Read { stream, .. }
            | Self::CreateGroup { stream, .. }
            | Self::ReadGroup { stream, .. }
            | Self::Ack { stream, .. }
            | Self::ReadPending { stream, .. }
            | Self::AddOnce { stream, .. }
            | Self::PendingSummary { stream, .. }
            | Self::Pending { stream, .. }
            | Self::Claim { stream, .. }
            | Self::RemoveConsumer { stream, .. } => stream,
        }
    }

    /// How long the operation may wait, in milliseconds; 0 is no limit, `None` no wait.
    pub fn block_ms(&self) -> Option<u64> {
        match self {
            Self::Read { block_ms, .. } | Self::ReadGroup { block_ms, .. } => *block_ms,
            _ => None,
        }
    }

    /// Whether the operation changes nothing, so that it may be asked twice.
    ///
    /// A group read is not: it hands entries to a consumer. One of what is pending only counts
    /// another delivery.
    pub fn is_read_only(&self) -> bool {
        matches!(
            self,
            Self::ReadLatest { .. }
                | Self::Read { .. }
                | Self::ReadPending { .. }
                | Self::PendingSummary { .. }
                | Self::Pending { .. }
        )
    }

    /// [`pending`](crate::PendingEntries::pending) as data.
    pub fn pending<'a>(
        stream: impl Into<Text<'a>>,
        group: impl Into<Text<'a>>,
        query: PendingQuery,
    ) -> Operation<'a> {
        Operation::Pending {
            stream: stream.into(),
            group: group.into(),
            start: query.start.into(),
            end: query.end.into(),
            count: u64::try_from(query.count).unwrap_or(u64::MAX),
            consumer: query.consumer.map(Text::from),
            min_idle_ms: (query.min_idle_ms > 0).then_some(query.min_idle_ms),
        }
    }
}
