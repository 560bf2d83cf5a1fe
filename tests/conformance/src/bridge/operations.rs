//! Operations as calls of the methods of the package, and their results as replies.

use serde_json::{Value, json};
use streamgate_protocol::{
    CacheError, CacheResult, ConsumerInfo, Operation, PendingEntry, PerformOperation, Reply,
};

use super::message::CallResult;
use super::packed;
use super::script_client::{ScriptClient, number, wrong};

/// Operations are not validated here: cases test that the package rejects invalid ones.
impl PerformOperation for ScriptClient {
    async fn perform_operation<'a>(&'a self, operation: Operation<'a>) -> CacheResult<Reply> {
        let (method, args) = method_call(&operation)?;
        let result = self.call(method, args).await?;
        reply(&operation, result)
    }
}

fn method_call(operation: &Operation<'_>) -> CacheResult<(&'static str, Value)> {
    Ok(match operation {
        Operation::Add {
            stream,
            fields,
            maxlen,
        } => (
            "add",
            json!([
                packed::name(stream),
                packed::fields(fields),
                optional(*maxlen)?
            ]),
        ),
        Operation::ReadLatest { stream, count } => {
            ("readLatest", json!([packed::name(stream), number(*count)?]))
        }
        Operation::Read {
            stream,
            last_id,
            count,
            block_ms,
        } => {
            let args = json!([
                packed::name(stream),
                &**last_id,
                number(*count)?,
                optional(*block_ms)?
            ]);
            ("read", args)
        }
        Operation::CreateGroup { stream, group, id } => (
            "createGroup",
            json!([packed::name(stream), packed::name(group), &**id]),
        ),
        Operation::ReadGroup {
            stream,
            group,
            consumer,
            count,
            block_ms,
        } => {
            let (count, block_ms) = (number(*count)?, optional(*block_ms)?);
            (
                "readGroup",
                json!([
                    packed::name(stream),
                    packed::name(group),
                    packed::name(consumer),
                    count,
                    block_ms
                ]),
            )
        }
        Operation::Ack { stream, group, ids } => {
            let ids: Vec<&str> = ids.iter().map(|id| &**id).collect();
            (
                "ack",
                json!([packed::name(stream), packed::name(group), ids]),
            )
        }
        Operation::PendingSummary { stream, group } => (
            "pending",
            json!([packed::name(stream), packed::name(group)]),
        ),
        Operation::Pending {
            stream,
            group,
            start,
            end,
            count,
            consumer,
            min_idle_ms,
        } => {
            let options = json!({
                "start": &**start,
                "end": &**end,
                "count": number(*count)?,
                "consumer": consumer.as_ref().map(packed::name),
                "minIdleMs": number(min_idle_ms.unwrap_or(0))?,
            });
            (
                "pendingEntries",
                json!([packed::name(stream), packed::name(group), options]),
            )
        }
        Operation::Claim {
            stream,
            group,
            consumer,
            min_idle_ms,
            start,
            count,
        } => {
            let options = json!({ "start": &**start, "count": number(*count)? });
            let args = json!([
                packed::name(stream),
                packed::name(group),
                packed::name(consumer),
                number(*min_idle_ms)?,
                options
            ]);
            ("claim", args)
        }
        Operation::RemoveConsumer {
            stream,
            group,
            consumer,
            new_owner,
        } => (
            "removeConsumer",
            json!([
                packed::name(stream),
                packed::name(group),
                packed::name(consumer),
                packed::name(new_owner)
            ]),
        ),
        Operation::Consumers { stream, group } => (
            "consumers",
            json!([packed::name(stream), packed::name(group)]),
        ),
        _ => return Err(CacheError::unsupported("this operation")),
    })
}

fn reply(operation: &Operation<'_>, result: CallResult) -> CacheResult<Reply> {
    Ok(match operation {
        Operation::Add { .. } => Reply::Added {
            id: result.id.ok_or_else(|| wrong("add returned no id"))?,
        },
        Operation::Read { .. } => read_reply(result)?,
        Operation::ReadLatest { .. } | Operation::ReadGroup { .. } => Reply::entries(
            result
                .entries
                .ok_or_else(|| wrong("a read returned no entries"))?,
        ),
        Operation::PendingSummary { .. } => Reply::Summary(
            (*result
                .summary
                .ok_or_else(|| wrong("pending returned no summary"))?)
            .into(),
        ),
        Operation::Pending { .. } => Reply::Pending {
            entries: result
                .pending
                .ok_or_else(|| wrong("pendingEntries returned no entries"))?
                .into_iter()
                .map(PendingEntry::from)
                .collect(),
        },
        Operation::Claim { .. } => {
            let claimed = result
                .claimed
                .ok_or_else(|| wrong("claim returned nothing"))?;
            Reply::Claimed((*claimed).into())
        }
        Operation::Ack { .. } => Reply::Acknowledged {
            count: result
                .acknowledged
                .ok_or_else(|| wrong("ack returned no number"))?,
        },
        Operation::Consumers { .. } => Reply::Consumers {
            consumers: result
                .consumers
                .ok_or_else(|| wrong("consumers returned no list"))?
                .into_iter()
                .map(ConsumerInfo::from)
                .collect(),
        },
        Operation::RemoveConsumer { .. } => Reply::Removed {
            handed_over: result
                .handed_over
                .ok_or_else(|| wrong("removeConsumer returned no number"))?,
        },
        _ if result.is_empty() => Reply::Done {},
        _ => return Err(wrong("a method without a result returned one")),
    })
}

/// Checks the returned last id: the id of the last entry, or the requested id with `$` resolved.
fn read_reply(result: CallResult) -> CacheResult<Reply> {
    let entries = result
        .entries
        .ok_or_else(|| wrong("a read returned no entries"))?;
    let is_valid = match (&result.last_id, entries.last()) {
        (Some(next), Some(last)) => *next == last.id,
        (Some(next), None) => next != "$" && !next.is_empty(),
        (None, _) => false,
    };
    let last_id = result.last_id;
    if !is_valid {
        let why = format!("read returned {last_id:?} as the last id");
        return Err(wrong(&why));
    }
    Ok(Reply::Entries {
        entries,
        last_id,
        more: false,
    })
}

fn optional(n: Option<u64>) -> CacheResult<Option<u64>> {
    n.map(number).transpose()
}
