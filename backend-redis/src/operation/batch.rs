//! Operations that go to Redis together, and what comes of each.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use redis::Value;
use streamgate_protocol::{CacheResult, Operation, Reply};
use tokio::time::Instant;

use crate::connection::command_connection::CommandConnection;
use crate::connection::resp::PackedCommands;
use crate::hub::{Admission, FirstAttempt, Hub, HubWait, QueueSlot};
use crate::operation::idempotent_add;
use crate::operation::idempotent_add::{AddBatch, TtlRefresh};
use crate::operation::remove_consumer::{ConsumerRemoval, RemovalStep};
use crate::wire::{answers, commands, errors};
use streamgate_protocol::EntryId;

/// Bytes that a command usually has, at most: room for it is made beforehand.
const USUAL_BYTES: usize = 256;

/// Operations, encoded.
pub(crate) struct OperationBatch {
    packed: PackedCommands,
    calls: Vec<EncodedOperation>,
}

/// How far an operation has come.
pub(crate) enum OperationOutcome {
    Done(CacheResult<Reply>),
    Waiting {
        wait: HubWait,
        /// What `$` stands for, if it was asked.
        position: Option<String>,
    },
    /// Takes more round trips.
    GoingOn(BoxFuture<'static, CacheResult<Reply>>),
}

/// One operation.
enum EncodedOperation {
    /// Needs no command.
    Answered(CacheResult<Reply>),
    /// Waits in line behind other consumers of its group.
    Queued(QueueSlot, GroupWait),
    /// Has a command in the pipeline.
    Sent {
        expected: ExpectedAnswer,
        read_only: bool,
    },
    /// One of the adds of a script in the pipeline. The first of them takes the answer apart.
    Scripted { is_first: bool },
}

/// What a command answers, and what is to be made of it.
enum ExpectedAnswer {
    Id,
    Done,
    Latest,
    /// Entries, or nothing after this id.
    After {
        last_id: String,
        wait: Option<ReadWait>,
    },
    /// The last entry, whose id is what `$` stands for.
    Last {
        wait: Option<ReadWait>,
    },
    Group {
        wait: Option<(FirstAttempt, GroupWait)>,
    },
    Summary,
    Pending,
    Claimed,
    HandedOver(ConsumerRemoval),
}

/// How to wait if there is no entry yet.
struct ReadWait {
    stream: Arc<str>,
    count: u64,
    deadline: Option<Instant>,
}

/// How to wait if there is no entry for the group yet.
struct GroupWait {
    consumer: String,
    count: u64,
    deadline: Option<Instant>,
}

impl OperationBatch {
    /// Encodes operations, which are not needed after. Consumers that may have to wait take
    /// their place in line here.
    pub(crate) fn new<'a>(
        operations: impl ExactSizeIterator<Item = Operation<'a>>,
        hub: &Hub,
        ttl_refresh: Option<&TtlRefresh>,
    ) -> Self {
        let mut packed = PackedCommands::with_capacity(operations.len() * USUAL_BYTES);
        let mut calls = Vec::with_capacity(operations.len());
        let mut run: Option<AddBatch> = None;
        for operation in operations {
            if let Err(error) = operation.validate() {
                calls.push(EncodedOperation::Answered(Err(error)));
                continue;
            }
            let goes_on = run.as_mut().is_some_and(|run| run.take(&operation));
            if !goes_on {
                if let (Some(run), Some(ttl_refresh)) = (run.take(), ttl_refresh) {
                    run.write(&mut packed, ttl_refresh);
                }
                run = ttl_refresh.and_then(|_| AddBatch::begin(&operation));
                if let Some(run) = &mut run {
                    run.take(&operation);
                }
            }
            calls.push(if run.is_some() {
                EncodedOperation::Scripted { is_first: !goes_on }
            } else {
                call(&operation, &mut packed, hub)
            });
        }
        if let (Some(run), Some(ttl_refresh)) = (run, ttl_refresh) {
            run.write(&mut packed, ttl_refresh);
        }
        Self { packed, calls }
    }

