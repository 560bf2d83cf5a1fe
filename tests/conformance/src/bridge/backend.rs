//! The trait, by calls on the control socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use streamgate_protocol::{CacheError, CacheResult, StreamEntry, StreamingBackend};
use tokio::sync::mpsc;

use super::calls::{Calls, gone};
use super::message::{CallResult, Command};
use super::packed;

/// Beyond this a number of JavaScript is not exact.
const MAX_SAFE_INTEGER: usize = (1 << 53) - 1;

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

impl StreamingBackend for ScriptClient {
    fn stream_add<'a>(
        &'a self,
        stream_key: &'a str,
        fields: Vec<(String, String)>,
        maxlen: Option<usize>,
    ) -> BoxFuture<'a, CacheResult<String>> {
        Box::pin(async move {
            let maxlen = maxlen.map(number).transpose()?;
            let given = self
                .call("add", json!([stream_key, packed::fields(fields), maxlen]))
                .await?;
            given.id.ok_or_else(|| wrong("add gave no id"))
        })
    }

    fn stream_read_latest<'a>(
        &'a self,
        stream_key: &'a str,
        count: usize,
    ) -> BoxFuture<'a, CacheResult<Vec<StreamEntry>>> {
        Box::pin(async move {
            entries(
                self.call("readLatest", json!([stream_key, number(count)?]))
                    .await?,
            )
        })
    }

    fn stream_read<'a>(
        &'a self,
        stream_key: &'a str,
        last_id: &'a str,
        count: usize,
        block_ms: Option<usize>,
    ) -> BoxFuture<'a, CacheResult<Vec<StreamEntry>>> {
        Box::pin(async move {
            let block_ms = block_ms.map(number).transpose()?;
            let args = json!([stream_key, last_id, number(count)?, block_ms]);
            let given = self.call("read", args).await?;
            let next = given.last_id.clone();
            let entries = entries(given)?;
            match (next, entries.last()) {
                (Some(next), Some((id, _))) if next == *id => Ok(entries),
                // The id that was asked for, and with `$` resolved the one it stands for.
                (Some(next), None) if next != "$" && !next.is_empty() => Ok(entries),
                (next, _) => Err(wrong(&format!(
                    "read gave {next:?} as the id to read after next"
                ))),
            }
        })
    }

    fn stream_create_group<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        id: &'a str,
    ) -> BoxFuture<'a, CacheResult<()>> {
        Box::pin(async move {
            nothing(
                &self
                    .call("createGroup", json!([stream_key, group_name, id]))
                    .await?,
            )
        })
    }

    fn stream_read_group<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        consumer_name: &'a str,
        count: usize,
        block_ms: Option<usize>,
    ) -> BoxFuture<'a, CacheResult<Vec<StreamEntry>>> {
        Box::pin(async move {
            let block_ms = block_ms.map(number).transpose()?;
            let args = json!([
                stream_key,
                group_name,
                consumer_name,
                number(count)?,
                block_ms
            ]);
            entries(self.call("readGroup", args).await?)
        })
    }

    fn stream_ack<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        ids: &'a [String],
    ) -> BoxFuture<'a, CacheResult<()>> {
        Box::pin(async move {
            nothing(
                &self
                    .call("ack", json!([stream_key, group_name, ids]))
                    .await?,
            )
        })
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

pub(super) fn number(n: usize) -> CacheResult<usize> {
    if n > MAX_SAFE_INTEGER {
        return Err(wrong("a number beyond those of JavaScript"));
    }
    Ok(n)
}

fn entries(given: CallResult) -> CacheResult<Vec<StreamEntry>> {
    given.entries.ok_or_else(|| wrong("a read gave no entries"))
}

fn nothing(given: &CallResult) -> CacheResult<()> {
    match given {
        CallResult {
            id: None,
            entries: None,
            last_id: None,
            pulled: None,
            summary: None,
            pending: None,
            claimed: None,
            handed_over: None,
        } => Ok(()),
        _ => Err(wrong("a method that gives nothing gave something")),
    }
}

pub(super) fn wrong(what: &str) -> CacheError {
    CacheError::InternalError(what.to_owned())
}
