//! Backends that perform operations as data.

use crate::error::CacheResult;
use crate::message::{Operation, Reply};

/// A backend that performs operations as data.
///
/// Whoever implements this has [`StreamingBackend`](crate::StreamingBackend),
/// [`PendingEntries`](crate::PendingEntries) and [`EntryOperations`](crate::EntryOperations) too:
/// each of their calls becomes one [`Operation`], and the [`Reply`] becomes its result. A backend
/// whose operations have nothing in common implements the first two by hand instead.
///
/// # Example
///
/// ```
/// use streamgate_protocol::error::code;
/// use streamgate_protocol::{
///     CacheError, CacheResult, Operation, PerformOperation, Reply, StreamingBackend,
/// };
///
/// /// Takes every entry and stores none.
/// struct Discard;
///
/// impl PerformOperation for Discard {
///     async fn perform_operation<'a>(&'a self, operation: Operation<'a>) -> CacheResult<Reply> {
///         operation.validate()?;
///         match operation {
///             Operation::Add { .. } => Ok(Reply::Added { id: "0-1".to_owned() }),
///             Operation::ReadLatest { .. } => {
///                 Ok(Reply::entries(vec![]))
///             }
///             _ => Err(CacheError::backend(code::ERR, "nothing is stored here")),
///         }
///     }
/// }
///
/// # futures_util::FutureExt::now_or_never(async {
/// let fields = vec![("item".to_owned(), "tea".to_owned())];
/// assert_eq!(Discard.stream_add("orders", fields, None).await?, "0-1");
/// # Ok::<_, CacheError>(())
/// # });
/// ```
pub trait PerformOperation: Send + Sync {
    /// Performs an operation and returns its reply.
    ///
    /// The caller has not validated the operation: begin with [`Operation::validate`]. Do nothing
    /// that others can see before the future's first poll.
    ///
    /// # Errors
    ///
    /// Those of the operation, see [`StreamingBackend`](crate::StreamingBackend).
    ///
    /// # Cancel safety
    ///
    /// As the operation's: dropping the future ends a wait.
    fn perform_operation<'a>(
        &'a self,
        operation: Operation<'a>,
    ) -> impl Future<Output = CacheResult<Reply>> + Send + 'a;
}