    /// Sends the commands and waits for their answers; one outcome for each operation, in order.
    pub(crate) async fn run(
        self,
        commands: &CommandConnection,
        hub: &Hub,
    ) -> Vec<OperationOutcome> {
        let Self { packed, calls } = self;
        let mut values = if packed.is_empty() {
            Ok(Vec::new().into_iter())
        } else {
            commands.send(packed).await.map(Vec::into_iter)
        };
        // An answer that is missing is one of unknown shape.
        let next =
            |values: &mut std::vec::IntoIter<Value>| values.next().unwrap_or(Value::Boolean(false));
        let mut adds = ScriptAnswers::default();
        let outcomes = calls
            .into_iter()
            .map(|call| match call {
                EncodedOperation::Answered(result) => OperationOutcome::Done(result),
                EncodedOperation::Queued(place, wait) => wait.start(place, hub),
                EncodedOperation::Sent {
                    expected,
                    read_only,
                } => match &mut values {
                    Ok(values) => expected.outcome(next(values), commands, hub),
                    Err(failure) => OperationOutcome::Done(Err(failure.error(read_only))),
                },
                EncodedOperation::Scripted { is_first } => {
                    OperationOutcome::Done(match &mut values {
                        Ok(values) if is_first => adds.begin(next(values)),
                        Ok(_) => adds.next(),
                        Err(failure) => Err(failure.error(false)),
                    })
                }
            })
            .collect();
        if adds.script_is_unknown {
            let mut packed = PackedCommands::default();
            idempotent_add::load(&mut packed);
            // If it fails, the next one that needs it tries again.
            let _ = commands.send(packed).await;
        }
        outcomes
    }
}

/// What is left of a script's answers.
#[derive(Default)]
struct ScriptAnswers {
    left: VecDeque<CacheResult<Reply>>,
    /// As after a `SCRIPT FLUSH`.
    script_is_unknown: bool,
}

impl ScriptAnswers {
    fn begin(&mut self, value: Value) -> CacheResult<Reply> {
        self.script_is_unknown |= idempotent_add::is_unknown(&value);
        self.left = idempotent_add::answered(value);
        self.next()
    }

    fn next(&mut self) -> CacheResult<Reply> {
        match self.left.pop_front() {
            // What refuses the script refuses all of it.
            Some(Err(error)) if self.left.is_empty() => {
                self.left.push_back(Err(error.clone()));
                Err(error)
            }
            Some(result) => result,
            None => Err(errors::unexpected("ids")),
        }
    }
}

impl OperationOutcome {
    /// Waits for the end.
    pub(crate) async fn finish(self) -> CacheResult<Reply> {
        match self {
            Self::Done(result) => result,
            Self::Waiting { wait, .. } => wait.finish().await,
            Self::GoingOn(rest) => rest.await,
        }
    }
}

impl ExpectedAnswer {
    fn outcome(self, value: Value, commands: &CommandConnection, hub: &Hub) -> OperationOutcome {
        let result = match self {
            Self::Id => answers::id(value).map(|id| Reply::Added { id }),
            Self::Done => answers::done(value).map(|()| Reply::Done {}),
            Self::Latest => answers::entries(value).map(|entries| Reply::Entries {
                entries,
                last_id: None,
            }),
            Self::After { last_id, wait } => match (answers::stream(value), wait) {
                (Ok(entries), Some(wait)) if entries.is_empty() => {
                    return wait.start(last_id, None, hub);
                }
                (entries, _) => entries.map(|entries| {
                    let last_id = entries.last().map_or(last_id, |(id, _)| id.clone());
                    Reply::Entries {
                        entries,
                        last_id: Some(last_id),
                    }
                }),
            },
            Self::Last { wait } => match (answers::first_id(value), wait) {
                (Ok(id), wait) => {
                    let last_id = id.unwrap_or_else(|| EMPTY.to_owned());
                    match wait {
                        Some(wait) => {
                            let position = Some(last_id.clone());
                            return wait.start(last_id, position, hub);
                        }
                        None => Ok(Reply::Entries {
                            entries: Vec::new(),
                            last_id: Some(last_id),
                        }),
                    }
                }
                (Err(error), _) => Err(error),
            },
            Self::Group { wait } => match (answers::stream(value), wait) {
                (Ok(entries), Some((attempt, wait))) if entries.is_empty() => {
                    return wait.start(attempt.wait(), hub);
                }
                (entries, _) => entries.map(|entries| Reply::Entries {
                    entries,
                    last_id: None,
                }),
            },
            Self::Summary => answers::summary(value).map(Reply::Summary),
            Self::Pending => answers::pending(value).map(|entries| Reply::Pending { entries }),
            Self::Claimed => answers::claimed(value).map(Reply::Claimed),
            Self::HandedOver(removal) => match removal.answered(value) {
                RemovalStep::Last(result) => result,
                RemovalStep::More(rest) => {
                    return OperationOutcome::GoingOn(rest.finish(commands.clone()).boxed());
                }
            },
        };
        OperationOutcome::Done(result)
    }
}

