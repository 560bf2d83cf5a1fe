//! What the server asks of a backend beside the operations.

use std::future::poll_fn;
use std::task::Poll;

use futures_util::future::BoxFuture;
use streamgate_protocol::error::code;
use streamgate_protocol::{
    CacheError, CacheResult, ConsumerGroups, Operation, PendingQuery, Reply, StreamingBackend,
    TailFrom,
};
use tokio::sync::watch;

use crate::reclaim::step::{ReclaimStep, Reclaimed};
use crate::tail::source::TailSource;

use crate::tail::polling::Polling;

/// A backend that the server can stand in front of.
///
/// Operations that arrived together are performed together, which lets a backend answer a busy
/// client with one round trip; streams are followed; what vanished consumers hold is taken over. All has
/// a default, so for a backend of your own `impl Backend for Mine {}` is enough: the first two in
/// terms of the six, and whatever is about pending entries is answered with `ERR` until
/// [`groups`](Self::groups) and [`take_over`](Self::take_over) are there.
pub trait Backend: StreamingBackend {
    /// Performs operations in the order given and returns what came of each, in the same order.
    ///
    /// Nothing here waits for an entry: an operation that has to is given back as
    /// [`Progress::Waiting`], asked for in its turn, so that a read from `$` misses nothing that
    /// is added after it in the same list.
    ///
    /// # Cancel safety
    ///
    /// As the six operations: what was not answered may have been done.
    fn perform<'a>(&'a self, operations: Vec<Operation<'_>>) -> BoxFuture<'a, Vec<Progress<'a>>> {
        let operations: Vec<_> = operations.into_iter().map(Operation::into_owned).collect();
        Box::pin(async move {
            let mut progress = Vec::with_capacity(operations.len());
            for operation in operations {
                let (operation, position) = resolved(self, operation).await;
                progress.push(if operation.block_ms().is_some() {
                    ask(perform_one(self, operation), position).await
                } else {
                    Progress::Done(perform_one(self, operation).await)
                });
            }
            progress
        })
    }

    /// Follows a stream for the server: see [`TailSource`].
    ///
    /// The default reads again and again. It sees what was trimmed behind an entry that it gave,
    /// and not that a stream was deleted and made anew.
    fn tail_source<'a>(&'a self, stream: &str, from: TailFrom) -> Box<dyn TailSource + 'a> {
        Box::new(Polling::new(self, stream, from))
    }

    /// What the operations on pending entries are performed with, where the backend has them.
    fn groups(&self) -> Option<&dyn ConsumerGroups> {
        None
    }

    /// Whether it is there: why not, while it is away. Clients are told, and so is who asks the server
    /// whether it is ready. A change of the code is news, of the message alone is none.
    ///
    /// Nothing depends on it: what is asked meanwhile is asked of the backend, which answers as it can.
    /// None, as by default, means that it is always there.
    fn availability(&self) -> Option<watch::Receiver<Option<CacheError>>> {
        None
    }

    /// Takes one step of a round over the pending entries of a group, for a consumer with
    /// [`claim_after_ms`](streamgate_protocol::ConsumeOptions::claim_after_ms). The step is asked
    /// for in the future's first poll, before any operation that is asked for later.
    ///
    /// Of up to [`PAGE`](crate::reclaim::step::PAGE) entries behind the cursor, those that have been
    /// pending for long enough become the consumer's, unless they are its own and no older than it; what was
    /// deleted is not pending any more. What was delivered too often is added to the dead-letter
    /// stream and acknowledged in one step, and is not given.
    ///
    /// # Errors
    ///
    /// Those of the operations. One whose [`retry`](CacheError::retry) is `Later` ends the round,
    /// any other the consumer.
    ///
    /// # Cancel safety
    ///
    /// As a claim.
    fn reclaim<'a>(&'a self, step: ReclaimStep) -> BoxFuture<'a, CacheResult<Reclaimed>> {
        drop(step);
        Box::pin(async { Err(unsupported()) })
    }
}

/// How far an operation has come.
pub enum Progress<'a> {
    /// It is over.
    Done(CacheResult<Reply>),
    /// It waits for an entry. Dropping the future ends the wait.
    Waiting {
        /// Of a read from `$`, if it is known: what that stands for. The client is told, so that it
        /// can ask again from there when its connection is lost.
        position: Option<String>,
        /// Ready with the answer.
        future: BoxFuture<'a, CacheResult<Reply>>,
    },
}

impl Progress<'_> {
    /// Waits for the end.
    ///
    /// # Errors
    ///
    /// Those of the operation.
    pub async fn finish(self) -> CacheResult<Reply> {
        match self {
            Self::Done(result) => result,
            Self::Waiting { future, .. } => future.await,
        }
    }
}

