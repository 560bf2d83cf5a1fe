//! The queue between senders and the driver of a connection.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::task::AtomicWaker;
use redis::{RedisError, Value};
use streamgate_backend::memory_budget::MemoryBudget;
use streamgate_protocol::CacheError;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::unanswered_bytes::UnansweredBytes;
use crate::wire::packing::PackedCommands;

/// Maximum number of bytes that wait for the driver. A single pipeline may have more.
const MAX_QUEUED_BYTES: usize = 64 * 1024 * 1024;

/// The answers to a pipeline, or why there are none.
pub(in crate::connection) type Answers = Result<PipelineAnswers, RedisError>;

/// The answers to a pipeline.
#[derive(Debug)]
pub(in crate::connection) struct PipelineAnswers {
    /// One for each command, in order.
    pub(in crate::connection) values: Vec<Value>,
    /// Number of the last invalidation that arrived before the first answer.
    pub(in crate::connection) last_invalidation: u64,
}

/// Why a pipeline was not queued.
#[derive(Debug)]
pub(in crate::connection) enum PushError {
    /// The connection is lost.
    Lost(RedisError),
    /// Too many bytes are queued.
    Full,
    /// The process's memory budget has no room for the bytes.
    NoMemory(CacheError),
}

/// Shared by the handles and the driver of a connection.
pub(super) struct SendQueue {
    queued: Mutex<QueuedCommands>,
    pub(super) driver: AtomicWaker,
}

pub(super) struct QueuedCommands {
    /// Bytes that the driver has not taken yet.
    pub(super) bytes: Vec<u8>,
    pub(super) pipelines: VecDeque<SentPipeline>,
    /// Those of all pipelines that are queued or unanswered.
    pub(super) unanswered: UnansweredBytes,
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
    pub(super) bytes: usize,
    pub(super) answers: oneshot::Sender<Answers>,
    /// Counts against the bound on pipelines for as long as this one is unanswered, whether or not
    /// its sender still waits.
    _permit: Option<OwnedSemaphorePermit>,
    /// That of the commands.
    _large: Option<Arc<OwnedSemaphorePermit>>,
}

impl SendQueue {
    pub(super) fn new(memory: &MemoryBudget) -> Self {
        Self {
            queued: Mutex::new(QueuedCommands {
                bytes: Vec::new(),
                pipelines: VecDeque::new(),
                unanswered: UnansweredBytes::new(memory),
                state: SendState::default(),
            }),
            driver: AtomicWaker::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, QueuedCommands> {
        // Nothing panics under the lock.
        self.queued.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a pipeline. One without a permit keeps the connection going, or is bounded by its
    /// caller, and needs no room in the memory budget.
    pub(super) fn push(
        &self,
        packed: PackedCommands,
        answers: oneshot::Sender<Answers>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Result<(), PushError> {
        let PackedCommands {
            bytes,
            commands,
            permit: large,
        } = packed;
        let mut queued = self.lock();
        if let SendState::Lost(error) = &queued.state {
            return Err(PushError::Lost(error.clone()));
        }
        // If there are bytes already, the driver was woken for them.
        let wake = queued.bytes.is_empty();
        let length = bytes.len();
        if !wake && queued.bytes.len() + length > MAX_QUEUED_BYTES {
            return Err(PushError::Full);
        }
        if permit.is_some() {
            let added = queued.unanswered.try_add(length);
            added.map_err(PushError::NoMemory)?;
        } else {
            queued.unanswered.add(length);
        }
        if wake {
            queued.bytes = bytes;
        } else {
            queued.bytes.extend_from_slice(&bytes);
        }
        queued.pipelines.push_back(SentPipeline {
            commands,
            bytes: length,
            answers,
            _permit: permit,
            _large: large,
        });
        drop(queued);
        if wake {
            self.driver.wake();
        }
        Ok(())
    }

    /// Queues what `encode` writes. No other command is queued while it runs. There is no bound, so
    /// the caller needs one.
    pub(super) fn push_encoded(
        &self,
        encode: &mut dyn FnMut(&mut PackedCommands),
        answers: oneshot::Sender<Answers>,
    ) -> Result<(), RedisError> {
        let mut queued = self.lock();
        if let SendState::Lost(error) = &queued.state {
            return Err(error.clone());
        }
        let before = queued.bytes.len();
        let wake = before == 0;
        let mut packed = PackedCommands {
            bytes: std::mem::take(&mut queued.bytes),
            commands: 0,
            permit: None,
        };
        encode(&mut packed);
        queued.bytes = packed.bytes;
        if packed.commands == 0 {
            drop(queued);
            // The sender waits for it.
            let _ = answers.send(Ok(PipelineAnswers {
                values: Vec::new(),
                last_invalidation: 0,
            }));
            return Ok(());
        }
        let length = queued.bytes.len() - before;
        queued.unanswered.add(length);
        queued.pipelines.push_back(SentPipeline {
            commands: packed.commands,
            bytes: length,
            answers,
            _permit: None,
            _large: packed.permit,
        });
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