/// The id before the first entry of an empty stream.
const EMPTY: &str = "0-0";

impl ReadWait {
    fn start(self, last_id: String, position: Option<String>, hub: &Hub) -> OperationOutcome {
        let after = match EntryId::parse(&last_id) {
            Ok(after) => after,
            Err(error) => return OperationOutcome::Done(Err(error.into())),
        };
        match hub.read(self.stream, after, last_id, self.count, self.deadline) {
            Ok(wait) => OperationOutcome::Waiting { wait, position },
            Err(error) => OperationOutcome::Done(Err(error)),
        }
    }
}

impl GroupWait {
    fn start(self, place: QueueSlot, hub: &Hub) -> OperationOutcome {
        match hub.read_group(place, self.consumer, self.count, self.deadline) {
            Ok(wait) => OperationOutcome::Waiting {
                wait,
                position: None,
            },
            Err(error) => OperationOutcome::Done(Err(error)),
        }
    }
}

fn call(operation: &Operation<'_>, packed: &mut PackedCommands, hub: &Hub) -> EncodedOperation {
    let sent = |expected| EncodedOperation::Sent {
        expected,
        read_only: operation.is_read_only(),
    };
    match operation {
        // Redis refuses the script, so nothing is remembered.
        Operation::AddOnce { again: true, .. } => {
            let why = "this Redis does not let what was added be remembered";
            EncodedOperation::Answered(Err(idempotent_add::forgotten(why)))
        }
        Operation::Add {
            stream,
            fields,
            maxlen,
        }
        | Operation::AddOnce {
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
            sent(ExpectedAnswer::Latest)
        }
        Operation::Read {
            stream,
            last_id,
            count,
            block_ms,
        } => {
            let wait = block_ms.map(|block_ms| ReadWait {
                stream: (**stream).into(),
                count: *count,
                deadline: deadline(block_ms),
            });
            match &**last_id {
                // The last id that a stream ever gave could be greater than that of its last
                // entry, if that was deleted. To read on, both are the same, and only `XINFO`
                // knows the former: it would send the first entry as well.
                "$" => {
                    commands::read_latest(packed, stream, 1);
                    sent(ExpectedAnswer::Last { wait })
                }
                id => {
                    commands::read(packed, stream, id, *count);
                    let last_id = id.to_owned();
                    sent(ExpectedAnswer::After { last_id, wait })
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
            let wait = block_ms.map(|block_ms| GroupWait {
                consumer: (**consumer).to_owned(),
                count: *count,
                deadline: deadline(block_ms),
            });
            let wait = match wait.map(|wait| (hub.join(stream, group), wait)) {
                Some((Admission::Queued(place), wait)) => {
                    return EncodedOperation::Queued(place, wait);
                }
                Some((Admission::First(attempt), wait)) => Some((attempt, wait)),
                None => None,
            };
            commands::read_group(packed, stream, group, consumer, *count);
            sent(ExpectedAnswer::Group { wait })
        }
        Operation::Ack { ids, .. } if ids.is_empty() => {
            EncodedOperation::Answered(Ok(Reply::Done {}))
        }
        Operation::Ack { stream, group, ids } => {
            commands::ack(packed, stream, group, ids);
            sent(ExpectedAnswer::Done)
        }
        Operation::ReadPending {
            stream,
            group,
            consumer,
            after,
            count,
        } => {
            commands::read_pending(packed, stream, [group, consumer], after, *count);
            sent(ExpectedAnswer::Group { wait: None })
        }
        Operation::PendingSummary { stream, group } => {
            commands::pending_summary(packed, stream, group);
            sent(ExpectedAnswer::Summary)
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
            heir,
        } => {
            let removal = ConsumerRemoval::new(stream, group, consumer, heir);
            removal.pack(packed);
            sent(ExpectedAnswer::HandedOver(removal))
        }
    }
}

/// When a wait of so many milliseconds ends; never for 0, nor for more than a clock can hold.
fn deadline(block_ms: u64) -> Option<Instant> {
    if block_ms == 0 {
        return None;
    }
    Instant::now().checked_add(Duration::from_millis(block_ms))
}
