//! One connection on which `XREAD BLOCK` waits for its streams.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisResult, Value};
use streamgate_protocol::EntryId;
use tokio::time::{sleep, timeout};

use crate::connection::endpoint::Endpoint;
use crate::hub::tracking::fallback::blocked_keys::BlockedKeys;
use crate::hub::tracking::invalidations::Invalidations;

/// Longest time that a read blocks, if it can be unblocked. Another read follows.
const BLOCK: Duration = Duration::from_secs(10);

/// The same if Redis refuses `CLIENT UNBLOCK`. A new stream waits this long to be included, so its
/// first entry may come this much later.
const BLOCK_WITHOUT_UNBLOCK: Duration = Duration::from_millis(100);

/// Pause before unblocking again a read that did not block yet.
const UNBLOCK_AGAIN: Duration = Duration::from_millis(1);

/// A connection without streams is closed after this time.
const IDLE: Duration = Duration::from_secs(10);

/// Pause after a failure, before the hub reads and watches the streams again.
const FAILED: Duration = Duration::from_millis(250);

/// Blocks for its streams, and reports those that have entries after their ends.
pub(super) struct BlockingReader {
    endpoint: Endpoint,
    hub: MultiplexedConnection,
    invalidations: Arc<Invalidations>,
    keys: Arc<BlockedKeys>,
}

/// The client id to unblock. Absent if Redis refuses `CLIENT ID` or `CLIENT UNBLOCK`.
#[derive(Clone, Copy)]
struct UnblockId(Option<i64>);

impl BlockingReader {
    pub(super) fn new(
        endpoint: Endpoint,
        hub: MultiplexedConnection,
        invalidations: Arc<Invalidations>,
        keys: Arc<BlockedKeys>,
    ) -> Self {
        Self {
            endpoint,
            hub,
            invalidations,
            keys,
        }
    }

    /// Runs until there were no streams for a while, or until the connection fails. After a failure
    /// every stream may have changed.
    pub(super) async fn run(mut self) {
        let Err(error) = self.block().await else {
            return;
        };
        tracing::debug!(%error, "a connection of blocking reads has failed");
        sleep(FAILED).await;
        self.keys.close();
        for (stream, _) in self.keys.snapshot() {
            self.invalidations.insert(&stream);
        }
    }

    async fn block(&mut self) -> RedisResult<()> {
        let mut connection = self.endpoint.connect_for_blocking().await?;
        tracing::warn!(
            address = self.endpoint.address(),
            "Redis refuses CLIENT TRACKING: opened a connection for blocking reads"
        );
        let id = connection
            .send_packed_command(redis::cmd("CLIENT").arg("ID"))
            .await?;
        let mut id = UnblockId(match id {
            Value::Int(id) if self.may_unblock(id).await => Some(id),
            _ => None,
        });
        loop {
            let keys = self.keys.snapshot();
            if !keys.is_empty() {
                self.read(&mut connection, &keys, &mut id).await?;
            } else if timeout(IDLE, self.keys.changed()).await.is_err()
                && self.keys.close_if_empty()
            {
                return Ok(());
            }
        }
    }

    /// Finds out whether Redis allows `CLIENT UNBLOCK`, before a read blocks for long.
    async fn may_unblock(&mut self, id: i64) -> bool {
        let reply = self.hub.send_packed_command(&unblock_command(id)).await;
        matches!(reply, Ok(Value::Int(_)))
    }

    /// Makes one blocking read. It ends early if there are new streams.
    async fn read(
        &mut self,
        connection: &mut MultiplexedConnection,
        keys: &[(Arc<[u8]>, EntryId)],
        id: &mut UnblockId,
    ) -> RedisResult<()> {
        let block = match id.0 {
            Some(_) => BLOCK,
            None => BLOCK_WITHOUT_UNBLOCK,
        };
        let command = blocking_read(keys, block);
        let mut reply = pin!(connection.send_packed_command(&command));
        let reply = tokio::select! {
            reply = &mut reply => reply?,
            () = self.keys.changed() => {
                tokio::select! {
                    reply = &mut reply => reply?,
                    () = unblock(&mut self.hub, id) => reply.await?,
                }
            }
        };
        for (stream, end) in keys {
            if has_entries(&reply, stream) {
                self.keys.remove_reported(stream, *end);
                self.invalidations.insert(stream);
            }
        }
        match reply {
            Value::ServerError(error) => Err(error.into()),
            _ => Ok(()),
        }
    }
}

fn blocking_read(keys: &[(Arc<[u8]>, EntryId)], block: Duration) -> Cmd {
    let mut command = redis::cmd("XREAD");
    // One entry is enough, because the hub reads the stream again.
    command.arg("COUNT").arg(1);
    command.arg("BLOCK").arg(block.as_millis() as u64);
    command.arg("STREAMS");
    for (stream, _) in keys {
        command.arg(&**stream);
    }
    for (_, end) in keys {
        command.arg(end.to_string());
    }
    command
}

fn has_entries(reply: &Value, stream: &[u8]) -> bool {
    let is_stream = |key: &Value| matches!(key, Value::BulkString(key) if *key == *stream);
    match reply {
        Value::Map(streams) => streams.iter().any(|(key, _)| is_stream(key)),
        _ => false,
    }
}

fn unblock_command(id: i64) -> Cmd {
    let mut command = redis::cmd("CLIENT");
    command.arg("UNBLOCK").arg(id);
    command
}

/// Unblocks the read in flight, which may not block yet. Returns early if Redis refuses that.
async fn unblock(hub: &mut MultiplexedConnection, id: &mut UnblockId) {
    while let Some(blocked) = id.0 {
        match hub.send_packed_command(&unblock_command(blocked)).await {
            Ok(Value::Int(0)) => sleep(UNBLOCK_AGAIN).await,
            Ok(Value::Int(_)) => return,
            // Further reads block for a short time. This one goes on for as long as it was sent.
            Ok(Value::ServerError(_)) => id.0 = None,
            _ => return,
        }
    }
}
