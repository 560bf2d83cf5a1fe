//! The connection that carries the operations: Redis's own protocol (RESP2), written and read here.
//!
//! redis-rs spends as much on an add as all the rest of this server: a command and an answer of
//! several allocations each, a parser that builds on combinators, a timer for every pipeline. What
//! is batched already needs none of that. The hub, which needs what is pushed and is asked
//! seldom, keeps to redis-rs.

pub(crate) mod driver;
pub(crate) mod open;
pub(crate) mod reader;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::task::AtomicWaker;
use redis::{RedisError, Value};
use tokio::sync::oneshot;

use crate::connection::barrier::Barrier;

pub(crate) use crate::connection::resp::open::{OpenConnection, refusal};
pub(crate) use crate::wire::packing::PackedCommands;

/// The answers to a pipeline, in order, or why there are none.
type Answers = Result<Vec<Value>, RedisError>;

/// A connection. It ends with its last handle, after the answers to all that was sent.
#[derive(Clone)]
pub(crate) struct RespConnection(Arc<ConnectionHandle>);

/// Wakes the driver for the last time when it is dropped.
struct ConnectionHandle(Arc<SharedQueue>);

/// What handles and the driver share.
#[derive(Default)]
struct SharedQueue {
    queue: Mutex<SendQueue>,
    driver: AtomicWaker,
    barrier: Barrier,
}

#[derive(Default)]
struct SendQueue {
    /// Bytes that the driver has not taken yet. Bounded by the pipelines that may be under way.
    outgoing: Vec<u8>,
    /// Whose commands they are.
    asked: VecDeque<SentPipeline>,
    state: SendState,
}

#[derive(Default)]
enum SendState {
    #[default]
    Open,
    /// The last handle is gone.
    Left,
    /// The connection is lost.
    Lost(RedisError),
}

/// Who waits for the answers to a pipeline.
struct SentPipeline {
    commands: usize,
    answers: oneshot::Sender<Answers>,
}

impl RespConnection {
    /// Sends commands in the order of these calls: at once, unless they are held back.
    ///
    /// # Errors
    ///
    /// The connection was lost, or Redis was silent for too long. What Redis itself answers is
    /// among the answers.
    pub(crate) fn send(
        &self,
        packed: PackedCommands,
    ) -> impl Future<Output = Answers> + Send + use<> {
        let (answers, answered) = oneshot::channel();
        let sent = self.0.0.send(packed, answers);
        // Held until the answers are there: it would end with its last handle.
        let connection = self.clone();
        async move {
            sent?;
            let answers = answered.await;
            drop(connection);
            // The driver, and with it the connection, ends with its runtime.
            answers.unwrap_or_else(|_| Err(lost("the runtime of the connection has ended")))
        }
    }

    /// Whether it has ended. Who is told of its end is told after that.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(self.0.0.queue().state, SendState::Lost(_))
    }
}

impl SharedQueue {
    fn queue(&self) -> MutexGuard<'_, SendQueue> {
        // Nothing that can panic happens under the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(
        &self,
        packed: PackedCommands,
        answers: oneshot::Sender<Answers>,
    ) -> Result<(), RedisError> {
        let PackedCommands { bytes, commands } = packed;
        let mut queue = self.queue();
        if let SendState::Lost(error) = &queue.state {
            return Err(error.clone());
        }
        queue.asked.push_back(SentPipeline { commands, answers });
        // Otherwise it was woken for what is there already.
        let wake = queue.outgoing.is_empty();
        if wake {
            queue.outgoing = bytes;
        } else {
            queue.outgoing.extend_from_slice(&bytes);
        }
        drop(queue);
        if wake {
            self.driver.wake();
        }
        Ok(())
    }
}

impl Drop for ConnectionHandle {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        if matches!(queue.state, SendState::Open) {
            queue.state = SendState::Left;
        }
        drop(queue);
        self.0.driver.wake();
    }
}

fn lost(why: &'static str) -> RedisError {
    std::io::Error::new(std::io::ErrorKind::ConnectionReset, why).into()
}

#[cfg(test)]
mod tests;
