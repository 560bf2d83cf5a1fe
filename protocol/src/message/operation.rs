//! The six operations as data.

use serde::{Deserialize, Serialize};

use crate::entry_id::{EntryId, StartId};
use crate::error::{CacheError, CacheResult, code};
use crate::groups::PendingQuery;
use crate::limits::{
    MAX_FIELDS_ONCE, MAX_NAME_BYTES, MAX_PENDING_PAGE, MAX_PRODUCER_BYTES, MAX_PRODUCER_NUMBER,
};
use crate::text::push_number;

use super::Text;

/// One call of [`StreamingBackend`](crate::StreamingBackend), with its arguments.
///
/// Numbers are 64 bits wide on the wire whatever the width of `usize` at either side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    /// [`pending_summary`](crate::ConsumerGroups::pending_summary); answered by `Summary`.
    PendingSummary {
        /// The stream's key.
        #[serde(borrow)]
        stream: Text<'a>,
        /// The group's name.
        #[serde(borrow)]
        group: Text<'a>,
    },
    /// [`pending`](crate::ConsumerGroups::pending); answered by `Pending`.
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
    /// [`claim`](crate::ConsumerGroups::claim); answered by `Claimed`.
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
    /// [`remove_consumer`](crate::ConsumerGroups::remove_consumer); answered by `Removed`.
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
        #[serde(borrow)]
        heir: Text<'a>,
    },
}

impl Operation<'_> {
    /// Refuses what no backend may take, with the same error everywhere.
    ///
    /// # Errors
    ///
    /// `LIMIT` for a name longer than its bound, and for a page that is larger than its bound.
    /// `ERR` for a [malformed id](EntryId), an add without fields, a claim of nothing, and an heir
    /// that is the consumer itself.
    pub fn validate(&self) -> CacheResult<()> {
        match self {
            Self::Add { stream, fields, .. } => entry(stream, fields),
            Self::AddOnce {
                stream,
                fields,
                producer,
                number,
                after,
                ..
            } => {
                entry(stream, fields)?;
                if fields.len() > MAX_FIELDS_ONCE || producer.len() > MAX_PRODUCER_BYTES {
                    let why = "too many fields, or too long a producer, to be added once";
                    return Err(CacheError::from_code(code::LIMIT, why));
                }
                if after >= number || *number > MAX_PRODUCER_NUMBER {
                    let why = "the numbers of a producer rise from 1";
                    return Err(CacheError::from_code(code::ERR, why));
                }
                Ok(())
            }
            Self::ReadLatest { stream, .. } => name("stream key", stream),
            Self::Read {
                stream, last_id, ..
            } => {
                name("stream key", stream)?;
                StartId::parse(last_id)?;
                Ok(())
            }
            Self::CreateGroup {
                stream,
                group,
                id: start,
            } => {
                name("stream key", stream)?;
                name("group name", group)?;
                StartId::parse(start)?;
                Ok(())
            }
            Self::ReadGroup {
                stream,
                group,
                consumer,
                ..
            } => {
                name("stream key", stream)?;
                name("group name", group)?;
                name("consumer name", consumer)
            }
            Self::Ack { stream, group, ids } => {
                name("stream key", stream)?;
                name("group name", group)?;
                for acknowledged in ids {
                    EntryId::parse(acknowledged)?;
                }
                Ok(())
            }
            Self::ReadPending {
                stream,
                group,
                consumer,
                after,
                ..
            } => {
                name("stream key", stream)?;
                name("group name", group)?;
                name("consumer name", consumer)?;
                EntryId::parse(after)?;
                Ok(())
            }
            Self::PendingSummary { stream, group } => {
                name("stream key", stream)?;
                name("group name", group)
            }
            Self::Pending {
                stream,
                group,
                start,
                end,
                count,
                consumer,
                ..
            } => {
                name("stream key", stream)?;
                name("group name", group)?;
                consumer
                    .as_ref()
                    .map_or(Ok(()), |consumer| name("consumer name", consumer))?;
                EntryId::parse_range_start(start)?;
                EntryId::parse_range_end(end)?;
                page(*count)
            }
            Self::Claim {
                stream,
                group,
                consumer,
                start,
                count,
                ..
            } => {
                name("stream key", stream)?;
                name("group name", group)?;
                name("consumer name", consumer)?;
                EntryId::parse_range_start(start)?;
                if *count == 0 {
                    return Err(CacheError::from_code(code::ERR, "COUNT must be > 0"));
                }
                page(*count)
            }
            Self::RemoveConsumer {
                stream,
                group,
                consumer,
                heir,
            } => {
                name("stream key", stream)?;
                name("group name", group)?;
                name("consumer name", consumer)?;
                name("heir's name", heir)?;
                if consumer == heir {
                    let why = "a consumer cannot be its own heir";
                    return Err(CacheError::from_code(code::ERR, why));
                }
                Ok(())
            }
        }
    }

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

    /// [`pending`](crate::ConsumerGroups::pending) as data.
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

    /// The same operation, owned.
    pub fn into_owned(self) -> Operation<'static> {
        match self {
            Self::Add {
                stream,
                fields,
                maxlen,
            } => Operation::Add {
                stream: stream.into_owned(),
                fields: owned(fields),
                maxlen,
            },
            Self::ReadLatest { stream, count } => Operation::ReadLatest {
                stream: stream.into_owned(),
                count,
            },
            Self::Read {
                stream,
                last_id,
                count,
                block_ms,
            } => Operation::Read {
                stream: stream.into_owned(),
                last_id: last_id.into_owned(),
                count,
                block_ms,
            },
            Self::CreateGroup { stream, group, id } => Operation::CreateGroup {
                stream: stream.into_owned(),
                group: group.into_owned(),
                id: id.into_owned(),
            },
            Self::ReadGroup {
                stream,
                group,
                consumer,
                count,
                block_ms,
            } => Operation::ReadGroup {
                stream: stream.into_owned(),
                group: group.into_owned(),
                consumer: consumer.into_owned(),
                count,
                block_ms,
            },
            Self::Ack { stream, group, ids } => Operation::Ack {
                stream: stream.into_owned(),
                group: group.into_owned(),
                ids: ids.into_iter().map(Text::into_owned).collect(),
            },
            Self::ReadPending {
                stream,
                group,
                consumer,
                after,
                count,
            } => Operation::ReadPending {
                stream: stream.into_owned(),
                group: group.into_owned(),
                consumer: consumer.into_owned(),
                after: after.into_owned(),
                count,
            },
            Self::AddOnce {
                stream,
                fields,
                maxlen,
                producer,
                number,
                after,
                again,
            } => Operation::AddOnce {
                stream: stream.into_owned(),
                fields: owned(fields),
                maxlen,
                producer: producer.into_owned(),
                number,
                after,
                again,
            },
            Self::PendingSummary { stream, group } => Operation::PendingSummary {
                stream: stream.into_owned(),
                group: group.into_owned(),
            },
            Self::Pending {
                stream,
                group,
                start,
                end,
                count,
                consumer,
                min_idle_ms,
            } => Operation::Pending {
                stream: stream.into_owned(),
                group: group.into_owned(),
                start: start.into_owned(),
                end: end.into_owned(),
                count,
                consumer: consumer.map(Text::into_owned),
                min_idle_ms,
            },
            Self::Claim {
                stream,
                group,
                consumer,
                min_idle_ms,
                start,
                count,
            } => Operation::Claim {
                stream: stream.into_owned(),
                group: group.into_owned(),
                consumer: consumer.into_owned(),
                min_idle_ms,
                start: start.into_owned(),
                count,
            },
            Self::RemoveConsumer {
                stream,
                group,
                consumer,
                heir,
            } => Operation::RemoveConsumer {
                stream: stream.into_owned(),
                group: group.into_owned(),
                consumer: consumer.into_owned(),
                heir: heir.into_owned(),
            },
        }
    }
}

