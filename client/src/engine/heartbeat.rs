//! Noticing that the other side is gone.

use streamgate_protocol::limits::{DEFAULT_HEARTBEAT_MS, HEARTBEATS_UNTIL_DEAD};

use super::Millis;

/// What the heartbeat asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeartbeatStatus {
    Fine,
    PingDue,
    Dead,
}

/// Sends a ping when nothing was sent, or nothing was heard, for one beat. The server is dead
/// when it is silent for the rest of the beats after a ping: silence alone proves nothing, for a
/// tab that was frozen has been silent itself.
#[derive(Debug)]
pub(super) struct Heartbeat {
    every_ms: u64,
    last_sent: Millis,
    last_heard: Millis,
    last_ping: Millis,
    /// When the first ping was sent that nothing was heard after.
    unanswered_since: Option<Millis>,
    nonce: u64,
    /// The next ping is due at once.
    is_urgent: bool,
    /// That a ping is due was told.
    is_noticed: bool,
}

impl Heartbeat {
    pub(super) fn new(now: Millis) -> Self {
        Self {
            every_ms: u64::from(DEFAULT_HEARTBEAT_MS),
            last_sent: now,
            last_heard: now,
            last_ping: now,
            unanswered_since: None,
            nonce: 0,
            is_urgent: false,
            is_noticed: false,
        }
    }

    pub(super) fn every(&mut self, ms: u32) {
        self.every_ms = u64::from(ms.max(1));
    }

    pub(super) fn heard(&mut self, now: Millis) {
        self.last_heard = now;
        self.unanswered_since = None;
        // A ping may not be due any more, and then is due again.
        self.is_noticed = false;
    }

    pub(super) fn sent(&mut self, now: Millis) {
        self.last_sent = now;
    }

    /// A ping is being sent; returns its nonce.
    pub(super) fn pinged(&mut self, now: Millis) -> u64 {
        self.last_ping = now;
        self.is_urgent = false;
        self.is_noticed = false;
        self.unanswered_since.get_or_insert(now);
        self.nonce += 1;
        self.nonce
    }

    pub(super) fn check(&self, now: Millis) -> HeartbeatStatus {
        if self.dead_at().is_some_and(|at| now >= at) {
            HeartbeatStatus::Dead
        } else if now >= self.ping_at() {
            HeartbeatStatus::PingDue
        } else {
            HeartbeatStatus::Fine
        }
    }

    /// Whether the server has taken this client for dead: it was frozen, or could not send.
    pub(super) fn is_given_up(&self, now: Millis) -> bool {
        now >= self.given_up_at()
    }

    /// Who looks for what to send is told that a ping is due; once is enough, though the socket takes
    /// nothing.
    pub(super) fn noticed(&mut self, now: Millis) {
        self.is_noticed = now >= self.ping_at();
    }

    /// Something happened that connections do not always survive: the next ping goes at once.
    pub(super) fn network_changed(&mut self) {
        self.is_urgent = true;
    }

    pub(super) fn next_deadline(&self) -> Millis {
        let next = if self.is_noticed {
            self.given_up_at()
        } else {
            self.ping_at()
        };
        self.dead_at().map_or(next, |at| at.min(next))
    }

    fn given_up_at(&self) -> Millis {
        self.last_sent + self.every_ms * u64::from(HEARTBEATS_UNTIL_DEAD)
    }

    fn ping_at(&self) -> Millis {
        if self.is_urgent {
            return 0;
        }
        self.last_sent.min(self.last_heard).max(self.last_ping) + self.every_ms
    }

    fn dead_at(&self) -> Option<Millis> {
        let patience = self.every_ms * u64::from(HEARTBEATS_UNTIL_DEAD - 1);
        self.unanswered_since.map(|since| since + patience)
    }
}
