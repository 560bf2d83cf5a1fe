//! Performing an [`Operation`]: one arm for each.

use streamgate_protocol::{CacheError, CacheResult, Operation};

use crate::answer::Outcome;
use crate::dedup_window::AddSequence;
use crate::store::Store;
use crate::store::pending::PendingRange;

impl Store {
    /// Performs an operation, or registers its wait. A reply has at least one entry, and further ones
    /// within `max_bytes`.
    pub(crate) fn perform(
        &mut self,
        operation: Operation<'_>,
        max_bytes: u64,
        now_ms: u64,
    ) -> CacheResult<Outcome> {
        operation.validate()?;
        match operation {
            Operation::Add {
                stream,
                fields,
                maxlen,
            } => self.add(&stream, fields, maxlen, now_ms),
            Operation::IdempotentAdd {
                stream,
                fields,
                maxlen,
                producer,
                number,
                after,
                resent,
            } => {
                let sequence = AddSequence {
                    number,
                    after,
                    resent,
                };
                let window = (stream.into(), producer.into());
                self.add_once(window, fields, maxlen, &sequence, now_ms)
            }
            Operation::ReadLatest { stream, count } => {
                Ok(self.read_latest(&stream, count, max_bytes))
            }
            Operation::Read {
                stream,
                last_id,
                count,
                block_ms,
            } => {
                let limits = (count, max_bytes);
                self.read(&stream, &last_id, limits, block_ms)
            }
            Operation::CreateGroup { stream, group, id } => {
                self.create_group(&stream, group, &id, now_ms)
            }
            Operation::ReadGroup {
                stream,
                group,
                consumer,
                count,
                block_ms,
            } => {
                let limits = (count, max_bytes);
                let names = [&*stream, &*group, &*consumer];
                self.read_group(names, limits, block_ms, now_ms)
            }
            Operation::Ack { stream, group, ids } => self.ack(&stream, &group, &ids),
            Operation::ReadPending {
                stream,
                group,
                consumer,
                after,
                count,
                except,
            } => {
                let limits = (count, max_bytes);
                self.read_pending(&stream, [&group, &consumer], &after, limits, &except)
            }
            Operation::PendingSummary { stream, group } => self.pending_summary(&stream, &group),
            Operation::Pending {
                stream,
                group,
                start,
                end,
                count,
                consumer,
                min_idle_ms,
            } => {
                let range = PendingRange {
                    ends: [&start, &end],
                    count,
                    consumer: consumer.as_deref(),
                    min_idle_ms: min_idle_ms.unwrap_or(0),
                };
                self.pending_entries(&stream, &group, &range, now_ms)
            }
            Operation::Claim {
                stream,
                group,
                consumer,
                min_idle_ms,
                start,
                count,
            } => {
                let range = PendingRange {
                    ends: [&start, "+"],
                    count,
                    consumer: None,
                    min_idle_ms,
                };
                self.claim([&stream, &group, &consumer], &range, max_bytes, now_ms)
            }
            Operation::RemoveConsumer {
                stream,
                group,
                consumer,
                new_owner,
            } => self.remove_consumer(&stream, &group, &consumer, &new_owner, now_ms),
            Operation::Consumers { stream, group } => self.consumers(&stream, &group, now_ms),
            _ => Err(CacheError::unsupported("this operation")),
        }
    }
}