/// Polls a wait once, so that it is asked for before what comes later in the list.
async fn ask(
    mut wait: BoxFuture<'_, CacheResult<Reply>>,
    position: Option<String>,
) -> Progress<'_> {
    match poll_fn(|cx| Poll::Ready(wait.as_mut().poll(cx))).await {
        Poll::Ready(result) => Progress::Done(result),
        Poll::Pending => Progress::Waiting {
            position,
            future: wait,
        },
    }
}

/// A read from `$` as one from the id that it stands for, which its answer has to name, and that id.
/// An error is left for the read itself to meet.
async fn resolved<B: StreamingBackend + ?Sized>(
    backend: &B,
    mut operation: Operation<'static>,
) -> (Operation<'static>, Option<String>) {
    let mut position = None;
    if let Operation::Read {
        stream, last_id, ..
    } = &mut operation
        && &**last_id == "$"
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

fn perform_one<'a, B: Backend + ?Sized>(
    backend: &'a B,
    operation: Operation<'static>,
) -> BoxFuture<'a, CacheResult<Reply>> {
    Box::pin(async move {
        operation.validate()?;
        let limit = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        match operation {
            // Nothing is remembered, so it can only be done once if it was never asked for.
            Operation::AddOnce { again: true, .. } => Err(CacheError::backend(
                code::FORGOTTEN,
                "this backend does not remember what it added",
            )),
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
                let fields = fields
                    .into_iter()
                    .map(|(n, v)| (n.into(), v.into()))
                    .collect();
                let id = backend
                    .stream_add(&stream, fields, maxlen.map(limit))
                    .await?;
                Ok(Reply::Added { id })
            }
            Operation::ReadLatest { stream, count } => {
                let entries = backend.stream_read_latest(&stream, limit(count)).await?;
                Ok(Reply::Entries {
                    entries,
                    last_id: None,
                })
            }
            Operation::Read {
                stream,
                last_id,
                count,
                block_ms,
            } => {
                let block = block_ms.map(limit);
                let entries = backend
                    .stream_read(&stream, &last_id, limit(count), block)
                    .await?;
                let last_id = entries
                    .last()
                    .map_or_else(|| last_id.into(), |(id, _)| id.clone());
                Ok(Reply::Entries {
                    entries,
                    last_id: Some(last_id),
                })
            }
            Operation::CreateGroup { stream, group, id } => {
                backend.stream_create_group(&stream, &group, &id).await?;
                Ok(Reply::Done {})
            }
            Operation::ReadGroup {
                stream,
                group,
                consumer,
                count,
                block_ms,
            } => {
                let (count, block) = (limit(count), block_ms.map(limit));
                let entries = backend
                    .stream_read_group(&stream, &group, &consumer, count, block)
                    .await?;
                Ok(Reply::Entries {
                    entries,
                    last_id: None,
                })
            }
            Operation::Ack { stream, group, ids } => {
                let ids: Vec<String> = ids.into_iter().map(String::from).collect();
                backend.stream_ack(&stream, &group, &ids).await?;
                Ok(Reply::Done {})
            }
            // None of the six gives what is pending.
            Operation::ReadPending { .. } => Err(CacheError::backend(
                code::UNKNOWN_OUTCOME,
                "this backend does not tell what is pending for a consumer",
            )),
            Operation::PendingSummary { stream, group } => {
                let groups = backend.groups().ok_or_else(unsupported)?;
                let summary = groups.pending_summary(&stream, &group).await?;
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
                let groups = backend.groups().ok_or_else(unsupported)?;
                let query = PendingQuery {
                    start: start.into(),
                    end: end.into(),
                    count: limit(count),
                    consumer: consumer.map(String::from),
                    min_idle_ms: min_idle_ms.unwrap_or(0),
                };
                let entries = groups.pending(&stream, &group, query).await?;
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
                let groups = backend.groups().ok_or_else(unsupported)?;
                let count = limit(count);
                let claimed = groups
                    .claim(&stream, &group, &consumer, min_idle_ms, &start, count)
                    .await?;
                Ok(Reply::Claimed(claimed))
            }
            Operation::RemoveConsumer {
                stream,
                group,
                consumer,
                heir,
            } => {
                let groups = backend.groups().ok_or_else(unsupported)?;
                let handed_over = groups
                    .remove_consumer(&stream, &group, &consumer, &heir)
                    .await?;
                Ok(Reply::Removed { handed_over })
            }
        }
    })
}

fn unsupported() -> CacheError {
    CacheError::from_code(code::ERR, "this backend does not give out what is pending")
}
