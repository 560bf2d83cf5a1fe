//! A client's side of its driver.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use streamgate_protocol::error::code;
use streamgate_protocol::{CacheError, CacheResult};
use tokio::sync::{mpsc, watch};

use crate::command::Command;
use crate::engine::ConnectionState;

/// What all handles of a client, their futures and their streams share. It holds only channels, so
/// that futures are `Send` on every target.
#[derive(Debug)]
pub(crate) struct DriverHandle {
    /// Unbounded, and bounded by permits instead: a bounded channel's `send().await` is subject to
    /// tokio's cooperative budget, which reorders requests that are made together.
    commands: mpsc::UnboundedSender<Command>,
    next_id: AtomicU64,
    /// Requests and subscriptions that are not over: see `permit`.
    pub(super) in_progress: AtomicUsize,
    pub(super) states: watch::Receiver<ConnectionState>,
}

impl DriverHandle {
    pub(super) fn new(
        commands: mpsc::UnboundedSender<Command>,
        states: watch::Receiver<ConnectionState>,
    ) -> Self {
        Self {
            commands,
            next_id: AtomicU64::new(1),
            in_progress: AtomicUsize::new(0),
            states,
        }
    }

    /// Returns the id of a new request or subscription.
    pub(super) fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Sends a command.
    ///
    /// # Errors
    ///
    /// `CLOSED` if the driver has ended.
    pub(super) fn send(&self, command: Command) -> CacheResult<()> {
        let closed = |_| CacheError::backend(code::CLOSED, "the client is closed");
        self.commands.send(command).map_err(closed)
    }
}
