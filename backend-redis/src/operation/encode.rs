//! Chooses the commands of each operation, and the answers to expect.

use streamgate_backend::Cancellation;
use streamgate_backend::idempotent_add::forgotten;
use streamgate_protocol::{CacheError, CacheResult, EntryId, Operation, Reply};

use crate::hub::group::admission::{GroupKey, QueueSlot};
use crate::operation::blocking_read::{BlockingGroupRead, BlockingRead};
use crate::operation::entry_sizes::{EntrySizes, MAX_SMALL_DELIVERY, SizePlace, at_most};
use crate::operation::expected_answer::ExpectedAnswer;
use crate::operation::list_idle::IdleList;
use crate::operation::paged_read::{FirstPage, FirstPageKind, PagedRead};
use crate::operation::read_pending::PendingRead;
use crate::operation::remove_consumer::ConsumerRemoval;
use crate::wire::commands;
use crate::wire::packing::{PackedCommands, PackedPart};
use crate::wire::scripts::{self, Direction};

/// Most entries that one command claims. Redis examines ten times as many, in a few milliseconds.
const MAX_CLAIM: u64 = 1_000;

/// What the encoding of operations depends on beside them.
#[derive(Clone, Copy)]
pub(crate) struct EncodeContext<'a> {
    pub(crate) sizes: &'a EntrySizes,
    /// The largest reply, in bytes.
    pub(crate) max_reply_bytes: u64,
    /// Whether Redis runs the scripts that bound answers.
    pub(crate) runs_scripts: bool,
    /// Whether Redis pushes the next change of a stream that was armed.
    pub(crate) arms: bool,
}

