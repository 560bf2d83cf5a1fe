//! Clients that are silent, and clients that do not read: when a session gives them up.

use std::time::Duration;

use streamgate_protocol::close;
use streamgate_protocol::limits::HEARTBEATS_UNTIL_DEAD;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::session::Session;
use crate::socket::CloseReason;

impl<S: AsyncRead + AsyncWrite + Unpin> Session<'_, S> {
    /// Returns when to check whether the client has been silent, or has not read, for too long.
    pub(super) fn liveness_deadline(&self) -> Instant {
        let silent = self.last_alive() + self.max_silence();
        match self.socket.last_write() {
            Some(last_write) => silent.min(last_write + self.config.write_timeout),
            None => silent,
        }
    }

    /// Lets the client's silence count from the moment at which the session reads again.
    pub(super) fn pause_silence_unless(&mut self, may_read: bool) {
        if !(may_read && self.was_reading) {
            self.socket.restart_silence();
        }
        self.was_reading = may_read;
    }

    /// Returns an error if the client has been silent, or has not read, for too long.
    pub(super) fn check_liveness(&self) -> Result<(), CloseReason> {
        let now = Instant::now();
        if let Some(last_write) = self.socket.last_write()
            && now >= last_write + self.config.write_timeout
        {
            return Err(CloseReason::by_server(
                close::SLOW_READER,
                "the client did not read within the write timeout",
            ));
        }
        if now < self.last_alive() + self.max_silence() {
            return Ok(());
        }
        let why = if self.handshake.is_done() {
            "the client was silent for two heartbeat intervals"
        } else {
            "the client sent no hello within two heartbeat intervals"
        };
        Err(CloseReason::by_server(close::HEARTBEAT_MISSED, why))
    }

    /// Returns when the client was last heard. Before its hello nothing else counts.
    fn last_alive(&self) -> Instant {
        if self.handshake.is_done() {
            self.socket.last_alive()
        } else {
            self.opened_at
        }
    }

    fn max_silence(&self) -> Duration {
        HEARTBEATS_UNTIL_DEAD * Duration::from_millis(self.config.heartbeat_ms.into())
    }
}
