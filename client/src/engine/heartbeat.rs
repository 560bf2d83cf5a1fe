//! Noticing that the server is gone.

use streamgate_protocol::limits::{DEFAULT_HEARTBEAT_MS, HEARTBEATS_UNTIL_DEAD};

use super::time::Millis;

/// What the heartbeat asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeartbeatStatus {
    Healthy,
    PingDue,
    ServerDead,
}

/// Asks for a ping if the client sent nothing, or heard nothing, for one interval. The server is
/// dead if it stays silent for the remaining intervals after a ping: silence alone proves nothing,
/// for a tab that was frozen has been silent itself.
#[derive(Debug)]
pub(super) struct Heartbeat {
    interval_ms: u64,
    last_sent: Millis,
    last_heard: Millis,
    last_ping: Millis,
    /// When the first ping was sent after which nothing was heard.
    unanswered_since: Option<Millis>,
    nonce: u64,
    /// The next ping is due at once.
    is_ping_forced: bool,
    /// The driver was woken for the ping that is due. Once is enough, even if the socket takes
    /// nothing.
    is_ping_reported: bool,
}

impl Heartbeat {
    pub(super) fn new(now: Millis) -> Self {
        Self {
            interval_ms: u64::from(DEFAULT_HEARTBEAT_MS),
            last_sent: now,
            last_heard: now,
            last_ping: now,
            unanswered_since: None,
            nonce: 0,
            is_ping_forced: false,
            is_ping_reported: false,
        }
    }

    pub(super) fn set_interval(&mut self, ms: u32) {
        self.interval_ms = u64::from(ms.max(1));
    }

    pub(super) fn record_heard(&mut self, now: Millis) {
        self.last_heard = now;
        self.unanswered_since = None;
        // The ping that was due may not be due any more, and becomes due again later.
        self.is_ping_reported = false;
    }

    pub(super) fn record_sent(&mut self, now: Millis) {
        self.last_sent = now;
    }

    /// Records that the socket is still sending an earlier frame. What is heard then counts as sent:
    /// the server has noticed that the frame is arriving, or it would have closed the connection.
    pub(super) fn record_sending(&mut self) {
        self.last_sent = self.last_sent.max(self.last_heard);
    }

    /// Records that a ping is being sent, and returns its nonce.
    pub(super) fn next_ping(&mut self, now: Millis) -> u64 {
        self.last_ping = now;
        self.is_ping_forced = false;
        self.is_ping_reported = false;
        self.unanswered_since.get_or_insert(now);
        self.nonce += 1;
        self.nonce
    }

    pub(super) fn status(&self, now: Millis) -> HeartbeatStatus {
        if self.server_dead_at().is_some_and(|at| now >= at) {
            HeartbeatStatus::ServerDead
        } else if now >= self.ping_due_at() {
            HeartbeatStatus::PingDue
        } else {
            HeartbeatStatus::Healthy
        }
    }

    /// Whether the server must have taken this client for dead: it was frozen, or could not send.
    pub(super) fn is_client_dead(&self, now: Millis) -> bool {
        now >= self.client_dead_at()
    }

    /// Records that the driver was woken, for a ping if one is due.
    pub(super) fn record_wake(&mut self, now: Millis) {
        self.is_ping_reported = now >= self.ping_due_at();
    }

    /// Makes the next ping due at once.
    pub(super) fn force_ping(&mut self) {
        self.is_ping_forced = true;
    }

    pub(super) fn next_deadline(&self) -> Millis {
        let next = if self.is_ping_reported {
            self.client_dead_at()
        } else {
            self.ping_due_at()
        };
        self.server_dead_at().map_or(next, |at| at.min(next))
    }

    /// How long the server takes this client for alive although it is silent.
    pub(super) const fn server_patience_ms(&self) -> u64 {
        self.interval_ms * HEARTBEATS_UNTIL_DEAD as u64
    }

    fn client_dead_at(&self) -> Millis {
        self.last_sent + self.server_patience_ms()
    }

    fn ping_due_at(&self) -> Millis {
        if self.is_ping_forced {
            return 0;
        }
        self.last_sent.min(self.last_heard).max(self.last_ping) + self.interval_ms
    }

    fn server_dead_at(&self) -> Option<Millis> {
        let patience = self.interval_ms * u64::from(HEARTBEATS_UNTIL_DEAD - 1);
        self.unanswered_since.map(|since| since + patience)
    }
}
