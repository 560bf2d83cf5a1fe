//! One call, from a handle's side.

use streamgate_protocol::error::code;
use streamgate_protocol::{CacheError, CacheResult, Operation, Reply};
use tokio::sync::{mpsc, oneshot};

use crate::driver::Command;

pub(super) async fn run(
    commands: &mpsc::Sender<Command>,
    cancels: &mpsc::UnboundedSender<u64>,
    id: u64,
    operation: Operation<'static>,
) -> CacheResult<Reply> {
    let read_only = operation.is_read_only();
    let (answer, result) = oneshot::channel();
    let command = Command::Call {
        id,
        operation,
        answer,
    };
    if commands.send(command).await.is_err() {
        return Err(CacheError::backend(code::CLOSED, "the client is closed"));
    }
    let mut cancel = CancelOnDrop {
        cancels,
        id,
        armed: true,
    };
    let result = result.await;
    cancel.armed = false;
    match result {
        Ok(result) => result,
        // The driver was dropped, as with its runtime, with the call inside.
        Err(_) if read_only => Err(CacheError::backend(
            code::DISCONNECTED,
            "the driver is gone",
        )),
        Err(_) => Err(CacheError::backend(
            code::UNKNOWN_OUTCOME,
            "the driver is gone",
        )),
    }
}

/// Ends the call at the server when its future is dropped.
struct CancelOnDrop<'a> {
    cancels: &'a mpsc::UnboundedSender<u64>,
    id: u64,
    armed: bool,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if self.armed {
            // Without a driver there is no call left to end.
            let _ = self.cancels.send(self.id);
        }
    }
}
