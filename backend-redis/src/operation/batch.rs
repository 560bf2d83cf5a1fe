//! Operations that go to Redis together, as one pipeline.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::FutureExt;
use redis::Value;
use streamgate_backend::Cancellation;
use streamgate_backend::idempotent_add::{forgotten, out_of_order, skipped};
use streamgate_protocol::{CacheResult, EntryId, Operation, Reply};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::AbortOnDropHandle;

use crate::connection::command_connection::CommandConnection;
use crate::hub::Hub;
use crate::hub::group::admission::Admission;
use crate::operation::encode::{EncodeContext, EncodedOperation, encode};
use crate::operation::entry_sizes::size_of_fields;
use crate::operation::expected_answer::{ExpectedAnswer, OutcomeContext};
use crate::operation::idempotent_add::{AddBatch, Deduplication, PendingRefresh};
use crate::operation::outcome::OperationOutcome;
use crate::wire::answers::next_value;
use crate::wire::errors;
use crate::wire::packing::{PackedCommands, USUAL_COMMAND_BYTES};
use crate::wire::scripts::idempotent_add::{self, AddResult, ScriptAnswer};
use crate::wire::scripts::script_access::ScriptAccess;

/// Operations, encoded.
pub(crate) struct OperationBatch {
    packed: PackedCommands,
    operations: Vec<EncodedOperation>,
    /// For each script call, in order.
    refreshes: Vec<Option<PendingRefresh>>,
}

/// The answer to the script call whose adds are taking their results.
struct ScriptResults {
    answer: ScriptAnswer,
    /// The refresh that the call makes if it stores an add.
    refresh: Option<PendingRefresh>,
    script_is_unknown: bool,
}

