//! Chooses the commands of each operation, and the answers to expect.

use streamgate_backend::idempotent_add::forgotten;
use streamgate_protocol::{CacheError, CacheResult, EntryId, Operation, Reply};

use crate::hub::Hub;
use crate::hub::group::admission::{Admission, QueueSlot};
use crate::operation::blocking_read::{BlockingGroupRead, BlockingRead, deadline};
use crate::operation::expected_answer::ExpectedAnswer;
use crate::operation::read_pending::PendingRead;
use crate::operation::remove_consumer::ConsumerRemoval;
use crate::wire::commands;
use crate::wire::packing::PackedCommands;

/// An operation after its encoding.
pub(super) enum EncodedOperation {
    /// It needs no command.
    Answered(CacheResult<Reply>),
    /// It waits in its group's queue, after other consumers.
    Queued(QueueSlot, BlockingGroupRead),
    /// It has a command in the pipeline.
    Sent {
        expected: ExpectedAnswer,
        read_only: bool,
    },
    /// It is one of the adds of a script call in the pipeline. The first of them takes the answer.
    Scripted {
        is_first: bool,
        number: u64,
        after: u64,
    },
}

/// Encodes a valid operation that is not part of a script call.
pub(super) fn encode(
    operation: &Operation<'_>,
    packed: &mut PackedCommands,
    hub: &Hub,
) -> EncodedOperation {
    let sent = |expected| EncodedOperation::Sent {
        expected,
        read_only: operation.is_read_only(),
    };
    match operation {
        // Redis refuses the script, so no add is remembered.
        Operation::IdempotentAdd {
            resent: true,
            number,
            ..
        } => EncodedOperation::Answered(Err(forgotten(*number))),
        Operation::Add {
            stream,
            fields,
            maxlen,
        }
        | Operation::IdempotentAdd {
            stream,
            fields,
            maxlen,
            ..
        } => {
            commands::add(packed, stream, fields, *maxlen);
            sent(ExpectedAnswer::Id)
        }
        Operation::ReadLatest { stream, count } => {
            commands::read_latest(packed, stream, *count);
            sent(ExpectedAnswer::Entries)
        }
        Operation::Read {
            stream,
            last_id,
            count,
            block_ms,
        } => {
            let wait = block_ms.map(|block_ms| BlockingRead {
                stream: (**stream).into(),
                count: *count,
                deadline: deadline(block_ms),
            });
            match &**last_id {
                // The stream's last generated id is greater than that of its last entry if the
                // latter was deleted. Reading on from either is the same, and only `XINFO` knows
                // the former, which would send the first entry as well.
                "$" => {
                    commands::read_latest(packed, stream, 1);
                    sent(ExpectedAnswer::ReadFromEnd { wait })
                }
                id => {
                    commands::read(packed, stream, id, *count);
                    let last_id = id.to_owned();
                    sent(ExpectedAnswer::ReadAfter { last_id, wait })
                }
            }
        }
        Operation::CreateGroup { stream, group, id } => {
            commands::create_group(packed, stream, group, id);
            sent(ExpectedAnswer::Done)
        }
        Operation::ReadGroup {
            stream,
            group,
            consumer,
            count,
            block_ms,
        } => {
            let wait = block_ms.map(|block_ms| BlockingGroupRead {
                consumer: consumer.clone().into(),
                count: *count,
                deadline: deadline(block_ms),
            });
            let wait = match wait.map(|wait| (hub.join_wait_queue(stream, group), wait)) {
                Some((Admission::Queued(place), wait)) => {
                    return EncodedOperation::Queued(place, wait);
                }
                Some((Admission::First(attempt), wait)) => Some((attempt, wait)),
                None => None,
            };
            commands::read_group(packed, stream, group, consumer, *count);
            sent(ExpectedAnswer::ReadGroup { wait })
        }
        Operation::Ack { ids, .. } if ids.is_empty() => {
            EncodedOperation::Answered(Ok(Reply::Acknowledged { count: 0 }))
        }
        Operation::Ack { stream, group, ids } => {
            commands::ack(packed, stream, group, ids);
            sent(ExpectedAnswer::Acknowledged)
        }
        Operation::ReadPending {
            stream,
            group,
            consumer,
            after,
            count,
            except,
        } => {
            let after = match EntryId::parse(after) {
                Ok(after) => after,
                Err(error) => return EncodedOperation::Answered(Err(error.into())),
            };
            let except = except.iter().filter_map(|id| EntryId::parse(id).ok());
            let read = PendingRead::new([stream, group, consumer], after, *count, except.collect());
            read.encode(packed);
            sent(ExpectedAnswer::ReadPending(Box::new(read)))
        }
        Operation::PendingSummary { stream, group } => {
            commands::pending_summary(packed, stream, group);
            sent(ExpectedAnswer::PendingSummary)
        }
        Operation::Pending {
            stream,
            group,
            start,
            end,
            count,
            consumer,
            min_idle_ms,
        } => {
            let (ends, consumer) = ([&**start, &**end], consumer.as_deref());
            commands::pending(packed, stream, group, ends, *count, consumer, *min_idle_ms);
            sent(ExpectedAnswer::Pending)
        }
        Operation::Claim {
            stream,
            group,
            consumer,
            min_idle_ms,
            start,
            count,
        } => {
            commands::claim(packed, stream, group, consumer, *min_idle_ms, start, *count);
            sent(ExpectedAnswer::Claimed)
        }
        Operation::RemoveConsumer {
            stream,
            group,
            consumer,
            new_owner,
        } => {
            let removal = ConsumerRemoval::new(stream, group, consumer, new_owner);
            removal.encode(packed);
            sent(ExpectedAnswer::Removal(Box::new(removal)))
        }
        Operation::Consumers { stream, group } => {
            commands::consumers(packed, stream, group);
            sent(ExpectedAnswer::Consumers)
        }
        _ => EncodedOperation::Answered(Err(CacheError::unsupported("this operation"))),
    }
}
