//! The pauses between attempts to reach Redis.

use std::time::Duration;

use streamgate_protocol::backoff::Backoff;

/// Pause before the second attempt, in milliseconds. The first attempt is made at once.
const FIRST_PAUSE_MS: u32 = 20;

/// Longest pause, in milliseconds: short, so that waiting readers continue soon after Redis is
/// back, and long enough to cost nothing.
const LONGEST_PAUSE_MS: u32 = 1_000;

/// Pauses between attempts: each is twice as long as the one before, up to one second.
///
/// They have no jitter: a process has two connections to Redis, not thousands.
#[derive(Debug)]
pub(crate) struct ReconnectPause(Backoff);

impl ReconnectPause {
    pub(crate) const fn new() -> Self {
        Self(Backoff::new(FIRST_PAUSE_MS, LONGEST_PAUSE_MS))
    }

    /// Sleeps until the next attempt is due.
    pub(crate) async fn pause(&mut self) {
        tokio::time::sleep(Duration::from_millis(self.0.next_pause_ms())).await;
    }
}