impl OperationBatch {
    /// Encodes operations, so that they are not needed any longer. Does nothing else.
    ///
    /// `deduplication` is absent if Redis refuses scripts: idempotent adds are plain ones then.
    pub(crate) fn new<'a>(
        operations: impl ExactSizeIterator<Item = Operation<'a>>,
        deduplication: Option<Deduplication<'_>>,
        context: EncodeContext<'_>,
    ) -> Self {
        let mut packed = PackedCommands::with_capacity(operations.len() * USUAL_COMMAND_BYTES);
        let mut encoded = Vec::with_capacity(operations.len());
        // The script call that further adds may join.
        let mut adds: Option<AddBatch<'a>> = None;
        let mut refreshes = Vec::new();
        for operation in operations {
            if let Err(error) = operation.validate() {
                encoded.push(EncodedOperation::Answered(Err(error)));
                continue;
            }
            if let Operation::Add { stream, fields, .. }
            | Operation::IdempotentAdd { stream, fields, .. } = &operation
            {
                context.sizes.observe_add(stream, size_of_fields(fields));
            }
            if let Some(adds) = &mut adds
                && adds.push(&operation)
            {
                encoded.push(adds.last_operation());
                continue;
            }
            let (begun, other) = match deduplication {
                Some(_) => AddBatch::begin(operation),
                None => (None, Some(operation)),
            };
            if let (Some(adds), Some(deduplication)) = (adds.take(), deduplication) {
                refreshes.push(adds.encode(&mut packed, deduplication));
            }
            encoded.extend(begun.as_ref().map(AddBatch::last_operation));
            encoded.extend(other.map(|operation| encode(&operation, &mut packed, context)));
            adds = begun;
        }
        if let (Some(adds), Some(deduplication)) = (adds, deduplication) {
            refreshes.push(adds.encode(&mut packed, deduplication));
        }
        Self {
            packed,
            operations: encoded,
            refreshes,
        }
    }

    /// Sets what cancels operations, by their places. They must not begin to wait after that.
    pub(crate) fn set_cancellations(&mut self, cancellations: Vec<(usize, Cancellation)>) {
        for (place, cancellation) in cancellations {
            if let Some(EncodedOperation::WaitingGroupRead { read, .. }) =
                self.operations.get_mut(place)
            {
                read.cancellation = cancellation;
            }
        }
    }

    /// Sets the permit that the batch holds until Redis has answered.
    pub(crate) fn set_permit(&mut self, permit: Option<Arc<OwnedSemaphorePermit>>) {
        self.packed.permit = permit;
    }

    /// Sends the commands and waits for their answers. Returns an outcome for each operation, in
    /// order.
    ///
    /// In the first poll, consumers that may have to wait join their group's queue. All who join
    /// after a consumer that reads the group first wait until its answer was taken. So a task takes
    /// it, whether or not this future is polled.
    pub(crate) async fn run(mut self, context: OutcomeContext<'_>) -> Vec<OperationOutcome> {
        if !self.join_wait_queues(context.hub) {
            return self.send(context).await;
        }
        let operations = self.operations.len();
        let shared = context.to_shared();
        let mut sending = Box::pin(async move { self.send(shared.context()).await });
        // The commands are queued in this poll.
        if let Some(outcomes) = (&mut sending).now_or_never() {
            return outcomes;
        }
        let task = context.bulk.runtime().spawn(sending);
        // The task is lost only if its runtime ends.
        let ended = |_| {
            let ended = || OperationOutcome::Done(Err(errors::hub_ended()));
            std::iter::repeat_with(ended).take(operations).collect()
        };
        AbortOnDropHandle::new(task).await.unwrap_or_else(ended)
    }

    /// Sends the commands, and turns their answers into outcomes.
    async fn send(self, context: OutcomeContext<'_>) -> Vec<OperationOutcome> {
        let OutcomeContext { commands, hub, .. } = context;
        let Self {
            packed,
            operations,
            refreshes,
        } = self;
        let mut refreshes = refreshes.into_iter();
        let mut values = if packed.is_empty() {
            Ok((Vec::new().into_iter(), None))
        } else {
            let sent = commands.send_arming(packed).await;
            sent.map(|(values, arming)| (values.into_iter(), Some(arming)))
        };
        let mut script = ScriptResults::new();
        let outcomes = operations
            .into_iter()
            .map(|operation| match operation {
                EncodedOperation::Answered(result) => OperationOutcome::Done(result),
                EncodedOperation::Queued(slot, read) => read.wait(slot, None, hub),
                // None is left.
                EncodedOperation::WaitingGroupRead { .. } => {
                    OperationOutcome::Done(Err(errors::unexpected("an answer")))
                }
                EncodedOperation::Sent {
                    expected,
                    read_only,
                    arming_commands,
                } => match &mut values {
                    Ok((values, arming)) => {
                        let refused = values.by_ref().take(arming_commands).any(is_error);
                        let arming = arming.filter(|_| arming_commands > 0 && !refused);
                        expected.outcome(next_value(values), arming, context)
                    }
                    Err(error) => OperationOutcome::Done(Err(error.to_cache_error(read_only))),
                },
                EncodedOperation::Scripted {
                    is_first,
                    number,
                    after,
                } => {
                    let result = match &mut values {
                        Ok((values, _)) => {
                            if is_first {
                                let refresh = refreshes.next().flatten();
                                script.begin(next_value(values), refresh, commands.dedup());
                            }
                            script.next(number, after)
                        }
                        Err(error) => Err(error.to_cache_error(false)),
                    };
                    OperationOutcome::Done(result.map(|id| Reply::Added { id }))
                }
            })
            .collect();
        if script.script_is_unknown {
            load_script(commands.clone());
        }
        outcomes
    }

    /// Joins the queues of all groups for which an operation may have to wait, and removes the
    /// commands of those that others precede. Returns whether one reads its group first.
    fn join_wait_queues(&mut self, hub: &Hub) -> bool {
        let mut unneeded = Vec::new();
        let mut reads_first = false;
        for operation in &mut self.operations {
            if !matches!(operation, EncodedOperation::WaitingGroupRead { .. }) {
                continue;
            }
            let placeholder = EncodedOperation::Answered(Ok(Reply::Done {}));
            if let EncodedOperation::WaitingGroupRead {
                place,
                key,
                read,
                commands,
                arming_commands,
            } = std::mem::replace(operation, placeholder)
            {
                *operation = match hub.join_wait_queue(key) {
                    Admission::Queued(slot) => {
                        unneeded.push(commands);
                        EncodedOperation::Queued(slot, read)
                    }
                    Admission::First(attempt) => {
                        reads_first = true;
                        EncodedOperation::Sent {
                            expected: ExpectedAnswer::ReadGroup {
                                place,
                                wait: Some((attempt, read)),
                            },
                            read_only: false,
                            arming_commands,
                        }
                    }
                };
            }
        }
        self.packed.remove(&unneeded);
        reads_first
    }
}

fn is_error(answer: Value) -> bool {
    matches!(answer, Value::ServerError(_))
}

