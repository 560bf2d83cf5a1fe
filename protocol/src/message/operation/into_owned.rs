//! Operations that outlive the frame in which they came.

use super::Operation;
use crate::byte_string::Bytes;
use crate::text::Text;

impl Operation<'_> {
    /// Copies what is borrowed, and moves what is owned.
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
                except,
            } => Operation::ReadPending {
                stream: stream.into_owned(),
                group: group.into_owned(),
                consumer: consumer.into_owned(),
                after: after.into_owned(),
                count,
                except: except.into_iter().map(Text::into_owned).collect(),
            },
            Self::IdempotentAdd {
                stream,
                fields,
                maxlen,
                producer,
                number,
                after,
                resent,
            } => Operation::IdempotentAdd {
                stream: stream.into_owned(),
                fields: owned(fields),
                maxlen,
                producer: producer.into_owned(),
                number,
                after,
                resent,
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
                consumer: consumer.map(Bytes::into_owned),
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
                new_owner,
            } => Operation::RemoveConsumer {
                stream: stream.into_owned(),
                group: group.into_owned(),
                consumer: consumer.into_owned(),
                new_owner: new_owner.into_owned(),
            },
            Self::Consumers { stream, group } => Operation::Consumers {
                stream: stream.into_owned(),
                group: group.into_owned(),
            },
        }
    }
}

fn owned(fields: Vec<(Bytes<'_>, Bytes<'_>)>) -> Vec<(Bytes<'static>, Bytes<'static>)> {
    let fields = fields.into_iter();
    fields
        .map(|(n, v)| (n.into_owned(), v.into_owned()))
        .collect()
}
