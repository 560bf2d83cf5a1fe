//! A backend that keeps all defaults of `Backend`.

use streamgate_backend::Backend;
use streamgate_memory::MemoryStreams;
use streamgate_protocol::{CacheResult, Operation, PerformOperation, Reply};

/// Keeps the defaults.
pub(crate) struct Plain(pub(crate) MemoryStreams);

impl Backend for Plain {}

impl PerformOperation for Plain {
    async fn perform_operation<'a>(&'a self, operation: Operation<'a>) -> CacheResult<Reply> {
        self.0.perform_operation(operation).await
    }
}