/// Loads the script. If this fails, the next batch that needs the script tries again.
///
/// Nothing awaits it: the outcomes of the batch precede those of later ones.
fn load_script(commands: CommandConnection) {
    let mut loading = Box::pin(async move {
        let mut packed = PackedCommands::default();
        idempotent_add::load(&mut packed);
        let _ = commands.send(packed).await;
    });
    // It is sent before any later batch.
    if (&mut loading).now_or_never().is_none() {
        tokio::spawn(loading);
    }
}

impl ScriptResults {
    const fn new() -> Self {
        Self {
            answer: ScriptAnswer::Each(VecDeque::new()),
            refresh: None,
            script_is_unknown: false,
        }
    }

    /// Takes the answer to the next script call.
    fn begin(&mut self, value: Value, refresh: Option<PendingRefresh>, access: &ScriptAccess) {
        self.script_is_unknown |= idempotent_add::is_unknown(&value);
        self.answer = idempotent_add::decode(value, access);
        self.refresh = refresh;
    }

    /// Returns the result of the call's next add: the entry's id, or why it was not stored.
    fn next(&mut self, number: u64, after: u64) -> CacheResult<String> {
        let result = self.next_result(number, after);
        // A call that stores an add, or finds one, also sets the time-to-live.
        if result.is_ok()
            && let Some(refresh) = self.refresh.take()
        {
            refresh.done();
        }
        result
    }

    fn next_result(&mut self, number: u64, after: u64) -> CacheResult<String> {
        match &mut self.answer {
            ScriptAnswer::Consecutive(next) => {
                let id = String::from(*next);
                // There is no id after the greatest, so no further add either.
                *next = next.successor().unwrap_or(EntryId::MAX);
                Ok(id)
            }
            ScriptAnswer::Each(results) => match results.pop_front() {
                Some(AddResult::Stored(id)) => Ok(id),
                Some(AddResult::OutOfOrder { last }) => Err(out_of_order(after, last)),
                Some(AddResult::Skipped) => Err(skipped(number)),
                Some(AddResult::Forgotten) => Err(forgotten(number)),
                Some(AddResult::Refused(error)) => Err(error),
                None => Err(errors::unexpected("an id for each add")),
            },
            ScriptAnswer::Failed(error) => Err(error.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(answer: &[u8]) -> ScriptResults {
        let mut results = ScriptResults::new();
        let access = ScriptAccess::default();
        results.begin(redis::parse_redis_value(answer).unwrap(), None, &access);
        results
    }

    /// The results of three adds, as ids and errors.
    fn results_of_three(answer: &[u8]) -> [String; 3] {
        let mut results = answered(answer);
        [(6, 4), (7, 6), (8, 7)].map(|(number, after)| {
            let result = results.next(number, after);
            result.unwrap_or_else(|error| error.to_string())
        })
    }

    #[test]
    fn an_error_of_the_script_is_the_result_of_every_add() {
        let codes = results_of_three(b"-BUSY Redis is busy\r\n");
        assert!(
            codes.iter().all(|error| error.contains("BUSY")),
            "{codes:?}"
        );
        assert!(!answered(b"-BUSY Redis is busy\r\n").script_is_unknown);
        assert!(answered(b"-NOSCRIPT No matching script\r\n").script_is_unknown);
    }

    #[test]
    fn an_answer_of_another_shape_is_an_error_of_every_add() {
        for answer in [&b":1\r\n"[..], b"*0\r\n"] {
            let errors = results_of_three(answer);
            assert!(
                errors.iter().all(|error| error.contains("unexpected")),
                "{errors:?}"
            );
        }
    }

    #[test]
    fn ids_follow_the_first() {
        let last = b"$22\r\n5-18446744073709551615\r\n";
        assert_eq!(results_of_three(b"$3\r\n5-9\r\n"), ["5-9", "5-10", "5-11"]);
        assert_eq!(results_of_three(last)[1], "6-0");
    }

    #[test]
    fn errors_name_the_add() {
        let answer = b"*3\r\n$5\r\nG S O\r\n$0\r\n\r\n:3\r\n";
        let [out_of_order, skipped, forgotten] = results_of_three(answer);
        assert!(out_of_order.contains("number 4") && out_of_order.contains("number 3"));
        assert!(skipped.contains("number 7"), "{skipped}");
        assert!(forgotten.contains("number 8"), "{forgotten}");
    }
}
