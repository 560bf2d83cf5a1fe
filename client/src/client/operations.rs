//! The operations of a handle: each is one request.

use streamgate_protocol::{CacheResult, Operation, PerformOperation, Reply};

use super::Client;

/// Implements [`StreamingBackend`](crate::StreamingBackend) and
/// [`PendingEntries`](crate::PendingEntries) too.
impl PerformOperation for Client {
    fn perform_operation<'a>(
        &'a self,
        operation: Operation<'a>,
    ) -> impl Future<Output = CacheResult<Reply>> + Send + 'a {
        self.request(operation.into_owned())
    }
}