/// An operation after its encoding.
pub(super) enum EncodedOperation {
    /// It needs no command.
    Answered(CacheResult<Reply>),
    /// A group read that waits if it finds no entry. It joins its group's queue when the pipeline
    /// is sent. If others wait already, its commands are not sent.
    WaitingGroupRead {
        place: SizePlace,
        key: GroupKey,
        read: BlockingGroupRead,
        commands: PackedPart,
        /// The first of these commands, which arm the stream.
        arming_commands: usize,
    },
    /// It waits in its group's queue, after other consumers.
    Queued(QueueSlot, BlockingGroupRead),
    /// It has a command in the pipeline.
    Sent {
        expected: ExpectedAnswer,
        read_only: bool,
        /// Commands before it that arm the stream for a wait.
        arming_commands: usize,
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
    context: EncodeContext<'_>,
) -> EncodedOperation {
    let EncodeContext {
        sizes,
        max_reply_bytes: max_bytes,
        runs_scripts,
        arms,
    } = context;
    let first = packed.commands;
    let sent = |expected| EncodedOperation::Sent {
        expected,
        read_only: operation.is_read_only(),
        arming_commands: 0,
    };
    // The first attempt of a wait arms the stream, so that the hub need not read it again.
    let sent_after_arming = |expected, packed: &PackedCommands| EncodedOperation::Sent {
        expected,
        read_only: operation.is_read_only(),
        arming_commands: packed.commands - first - 1,
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
        // In Redis too, no entries are asked for then.
        Operation::ReadLatest { stream, count: 0 } => {
            commands::read_latest(packed, stream, 0);
            sent(ExpectedAnswer::Entries(sizes.place(stream)))
        }
        Operation::ReadLatest { stream, count } => {
            let first = FirstPage::new(sizes, stream, *count, runs_scripts);
            let position = (Direction::Backwards, None);
            match first.kind {
                FirstPageKind::Command { count } => commands::read_latest(packed, stream, count),
                FirstPageKind::Script => first.encode_script(packed, stream, position, max_bytes),
            }
            if !first.is_part {
                return sent(ExpectedAnswer::Entries(first.place));
            }
            let rest = PagedRead::new(stream, first, position, None, (*count, max_bytes));
            sent(ExpectedAnswer::FirstPage(Box::new(rest), None))
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
                block_ms,
            });
            let from = match &**last_id {
                "$" => None,
                id => match EntryId::parse(id) {
                    Ok(from) => Some(from),
                    Err(error) => return EncodedOperation::Answered(Err(error.into())),
                },
            };
            if wait.is_some() && arms {
                commands::arm_next(packed);
            }
            match from {
                // The stream's last generated id is greater than that of its last entry if the
                // latter was deleted. Reading on from either is the same, and only `XINFO` knows
                // the former, which would send the first entry as well.
                None => {
                    let is_large = sizes.is_large(sizes.place(stream));
                    if is_large && runs_scripts {
                        scripts::last_id(packed, stream);
                    } else {
                        commands::read_latest(packed, stream, 1);
                    }
                    sent_after_arming(ExpectedAnswer::ReadFromEnd { wait }, packed)
                }
                Some(from) => {
                    // Redis refuses a range that would begin after the greatest id there is.
                    let runs_scripts = runs_scripts && from < EntryId::MAX;
                    let first = FirstPage::new(sizes, stream, *count, runs_scripts);
                    let position = (Direction::Forwards, Some(from));
                    match first.kind {
                        FirstPageKind::Command { count } => {
                            commands::read(packed, stream, last_id, count);
                        }
                        FirstPageKind::Script => {
                            first.encode_script(packed, stream, position, max_bytes);
                        }
                    }
                    let last_id = String::from(&**last_id);
                    if !first.is_part {
                        let place = first.place;
                        let expected = ExpectedAnswer::ReadAfter {
                            place,
                            last_id,
                            wait,
                        };
                        return sent_after_arming(expected, packed);
                    }
                    let bounds = (*count, max_bytes);
                    let rest = PagedRead::new(stream, first, position, Some(last_id), bounds);
                    sent_after_arming(ExpectedAnswer::FirstPage(Box::new(rest), wait), packed)
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
            let place = sizes.place(stream);
            // Without a limit, the caller bounds the answer by its count.
            let is_script = runs_scripts && !sizes.were_read(place) && max_bytes < u64::MAX;
            let count = if is_script {
                at_most(*count, MAX_SMALL_DELIVERY)
            } else {
                at_most(*count, sizes.fitting(place, max_bytes))
            };
            let mark = packed.mark();
            let arms = block_ms.is_some() && arms;
            if arms {
                // A group read is a write, and arms nothing.
                commands::arm_next(packed);
                commands::read_after(packed, stream, EntryId::MAX, 1);
            }
            if is_script {
                let names = [&**stream, &**group, &**consumer];
                scripts::bounded_read_group(packed, names, (count, max_bytes));
            } else {
                commands::read_group(packed, stream, group, consumer, count);
            }
            match *block_ms {
                None => sent(ExpectedAnswer::ReadGroup { place, wait: None }),
                Some(block_ms) => EncodedOperation::WaitingGroupRead {
                    place,
                    key: GroupKey {
                        stream: (**stream).into(),
                        group: (**group).into(),
                    },
                    read: BlockingGroupRead {
                        consumer: consumer.clone().into(),
                        count,
                        block_ms,
                        cancellation: Cancellation::default(),
                    },
                    commands: packed.since(&mark),
                    arming_commands: if arms { 2 } else { 0 },
                },
            }
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
            let names = [&**stream, &**group, &**consumer];
            let place = sizes.place(stream);
            let read = PendingRead::new((names, place), after, *count, max_bytes, except.collect());
            read.encode(packed);
            sent(ExpectedAnswer::ReadPending(Box::new(read)))
        }
        Operation::PendingSummary { stream, group } => {
            if runs_scripts {
                scripts::bounded_pending_summary(packed, stream, group);
            } else {
                commands::pending_summary(packed, stream, group);
            }
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
            if let Some(min_idle_ms) = *min_idle_ms
                && min_idle_ms > 0
                && *count > 0
            {
                let names = [&**stream, &**group];
                let list = IdleList::new(names, consumer, ends, *count, min_idle_ms);
                list.encode(packed);
                return sent(ExpectedAnswer::IdleList(Box::new(list)));
            }
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
            let place = sizes.place(stream);
            let count = (*count).min(sizes.fitting(place, max_bytes)).min(MAX_CLAIM);
            commands::claim(packed, stream, group, consumer, *min_idle_ms, start, count);
            sent(ExpectedAnswer::Claimed(place))
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
            if runs_scripts {
                scripts::bounded_consumers(packed, stream, group);
            } else {
                commands::consumers(packed, stream, group);
            }
            sent(ExpectedAnswer::Consumers)
        }
        _ => EncodedOperation::Answered(Err(CacheError::unsupported("this operation"))),
    }
}
