//! A backend that implements the six operations and keeps all defaults.

use streamgate_backend::Backend;
use streamgate_memory::MemoryStreams;
use streamgate_protocol::{CacheResult, Operation, PerformOperation, Reply};

/// Keeps every default of [`Backend`].
pub(crate) struct SixOperations(pub(crate) MemoryStreams);

impl Backend for SixOperations {}

impl PerformOperation for SixOperations {
    async fn perform_operation<'a>(&'a self, operation: Operation<'a>) -> CacheResult<Reply> {
        self.0.perform_operation(operation).await
    }
}
