//! The default of [`Backend::perform`](crate::Backend::perform): each [`Operation`] becomes a call
//! of one of the six methods, or of [`PendingEntries`].

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::task::Poll;

use futures_util::future::BoxFuture;
use streamgate_protocol::error::code;
use streamgate_protocol::limits::MAX_PENDING_PAGE;
use streamgate_protocol::{
    ByteString, Bytes, CacheError, CacheResult, Entry, EntryId, Operation, PendingEntries,
    PendingEntry, PendingQuery, Reply, StreamEntry, StreamingBackend,
};

use crate::idempotent_add;
use crate::progress::Progress;

/// Performs operations one after the other. Those that wait have begun to wait when this returns.
pub(crate) async fn perform_in_order<'a, B: StreamingBackend + ?Sized>(
    backend: &'a B,
    pending: Option<&'a dyn PendingEntries>,
    operations: Vec<Operation<'static>>,
) -> Vec<Progress<'a>> {
    let mut progress = Vec::with_capacity(operations.len());
    for operation in operations {
        let (operation, position) = resolve_last_id(backend, operation).await;
        let waits = operation.block_ms().is_some();
        let call = call_method(backend, pending, operation);
        progress.push(if waits {
            start_wait(call, position).await
        } else {
            Progress::Done(call.await)
        });
    }
    progress
}

/// Returns the error of a backend without operations on pending entries.
pub(crate) fn unsupported() -> CacheError {
    CacheError::from_code(code::ERR, "this backend does not support pending entries")
}

/// Replaces `$` in a read by the id that it stands for, which the reply has to name, and returns
/// that id. If the lookup fails, the operation stays as it is: the read itself meets the error.
async fn resolve_last_id<B: StreamingBackend + ?Sized>(
    backend: &B,
    mut operation: Operation<'static>,
) -> (Operation<'static>, Option<String>) {
    let mut position = None;
    if let Operation::Read {
        stream, last_id, ..
    } = &mut operation
        && &**last_id == "$"
        && let Some(stream) = stream.as_text()
        && let Ok(latest) = backend.stream_read_latest(stream, 1).await
    {
        let id = latest
            .into_iter()
            .next()
            .map_or_else(|| "0-0".to_owned(), |(id, _)| id);
        *last_id = id.clone().into();
        position = Some(id);
    }
    (operation, position)
}

/// Polls a wait once, so that it begins before the next operation of the list.
async fn start_wait(
    mut wait: BoxFuture<'_, CacheResult<Reply>>,
    position: Option<String>,
) -> Progress<'_> {
    match poll_fn(|cx| Poll::Ready(wait.as_mut().poll(cx))).await {
        Poll::Ready(result) => Progress::Done(result),
        Poll::Pending => Progress::waiting(position, wait),
    }
}

/// Lists what is pending for a consumer, and reads each entry with a read from the id before it:
/// neither is a delivery.
async fn read_pending<B: StreamingBackend + ?Sized>(
    backend: &B,
    pending: &dyn PendingEntries,
    [stream, group, consumer]: [&str; 3],
    after: EntryId,
    count: usize,
    except: &BTreeSet<EntryId>,
) -> CacheResult<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut next = after.successor();
    while let Some(start) = next
        && entries.len() < count
    {
        let page = MAX_PENDING_PAGE.min(count - entries.len());
        let query = PendingQuery::default()
            .start(start)
            .consumer(consumer)
            .count(page);
        let listed = pending.pending(stream, group, query).await?;
        let is_last = listed.len() < page;
        for PendingEntry { id, .. } in listed {
            let parsed = EntryId::parse(&id)?;
            next = parsed.successor();
            if except.contains(&parsed) {
                continue;
            }
            let before: String = parsed.predecessor().unwrap_or_default().into();
            let found = backend.stream_read(stream, &before, 1, None).await?;
            let found = found.into_iter().next().filter(|(found, _)| *found == id);
            entries.push(found.map_or_else(|| Entry::deleted(id), Entry::from));
        }
        if is_last {
            break;
        }
    }
    Ok(entries)
}

