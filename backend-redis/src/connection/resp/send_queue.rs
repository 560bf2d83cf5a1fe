//! The queue between senders and the driver of a connection.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::task::AtomicWaker;
use redis::{RedisError, Value};
use tokio::sync::oneshot;

use crate::connection::barrier::Barrier;
use crate::wire::packing::PackedCommands;

/// The answers to a pipeline, in order, or why there are none.
pub(in crate::connection) type Answers = Result<Vec<Value>, RedisError>;

/// Shared by the handles and the driver of a connection.
#[derive(Default)]
pub(super) struct SendQueue {
    queued: Mutex<QueuedCommands>,
    pub(super) driver: AtomicWaker,
    pub(super) barrier: Barrier,
}

#[derive(Default)]
pub(super) struct QueuedCommands {
    /// Bytes that the driver has not taken yet. Bounded by the pipelines that may be unanswered.
    pub(super) bytes: Vec<u8>,
    pub(super) pipelines: VecDeque<SentPipeline>,
    pub(super) state: SendState,
}

#[derive(Default)]
pub(super) enum SendState {
    #[default]
    Open,
    /// The last handle is dropped.
    Closing,
    Lost(RedisError),
}

/// A pipeline whose answers somebody waits for.
pub(super) struct SentPipeline {
    pub(super) commands: usize,
    pub(super) answers: oneshot::Sender<Answers>,
}

impl SendQueue {
    pub(super) fn new(barrier: Barrier) -> Self {
        Self {
            barrier,
            ..Self::default()
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, QueuedCommands> {
        // Nothing panics under the lock.
        self.queued.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(
        &self,
        packed: PackedCommands,
        answers: oneshot::Sender<Answers>,
    ) -> Result<(), RedisError> {
        let PackedCommands { bytes, commands } = packed;
        let mut queued = self.lock();
        if let SendState::Lost(error) = &queued.state {
            return Err(error.clone());
        }
        queued
            .pipelines
            .push_back(SentPipeline { commands, answers });
        // If there are bytes already, the driver was woken for them.
        let wake = queued.bytes.is_empty();
        if wake {
            queued.bytes = bytes;
        } else {
            queued.bytes.extend_from_slice(&bytes);
        }
        drop(queued);
        if wake {
            self.driver.wake();
        }
        Ok(())
    }

    /// Lets the driver end once everything is answered.
    pub(super) fn close(&self) {
        let mut queued = self.lock();
        if matches!(queued.state, SendState::Open) {
            queued.state = SendState::Closing;
        }
        drop(queued);
        self.driver.wake();
    }

    /// Returns whether no handle is left and nothing is queued.
    pub(super) fn is_finished(&self) -> bool {
        let queued = self.lock();
        matches!(queued.state, SendState::Closing) && queued.pipelines.is_empty()
    }
}

pub(super) fn lost(why: &'static str) -> RedisError {
    std::io::Error::new(std::io::ErrorKind::ConnectionReset, why).into()
}
