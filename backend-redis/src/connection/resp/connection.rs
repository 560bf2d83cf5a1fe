//! The handle of a connection.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::send_queue::{Answers, SendQueue, SendState, lost};
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

    /// Sends commands at once, in the order of these calls, unless the barrier holds them back.
    ///
    /// # Errors
    ///
    /// The connection was lost, or Redis was silent for too long. An error that Redis answers is
    /// one of the answers.
    pub(in crate::connection) fn send(
        &self,
        packed: PackedCommands,
    ) -> impl Future<Output = Answers> + Send + use<> {
        let (answers, answered) = oneshot::channel();
        let sent = self.0.0.push(packed, answers);
        // Kept until the answers are there, because the connection ends with its last handle.
        let connection = self.clone();
        async move {
            sent?;
            let answers = answered.await;
            drop(connection);
            // The driver, and with it the connection, ends with its runtime.
            answers.unwrap_or_else(|_| Err(lost("the runtime of the connection has ended")))
        }
    }

    /// Returns whether the connection was lost. The `on_lost` callback runs after this turns true.
    pub(in crate::connection) fn is_lost(&self) -> bool {
        matches!(self.0.0.lock().state, SendState::Lost(_))
    }
}

impl Drop for ConnectionHandle {
    fn drop(&mut self) {
        self.0.close();
    }
}
