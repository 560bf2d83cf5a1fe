//! A client's side of its driver.

use std::sync::atomic::{AtomicU64, Ordering};

use streamgate_protocol::error::code;
use streamgate_protocol::{CacheError, CacheResult};
use tokio::sync::{mpsc, watch};

use super::permit::Permits;
use super::signal::Signal;
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
    pub(super) permits: Permits,
    network_changed: Signal,
    close: Signal,
    abort: Signal,
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
            permits: Permits::default(),
            network_changed: Signal::default(),
            close: Signal::default(),
            abort: Signal::default(),
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

    /// Tells the driver that the network changed. Without a driver there is no connection.
    pub(super) fn signal_network_change(&self) {
        if let Some(signal) = self.network_changed.raise() {
            let _ = self.send(Command::NetworkChanged(signal));
        }
    }

    /// Tells the driver to close within this time. Without a driver there is nothing to close.
    pub(super) fn signal_close(&self, timeout_ms: u64) {
        if let Some(signal) = self.close.raise() {
            let _ = self.send(Command::Close(timeout_ms, signal));
        }
    }

    /// Tells the driver to end at once. Without a driver there is nothing to end.
    pub(super) fn signal_abort(&self) {
        if let Some(signal) = self.abort.raise() {
            let _ = self.send(Command::Abort(signal));
        }
    }
}
