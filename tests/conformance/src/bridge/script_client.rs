//! The package's client in a runtime, called on the control socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;
use streamgate_protocol::{CacheError, CacheResult};
use tokio::sync::mpsc;

use super::calls::{Calls, gone};
use super::message::{CallResult, Command};

/// Beyond this a number of JavaScript is not exact.
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// The npm package's client in a runtime, called from here.
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

    /// Says something that is not answered. If the runtime is gone, so is what it was about.
    pub(super) fn send_command(&self, command: Command) {
        drop(self.commands.send(command));
    }

    pub(super) async fn call(&self, method: &'static str, args: Value) -> CacheResult<CallResult> {
        let n = self.number();
        let answer = self.calls.expect(n);
        let _cancel = CancelOnDrop { client: self, n };
        self.commands
            .send(Command::Call { n, method, args })
            .map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// Aborts a call whose future is dropped before its answer came.
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
        return Err(wrong("a number beyond those of JavaScript"));
    }
    Ok(n)
}

pub(super) fn wrong(what: &str) -> CacheError {
    CacheError::InternalError(what.to_owned())
}
