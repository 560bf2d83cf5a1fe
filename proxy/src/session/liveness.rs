//! Clients that are silent, and clients that do not read: when a session gives them up.
//!
//! A client that was silent for one heartbeat gets a ping. Browsers may delay the timers of hidden
//! pages to one a minute, but not the answer to a message.
//!
//! A client that sends a large frame on a slow line cannot see it progress, and its own ping waits
//! behind the frame. So while a message arrives, the session sends a ping twice in a heartbeat.
//!
//! The silence of a client does not count while the session does not read, because there is no room
//! for what the client has to read first. Such a client may be gone. So if it receives a group's
//! entries, neither reading nor writing may stand still for longer than a client may be silent:
//! others wait for these entries.

use std::time::Duration;

use streamgate_protocol::limits::HEARTBEATS_UNTIL_DEAD;
use streamgate_protocol::{ServerMessage, close};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::session::Session;
use crate::socket::CloseReason;

impl<S: AsyncRead + AsyncWrite + Unpin> Session<'_, S> {
    /// Returns when to check whether the client has been silent, or has not read, for too long.
    pub(super) fn liveness_deadline(&self) -> Instant {
        let heard = self.last_alive();
        let silent = if self.may_ping(heard) {
            heard + self.heartbeat()
        } else {
            heard + self.max_silence()
        };
        let deadlines = [
            self.write_deadline(),
            self.message_deadline(),
            self.upload_ping_at(),
            self.hello_deadline(),
            self.access.expires_at(),
        ];
        deadlines.into_iter().flatten().fold(silent, Instant::min)
    }

    /// Returns when the message that is arriving must be complete; `None` if none is, or while the
    /// session does not read it.
    fn message_deadline(&self) -> Option<Instant> {
        let deadline = self.socket.message_deadline(self.max_silence())?;
        self.was_reading.then_some(deadline)
    }

    /// Returns when to ping a client whose message is arriving; `None` if none is, or while the
    /// session does not read it.
    fn upload_ping_at(&self) -> Option<Instant> {
        if !self.handshake.is_done() || !self.was_reading || self.socket.incoming_bytes() == 0 {
            return None;
        }
        let last_sent = self.pinged_at.max(Some(self.socket.last_sent()));
        last_sent.map(|at| at + self.heartbeat() / 2)
    }

    /// Returns when the client must have said hello, if the server has a policy: whoever has no token
    /// holds a socket for a moment only.
    pub(super) fn hello_deadline(&self) -> Option<Instant> {
        self.hello_end().filter(|_| !self.handshake.is_done())
    }

    /// Returns when a client without a valid token has to leave, if the server has a policy; `None`
    /// after the welcome.
    pub(super) fn hello_end(&self) -> Option<Instant> {
        let timeout = self.access.hello_timeout()?;
        self.registration
            .is_none()
            .then(|| self.opened_at + timeout)
    }

    /// Returns when the client must have taken a part of the frame being sent; `None` while no frame
    /// is.
    fn write_deadline(&self) -> Option<Instant> {
        let last_write = self.socket.last_write()?;
        let deadline = last_write + self.config.write_timeout;
        if !self.in_flight.has_receivers() {
            return Some(deadline);
        }
        let last_progress = last_write.max(self.socket.last_read());
        Some(deadline.min(last_progress + self.max_silence()))
    }

    /// Lets the client's silence count from the moment at which the session reads again.
    pub(super) fn pause_silence_unless(&mut self, may_read: bool) {
        if !(may_read && self.was_reading) {
            self.socket.restart_silence();
        }
        self.was_reading = may_read;
    }

    /// Pings a client that has been silent for a while. Returns an error if it has been silent, or
    /// has not read, for too long.
    pub(super) fn check_liveness(&mut self) -> Result<(), CloseReason> {
        let now = Instant::now();
        if self
            .write_deadline()
            .is_some_and(|deadline| now >= deadline)
        {
            return Err(CloseReason::by_server(
                close::SLOW_READER,
                "the client did not read within the write timeout, or it receives a group's entries \
                 and nothing was read or written for two heartbeat intervals",
            ));
        }
        if self
            .message_deadline()
            .is_some_and(|deadline| now >= deadline)
        {
            return Err(CloseReason::by_server(
                close::HEARTBEAT_MISSED,
                "a message did not arrive as a whole in time",
            ));
        }
        if self.upload_ping_at().is_some_and(|at| now >= at) {
            self.ping(now);
        }
        let heard = self.last_alive();
        if !self.may_read() || now < heard + self.heartbeat() {
            return Ok(());
        }
        if now < heard + self.max_silence() {
            if self.may_ping(heard) {
                self.ping(now);
            }
            return Ok(());
        }
        let why = if self.handshake.is_done() {
            "the client was silent for two heartbeat intervals"
        } else {
            "the client sent no hello within two heartbeat intervals"
        };
        Err(CloseReason::by_server(close::HEARTBEAT_MISSED, why))
    }

    fn ping(&mut self, now: Instant) {
        self.pinged_at = Some(now);
        self.pings += 1;
        let nonce = self.pings;
        self.outgoing.push(&ServerMessage::Ping { nonce });
    }

    /// Returns when the client was last heard. Before its hello nothing else counts.
    fn last_alive(&self) -> Instant {
        if self.handshake.is_done() {
            self.socket.last_alive()
        } else {
            self.opened_at
        }
    }

    /// Returns whether the client was not pinged since it was last heard. Before its hello it could
    /// not answer.
    fn may_ping(&self, heard: Instant) -> bool {
        self.handshake.is_done() && self.pinged_at <= Some(heard)
    }

    pub(super) fn heartbeat(&self) -> Duration {
        Duration::from_millis(self.config.heartbeat_ms.into())
    }

    fn max_silence(&self) -> Duration {
        HEARTBEATS_UNTIL_DEAD * self.heartbeat()
    }
}
