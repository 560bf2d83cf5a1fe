//! One connection on which reads block.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisResult, Value};
use tokio::time::{sleep, timeout};

use crate::connection::endpoint::Endpoint;
use crate::hub::tracking::fallback::blocked_keys::BlockedKeys;
use crate::hub::tracking::invalidations::Invalidations;
use streamgate_protocol::EntryId;

/// How long a read blocks at most where it can be unblocked. It is begun again after that.
const BLOCK: Duration = Duration::from_secs(10);

/// The same where Redis refuses `CLIENT UNBLOCK`: how long a new stream has to wait to be taken
/// in, and so how late its first entry may come.
const SLICE: Duration = Duration::from_millis(100);

/// The pause before unblocking again a read that was not blocked yet.
const UNBLOCK_AGAIN: Duration = Duration::from_millis(1);

/// A connection without streams is closed after that time.
const IDLE: Duration = Duration::from_secs(10);

/// The pause after a failure, before the streams are looked at and armed again.
const FAILED: Duration = Duration::from_millis(250);

/// Blocks for its streams, and tells of those that have entries behind their ends.
pub(super) struct BlockingReader {
    server: Endpoint,
    hub: MultiplexedConnection,
    invalidations: Arc<Invalidations>,
    keys: Arc<BlockedKeys>,
}

/// Whom to unblock; absent where Redis does not let us, and until that is known.
#[derive(Clone, Copy)]
struct Id(Option<i64>);

impl BlockingReader {
    pub(super) fn new(
        server: Endpoint,
        hub: MultiplexedConnection,
        invalidations: Arc<Invalidations>,
        keys: Arc<BlockedKeys>,
    ) -> Self {
        Self {
            server,
            hub,
            invalidations,
            keys,
        }
    }

    /// Ends when there has been nothing to wait for, or when it has failed: then every stream
    /// may have changed.
    pub(super) async fn run(mut self) {
        let Err(error) = self.block().await else {
            return;
        };
        tracing::debug!(%error, "a connection of blocking reads has failed");
        sleep(FAILED).await;
        self.keys.close(true);
        for (stream, _) in self.keys.snapshot() {
            self.invalidations.changed(&stream);
        }
    }

    async fn block(&mut self) -> RedisResult<()> {
        let mut connection = self.server.connect_for_blocking().await?;
        tracing::warn!(
            address = self.server.address(),
            "Redis refuses CLIENT TRACKING: reads block on a connection of their own"
        );
        let id = connection
            .send_packed_command(redis::cmd("CLIENT").arg("ID"))
            .await?;
        let mut id = Id(match id {
            Value::Int(id) if self.may_unblock(id).await => Some(id),
            _ => None,
        });
        loop {
            let keys = self.keys.snapshot();
            if !keys.is_empty() {
                self.read(&mut connection, &keys, &mut id).await?;
            } else if timeout(IDLE, self.keys.changed()).await.is_err() && self.keys.close(false) {
                return Ok(());
            }
        }
    }

    /// Asked before anything blocks: it would block for long, and keep new streams waiting.
    async fn may_unblock(&mut self, id: i64) -> bool {
        let answer = self.hub.send_packed_command(&unblock_command(id)).await;
        matches!(answer, Ok(Value::Int(_)))
    }

    /// One read of streams. It ends early if there are others.
    async fn read(
        &mut self,
        connection: &mut MultiplexedConnection,
        keys: &[(Arc<str>, EntryId)],
        id: &mut Id,
    ) -> RedisResult<()> {
        let command = read_of(keys, if id.0.is_some() { BLOCK } else { SLICE });
        let mut answer = pin!(connection.send_packed_command(&command));
        let answer = tokio::select! {
            answer = &mut answer => answer?,
            () = self.keys.changed() => {
                tokio::select! {
                    answer = &mut answer => answer?,
                    () = unblock(&mut self.hub, id) => answer.await?,
                }
            }
        };
        for (stream, end) in keys {
            if tells_of(&answer, stream) {
                self.keys.found(stream, *end);
                self.invalidations.changed(stream);
            }
        }
        match answer {
            Value::ServerError(error) => Err(error.into()),
            _ => Ok(()),
        }
    }
}

fn read_of(keys: &[(Arc<str>, EntryId)], block: Duration) -> Cmd {
    let mut command = redis::cmd("XREAD");
    // What is found is read again by who wants it.
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

fn tells_of(answer: &Value, stream: &str) -> bool {
    let is_stream = |key: &Value| matches!(key, Value::BulkString(key) if key == stream.as_bytes());
    match answer {
        Value::Map(streams) => streams.iter().any(|(key, _)| is_stream(key)),
        _ => false,
    }
}

fn unblock_command(id: i64) -> Cmd {
    let mut command = redis::cmd("CLIENT");
    command.arg("UNBLOCK").arg(id);
    command
}

/// Ends once the read was unblocked, or cannot be. It may not be blocked yet when it is tried.
async fn unblock(hub: &mut MultiplexedConnection, id: &mut Id) {
    while let Some(blocked) = id.0 {
        match hub.send_packed_command(&unblock_command(blocked)).await {
            Ok(Value::Int(0)) => sleep(UNBLOCK_AGAIN).await,
            Ok(Value::Int(_)) => return,
            // From now on in slices; this one read blocks for longer.
            Ok(Value::ServerError(_)) => id.0 = None,
            _ => return,
        }
    }
}
