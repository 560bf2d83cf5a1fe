//! One call, from a handle's side.

use streamgate_protocol::{CacheError, CacheResult, Operation, Reply};
use tokio::sync::oneshot;

use super::Shared;
use super::guard::{CancelOnDrop, Slot};
use crate::driver::Command;

/// Sends the call in its first poll, and waits for its answer.
pub(super) async fn run(shared: &Shared, operation: Operation<'static>) -> CacheResult<Reply> {
    let _slot = Slot::take(shared)?;
    let id = shared.new_id();
    let read_only = operation.is_read_only();
    let (answer, result) = oneshot::channel();
    let command = Command::Call {
        id,
        operation,
        answer,
    };
    shared.send(command)?;
    let mut cancel = CancelOnDrop::new(shared, id);
    let result = result.await;
    cancel.disarm();
    match result {
        Ok(result) => result,
        // The driver was dropped, as with its runtime, with the call inside.
        Err(_) => Err(CacheError::lost(read_only, "the driver is gone")),
    }
}