/// Calls the method that the operation names.
fn call_method<'a, B: StreamingBackend + ?Sized>(
    backend: &'a B,
    pending: Option<&'a dyn PendingEntries>,
    operation: Operation<'static>,
) -> BoxFuture<'a, CacheResult<Reply>> {
    Box::pin(async move {
        operation.validate()?;
        let saturate = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        match operation {
            // Without a deduplication window, an add that was sent before may have been done.
            Operation::IdempotentAdd {
                resent: true,
                number,
                ..
            } => Err(idempotent_add::forgotten(number)),
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
                let fields = fields
                    .into_iter()
                    .map(|(n, v)| Ok((text_of(n)?, text_of(v)?)))
                    .collect::<CacheResult<_>>()?;
                let id = backend
                    .stream_add(text(&stream)?, fields, maxlen.map(saturate))
                    .await?;
                Ok(Reply::Added { id })
            }
            Operation::ReadLatest { stream, count } => {
                let entries = backend
                    .stream_read_latest(text(&stream)?, saturate(count))
                    .await?;
                Ok(Reply::entries(of_text(entries)))
            }
            Operation::Read {
                stream,
                last_id,
                count,
                block_ms,
            } => {
                let block = block_ms.map(saturate);
                let entries = backend
                    .stream_read(text(&stream)?, &last_id, saturate(count), block)
                    .await?;
                let last_id = entries
                    .last()
                    .map_or_else(|| last_id.into(), |(id, _)| id.clone());
                Ok(Reply::Entries {
                    entries: of_text(entries),
                    last_id: Some(last_id),
                    more: false,
                })
            }
            Operation::CreateGroup { stream, group, id } => {
                backend
                    .stream_create_group(text(&stream)?, text(&group)?, &id)
                    .await?;
                Ok(Reply::Done {})
            }
            Operation::ReadGroup {
                stream,
                group,
                consumer,
                count,
                block_ms,
            } => {
                let (count, block) = (saturate(count), block_ms.map(saturate));
                let entries = backend
                    .stream_read_group(
                        text(&stream)?,
                        text(&group)?,
                        text(&consumer)?,
                        count,
                        block,
                    )
                    .await?;
                Ok(Reply::entries(of_text(entries)))
            }
            Operation::Ack { stream, group, ids } => {
                let ids: Vec<String> = ids.into_iter().map(String::from).collect();
                let count = match pending {
                    Some(pending) => {
                        pending
                            .acknowledge(text(&stream)?, text(&group)?, &ids)
                            .await?
                    }
                    // Of the six methods, none counts.
                    None => {
                        backend
                            .stream_ack(text(&stream)?, text(&group)?, &ids)
                            .await?;
                        ids.len() as u64
                    }
                };
                Ok(Reply::Acknowledged { count })
            }
            // None of the six methods reads pending entries.
            Operation::ReadPending { .. } if pending.is_none() => Err(CacheError::backend(
                code::UNKNOWN_OUTCOME,
                "this backend cannot read a consumer's pending entries",
            )),
            Operation::ReadPending {
                stream,
                group,
                consumer,
                after,
                count,
                except,
            } => {
                let pending = pending.ok_or_else(unsupported)?;
                let after = EntryId::parse(&after)?;
                let except = except.iter().map(|id| EntryId::parse(id));
                let except = except.collect::<Result<_, _>>()?;
                let count = if count == 0 {
                    usize::MAX
                } else {
                    saturate(count)
                };
                let names = [text(&stream)?, text(&group)?, text(&consumer)?];
                let entries = read_pending(backend, pending, names, after, count, &except).await?;
                Ok(Reply::entries(entries))
            }
            Operation::PendingSummary { stream, group } => {
                let pending = pending.ok_or_else(unsupported)?;
                let summary = pending
                    .pending_summary(text(&stream)?, text(&group)?)
                    .await?;
                Ok(Reply::Summary(summary))
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
                let pending = pending.ok_or_else(unsupported)?;
                let mut query = PendingQuery::default()
                    .start(start)
                    .end(end)
                    .count(saturate(count))
                    .min_idle_ms(min_idle_ms.unwrap_or(0));
                query.consumer = consumer.map(ByteString::from);
                let entries = pending
                    .pending(text(&stream)?, text(&group)?, query)
                    .await?;
                Ok(Reply::Pending { entries })
            }
            Operation::Claim {
                stream,
                group,
                consumer,
                min_idle_ms,
                start,
                count,
            } => {
                let pending = pending.ok_or_else(unsupported)?;
                let count = saturate(count);
                let claimed = pending
                    .claim(
                        text(&stream)?,
                        text(&group)?,
                        text(&consumer)?,
                        min_idle_ms,
                        &start,
                        count,
                    )
                    .await?;
                Ok(Reply::Claimed(claimed))
            }
            Operation::RemoveConsumer {
                stream,
                group,
                consumer,
                new_owner,
            } => {
                let pending = pending.ok_or_else(unsupported)?;
                let handed_over = pending
                    .remove_consumer(
                        text(&stream)?,
                        text(&group)?,
                        text(&consumer)?,
                        text(&new_owner)?,
                    )
                    .await?;
                Ok(Reply::Removed { handed_over })
            }
            Operation::Consumers { stream, group } => {
                let pending = pending.ok_or_else(unsupported)?;
                let consumers = pending.consumers(text(&stream)?, text(&group)?).await?;
                Ok(Reply::Consumers { consumers })
            }
            _ => Err(CacheError::unsupported("this operation")),
        }
    })
}

fn of_text(entries: Vec<StreamEntry>) -> Vec<Entry> {
    entries.into_iter().map(Entry::from).collect()
}

/// Returns a name as text, which is all that the methods take.
pub(crate) fn text<'a>(name: &'a Bytes<'_>) -> CacheResult<&'a str> {
    name.as_text().ok_or_else(not_text)
}

fn text_of(bytes: Bytes<'_>) -> CacheResult<String> {
    String::from_utf8(bytes.0.into_owned()).map_err(|_| not_text())
}

fn not_text() -> CacheError {
    let why = "this backend takes text alone, and a name or a value is not UTF-8";
    CacheError::from_code(code::ERR, why)
}
