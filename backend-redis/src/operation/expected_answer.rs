//! Turns the answer to an operation's command into the operation's outcome.

use futures_util::FutureExt;
use redis::Value;
use streamgate_protocol::Reply;

use crate::connection::command_connection::CommandConnection;
use crate::hub::Hub;
use crate::hub::group::admission::FirstAttempt;
use crate::operation::blocking_read::{BlockingGroupRead, BlockingRead};
use crate::operation::outcome::{OperationOutcome, Step};
use crate::operation::read_pending::PendingRead;
use crate::operation::remove_consumer::ConsumerRemoval;
use crate::wire::answers;

/// The id before the first entry of an empty stream.
const BEFORE_FIRST: &str = "0-0";

/// The answer that a command expects.
pub(super) enum ExpectedAnswer {
    Id,
    Done,
    Acknowledged,
    Entries,
    /// Entries after an id. If there are none, the read may wait.
    ReadAfter {
        last_id: String,
        wait: Option<BlockingRead>,
    },
    /// The last entry, whose id `$` stands for. The read may wait from there.
    ReadFromEnd {
        wait: Option<BlockingRead>,
    },
    /// Entries of a group. If there are none, the group read may wait.
    ReadGroup {
        wait: Option<(FirstAttempt, BlockingGroupRead)>,
    },
    /// Ids of a consumer's pending entries. On the heap, as the removal: every operation of a batch
    /// would have room for it.
    ReadPending(Box<PendingRead>),
    PendingSummary,
    Pending,
    Claimed,
    Consumers,
    Removal(Box<ConsumerRemoval>),
}

impl ExpectedAnswer {
    /// Turns the answer into the operation's outcome.
    pub(super) fn outcome(
        self,
        value: Value,
        commands: &CommandConnection,
        hub: &Hub,
    ) -> OperationOutcome {
        let result = match self {
            Self::Id => answers::id(value).map(|id| Reply::Added { id }),
            Self::Done => answers::done(value).map(|()| Reply::Done {}),
            Self::Acknowledged => answers::number(value).map(|count| Reply::Acknowledged { count }),
            Self::Entries => answers::entries(value).map(Reply::entries),
            Self::ReadAfter { last_id, wait } => match (answers::stream(value), wait) {
                (Ok(entries), Some(wait)) if entries.is_empty() => {
                    return wait.wait(last_id, None, hub);
                }
                (entries, _) => entries.map(|entries| {
                    let last_id = entries.last().map_or(last_id, |last| last.id.clone());
                    Reply::Entries {
                        entries,
                        last_id: Some(last_id),
                        more: false,
                    }
                }),
            },
            Self::ReadFromEnd { wait } => match (answers::first_id(value), wait) {
                (Ok(id), wait) => {
                    let last_id = id.unwrap_or_else(|| BEFORE_FIRST.to_owned());
                    match wait {
                        Some(wait) => {
                            let position = Some(last_id.clone());
                            return wait.wait(last_id, position, hub);
                        }
                        None => Ok(Reply::Entries {
                            entries: Vec::new(),
                            last_id: Some(last_id),
                            more: false,
                        }),
                    }
                }
                (Err(error), _) => Err(error),
            },
            Self::ReadGroup { wait } => match (answers::stream(value), wait) {
                (Ok(entries), Some((attempt, wait))) if entries.is_empty() => {
                    return wait.wait(attempt.wait(), hub);
                }
                (entries, _) => entries.map(Reply::entries),
            },
            Self::ReadPending(read) => match read.take_list(value) {
                Step::Done(result) => result,
                Step::More(rest) => {
                    let rest = rest.finish(commands.clone()).boxed();
                    return OperationOutcome::Continuing(rest);
                }
            },
            Self::Consumers => {
                answers::consumers(value).map(|consumers| Reply::Consumers { consumers })
            }
            Self::PendingSummary => answers::summary(value).map(Reply::Summary),
            Self::Pending => answers::pending(value).map(|entries| Reply::Pending { entries }),
            Self::Claimed => answers::claimed(value).map(Reply::Claimed),
            Self::Removal(removal) => match removal.step(value) {
                Step::Done(result) => result,
                Step::More(rest) => {
                    let rest = rest.finish(commands.clone()).boxed();
                    return OperationOutcome::Continuing(rest);
                }
            },
        };
        OperationOutcome::Done(result)
    }
}
