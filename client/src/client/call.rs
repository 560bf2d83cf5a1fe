//! One call, from a handle's side.

use std::sync::atomic::{AtomicUsize, Ordering};

use streamgate_protocol::error::code;
use streamgate_protocol::{CacheError, CacheResult, Operation, Reply};
use tokio::sync::{mpsc, oneshot};

use crate::driver::Command;

/// Calls of one client that may be under way at once, over all its handles; it bounds the
/// channel to the driver. One is refused with `OVERLOADED` beyond it, rather than made to wait:
/// waiting callers would not keep the order in which they came.
pub(super) const MAX_CALLS: usize = 128 * 1024;

/// Sends the call in its first poll, and waits for its answer.
pub(super) async fn run(
    commands: &mpsc::UnboundedSender<Command>,
    calls: &AtomicUsize,
    id: u64,
    operation: Operation<'static>,
) -> CacheResult<Reply> {
    let _slot = Slot::take(calls)?;
    let read_only = operation.is_read_only();
    let (answer, result) = oneshot::channel();
    let command = Command::Call {
        id,
        operation,
        answer,
    };
    if commands.send(command).is_err() {
        return Err(CacheError::backend(code::CLOSED, "the client is closed"));
    }
    let mut cancel = CancelOnDrop {
        commands,
        id,
        armed: true,
    };
    let result = result.await;
    cancel.armed = false;
    match result {
        Ok(result) => result,
        // The driver was dropped, as with its runtime, with the call inside.
        Err(_) => Err(CacheError::lost(read_only, "the driver is gone")),
    }
}

/// A call's place among the [`MAX_CALLS`].
#[derive(Debug)]
pub(super) struct Slot<'a>(&'a AtomicUsize);

impl<'a> Slot<'a> {
    pub(super) fn take(calls: &'a AtomicUsize) -> CacheResult<Self> {
        let slot = Self(calls);
        if calls.fetch_add(1, Ordering::Relaxed) < MAX_CALLS {
            Ok(slot)
        } else {
            Err(CacheError::backend(
                code::OVERLOADED,
                "too many calls are under way",
            ))
        }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Ends the call at the server when its future is dropped.
struct CancelOnDrop<'a> {
    commands: &'a mpsc::UnboundedSender<Command>,
    id: u64,
    armed: bool,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if self.armed {
            // Without a driver there is no call left to end.
            let _ = self.commands.send(Command::Cancel { id: self.id });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_beyond_the_bound_are_refused_until_one_is_over() {
        let calls = AtomicUsize::new(0);
        let mut slots: Vec<_> = (0..MAX_CALLS)
            .map(|_| Slot::take(&calls).unwrap())
            .collect();
        assert_eq!(Slot::take(&calls).unwrap_err().code(), "OVERLOADED");
        slots.pop();
        slots.push(Slot::take(&calls).unwrap());
        assert_eq!(Slot::take(&calls).unwrap_err().code(), "OVERLOADED");
        slots.clear();
        assert_eq!(calls.load(Ordering::Relaxed), 0);
    }
}
