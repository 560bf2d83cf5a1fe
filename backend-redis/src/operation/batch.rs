//! Operations that go to Redis together, as one pipeline.

use std::collections::VecDeque;

use redis::Value;
use streamgate_protocol::{CacheResult, Operation, Reply};

use crate::connection::command_connection::CommandConnection;
use crate::hub::Hub;
use crate::operation::encode::{EncodedOperation, encode};
use crate::operation::idempotent_add::{AddBatch, TtlRefresh};
use crate::operation::outcome::OperationOutcome;
use crate::wire::answers::next_value;
use crate::wire::errors;
use crate::wire::packing::PackedCommands;
use crate::wire::scripts::idempotent_add;

/// Bytes that a command usually takes, at most: memory is reserved for them.
const USUAL_COMMAND_BYTES: usize = 256;

/// Operations, encoded.
pub(crate) struct OperationBatch {
    packed: PackedCommands,
    operations: Vec<EncodedOperation>,
}

/// Results of a script call that were not taken yet.
#[derive(Default)]
struct ScriptResults {
    left: VecDeque<CacheResult<String>>,
    script_is_unknown: bool,
}

impl OperationBatch {
    /// Encodes operations, so that they are not needed any longer. Consumers that may have to wait
    /// enter their group's queue here.
    ///
    /// `ttl_refresh` is absent if Redis refuses scripts: idempotent adds are plain ones then.
    pub(crate) fn new<'a>(
        operations: impl ExactSizeIterator<Item = Operation<'a>>,
        hub: &Hub,
        ttl_refresh: Option<&TtlRefresh>,
    ) -> Self {
        let mut packed = PackedCommands::with_capacity(operations.len() * USUAL_COMMAND_BYTES);
        let mut encoded = Vec::with_capacity(operations.len());
        // The script call that further adds may join.
        let mut adds: Option<AddBatch> = None;
        for operation in operations {
            if let Err(error) = operation.validate() {
                encoded.push(EncodedOperation::Answered(Err(error)));
                continue;
            }
            let joins = adds.as_mut().is_some_and(|adds| adds.push(&operation));
            if !joins {
                if let (Some(adds), Some(ttl_refresh)) = (adds.take(), ttl_refresh) {
                    adds.encode(&mut packed, ttl_refresh);
                }
                adds = ttl_refresh.and_then(|_| AddBatch::begin(&operation));
            }
            encoded.push(if adds.is_some() {
                EncodedOperation::Scripted { is_first: !joins }
            } else {
                encode(&operation, &mut packed, hub)
            });
        }
        if let (Some(adds), Some(ttl_refresh)) = (adds, ttl_refresh) {
            adds.encode(&mut packed, ttl_refresh);
        }
        Self {
            packed,
            operations: encoded,
        }
    }

    /// Sends the commands and waits for their answers. Returns an outcome for each operation, in
    /// order.
    pub(crate) async fn run(
        self,
        commands: &CommandConnection,
        hub: &Hub,
    ) -> Vec<OperationOutcome> {
        let Self { packed, operations } = self;
        let mut values = if packed.is_empty() {
            Ok(Vec::new().into_iter())
        } else {
            commands.send(packed).await.map(Vec::into_iter)
        };
        let mut script = ScriptResults::default();
        let outcomes = operations
            .into_iter()
            .map(|operation| match operation {
                EncodedOperation::Answered(result) => OperationOutcome::Done(result),
                EncodedOperation::Queued(slot, read) => read.wait(slot, hub),
                EncodedOperation::Sent {
                    expected,
                    read_only,
                } => match &mut values {
                    Ok(values) => expected.outcome(next_value(values), commands, hub),
                    Err(error) => OperationOutcome::Done(Err(error.to_cache_error(read_only))),
                },
                EncodedOperation::Scripted { is_first } => {
                    let result = match &mut values {
                        Ok(values) if is_first => script.begin(next_value(values)),
                        Ok(_) => script.next(),
                        Err(error) => Err(error.to_cache_error(false)),
                    };
                    OperationOutcome::Done(result.map(|id| Reply::Added { id }))
                }
            })
            .collect();
        if script.script_is_unknown {
            let mut packed = PackedCommands::default();
            idempotent_add::load(&mut packed);
            // If this fails, the next batch that needs the script tries again.
            let _ = commands.send(packed).await;
        }
        outcomes
    }
}

impl ScriptResults {
    /// Takes the answer of a script call, and returns the result of its first add.
    fn begin(&mut self, value: Value) -> CacheResult<String> {
        self.script_is_unknown |= idempotent_add::is_unknown(&value);
        self.left = idempotent_add::results(value);
        self.next()
    }

    fn next(&mut self) -> CacheResult<String> {
        match self.left.pop_front() {
            // The last error is that of all further adds.
            Some(Err(error)) if self.left.is_empty() => {
                self.left.push_back(Err(error.clone()));
                Err(error)
            }
            Some(result) => result,
            None => Err(errors::unexpected("ids")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_script_is_the_result_of_every_add() {
        let busy = redis::parse_redis_value(b"-BUSY Redis is busy\r\n").unwrap();
        let mut results = ScriptResults::default();
        let codes = [results.begin(busy), results.next(), results.next()];
        assert_eq!(
            codes.map(|result| result.unwrap_err().code().to_owned()),
            ["BUSY"; 3]
        );
        assert!(!results.script_is_unknown);
    }

    #[test]
    fn an_answer_of_another_shape_is_an_error_of_every_add() {
        let mut results = ScriptResults::default();
        for result in [results.begin(Value::Int(1)), results.next()] {
            assert_eq!(result.unwrap_err().code(), "SERIALIZATION");
        }
    }
}
