//! The handle of a connection.

use std::sync::Arc;

use redis::RedisError;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::send_queue::{Answers, PushError, SendQueue, SendState, lost};
use crate::wire::packing::PackedCommands;

/// A connection. It ends with its last handle, after the answers to everything that was sent.
#[derive(Clone)]
pub(in crate::connection) struct RespConnection(Arc<ConnectionHandle>);

/// Tells the driver when the last handle is dropped.
struct ConnectionHandle(Arc<SendQueue>);

impl RespConnection {
    pub(super) fn new(queue: Arc<SendQueue>) -> Self {
        Self(Arc::new(ConnectionHandle(queue)))
    }

    /// Sends commands at once, in the order of these calls.
    ///
    /// # Errors
    ///
    /// Nothing was sent, because the connection is lost or too much is queued. The future ends with
    /// an error if the connection is lost later, or if Redis is silent for too long. An error that
    /// Redis answers is one of the answers.
    pub(in crate::connection) fn send(
        &self,
        packed: PackedCommands,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Result<impl Future<Output = Answers> + Send + use<>, PushError> {
        let (answers, answered) = oneshot::channel();
        self.0.0.push(packed, answers, permit)?;
        Ok(self.clone().answers(answered))
    }

    /// Sends what `encode` writes, in one step: no other command is queued while it runs.
    ///
    /// # Errors
    ///
    /// The connection is lost; nothing was sent.
    pub(in crate::connection) fn send_encoded(
        &self,
        encode: &mut dyn FnMut(&mut PackedCommands),
    ) -> Result<impl Future<Output = Answers> + Send + use<>, RedisError> {
        let (answers, answered) = oneshot::channel();
        self.0.0.push_encoded(encode, answers)?;
        Ok(self.clone().answers(answered))
    }

    /// Returns whether the connection was lost. The `on_lost` callback runs after this turns true.
    pub(in crate::connection) fn is_lost(&self) -> bool {
        matches!(self.0.0.lock().state, SendState::Lost(_))
    }

    /// Waits for answers. Keeps the handle meanwhile, because the connection ends with the last.
    async fn answers(self, answered: oneshot::Receiver<Answers>) -> Answers {
        let answers = answered.await;
        drop(self);
        // The driver, and with it the connection, ends with its runtime.
        answers.unwrap_or_else(|_| Err(lost("the runtime of the connection has ended")))
    }
}

impl Drop for ConnectionHandle {
    fn drop(&mut self) {
        self.0.close();
    }
}
