//! What the server asks of a backend beside the six operations.

use futures_util::future::BoxFuture;
use streamgate_protocol::{CacheResult, Operation, Reply, StreamingBackend};

/// A backend that the server can stand in front of.
///
/// One method beside the six: operations that arrived together are performed together, which lets
/// a backend answer a busy client with one round trip. It has a default in terms of the six, so
/// for a backend of your own `impl Backend for Mine {}` is enough.
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
                progress.push(match operation.block_ms() {
                    Some(_) => Progress::Waiting(perform_one(self, operation)),
                    None => Progress::Done(perform_one(self, operation).await),
                });
            }
            progress
        })
    }
}

/// How far an operation has come.
pub enum Progress<'a> {
    /// It is over.
    Done(CacheResult<Reply>),
    /// It waits for an entry. Dropping the future ends the wait.
    Waiting(BoxFuture<'a, CacheResult<Reply>>),
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
            Self::Waiting(future) => future.await,
        }
    }
}

fn perform_one<'a, B: StreamingBackend + ?Sized>(
    backend: &'a B,
    operation: Operation<'static>,
) -> BoxFuture<'a, CacheResult<Reply>> {
    Box::pin(async move {
        operation.validate()?;
        let limit = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        match operation {
            Operation::Add {
                stream,
                fields,
                maxlen,
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
        }
    })
}