fn owned(fields: Vec<(Text<'_>, Text<'_>)>) -> Vec<(Text<'static>, Text<'static>)> {
    let fields = fields.into_iter();
    fields
        .map(|(n, v)| (n.into_owned(), v.into_owned()))
        .collect()
}

fn entry(stream: &str, fields: &[(Text<'_>, Text<'_>)]) -> CacheResult<()> {
    name("stream key", stream)?;
    if fields.is_empty() {
        let why = "an entry needs at least one field";
        return Err(CacheError::from_code(code::ERR, why));
    }
    Ok(())
}

fn page(count: u64) -> CacheResult<()> {
    if count <= MAX_PENDING_PAGE as u64 {
        return Ok(());
    }
    let mut text = String::from("at most ");
    push_number(&mut text, MAX_PENDING_PAGE as u64);
    text.push_str(" pending entries are given at once");
    Err(CacheError::from_code(code::LIMIT, &text))
}

pub(super) fn name(what: &str, value: &str) -> CacheResult<()> {
    if value.len() <= MAX_NAME_BYTES {
        return Ok(());
    }
    let mut text = String::from("the ");
    text.push_str(what);
    text.push_str(" has ");
    push_number(&mut text, value.len() as u64);
    text.push_str(" bytes; at most ");
    push_number(&mut text, MAX_NAME_BYTES as u64);
    text.push_str(" are taken");
    Err(CacheError::from_code(code::LIMIT, &text))
}
