//! The client of the npm package in a runtime, called over the control socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;
use streamgate_protocol::{CacheError, CacheResult};
use tokio::sync::mpsc;

use super::calls::{Calls, runtime_ended};
use super::message::{CallResult, Command};

/// The greatest integer that JavaScript represents exactly (`Number.MAX_SAFE_INTEGER`).
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// The client of the npm package in a runtime, called from this process.
#[derive(Debug, Clone)]
pub struct ScriptClient {
    calls: Calls,
    commands: mpsc::UnboundedSender<Command>,
    next: Arc<AtomicU64>,
}

impl ScriptClient {
    pub(super) fn new(calls: Calls, commands: mpsc::UnboundedSender<Command>) -> Self {
        Self {
            calls,
            commands,
            next: Arc::default(),
        }
    }

    /// A number that no other call and no other subscription has.
    pub(super) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Sends a command without an answer. If the runtime has ended, there is nothing left to do.
    pub(super) fn send_command(&self, command: Command) {
        drop(self.commands.send(command));
    }

    pub(super) async fn call(&self, method: &'static str, args: Value) -> CacheResult<CallResult> {
        let n = self.number();
        let answer = self.calls.expect(n);
        let _cancel = CancelOnDrop { client: self, n };
        self.commands
            .send(Command::Call { n, method, args })
            .map_err(|_| runtime_ended())?;
        answer.await.map_err(|_| runtime_ended())?
    }
}

/// Aborts a call whose future is dropped before its answer arrives.
struct CancelOnDrop<'a> {
    client: &'a ScriptClient,
    n: u64,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if self.client.calls.forget(self.n).is_some() {
            self.client.send_command(Command::Cancel { cancel: self.n });
        }
    }
}

/// Checks that JavaScript can represent a number exactly.
pub(super) fn number(n: u64) -> CacheResult<u64> {
    if n > MAX_SAFE_INTEGER {
        return Err(wrong("a number exceeds Number.MAX_SAFE_INTEGER"));
    }
    Ok(n)
}

pub(super) fn wrong(what: &str) -> CacheError {
    CacheError::InternalError(what.to_owned())
}
