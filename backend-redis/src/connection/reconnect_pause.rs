//! The pauses between attempts to reach Redis.

use std::time::Duration;

use streamgate_protocol::backoff::Backoff;
use tokio::time::Instant;

/// Pause before the second attempt, in milliseconds. After a stable connection the first attempt
/// is made at once.
const FIRST_PAUSE_MS: u32 = 20;

/// Longest pause, in milliseconds: short, so that waiting readers continue soon after Redis is
/// back, and long enough to cost nothing.
const LONGEST_PAUSE_MS: u32 = 1_000;

/// How long a connection must last to count as stable. If Redis closes each new connection soon,
/// because of an answer beyond its output buffer limit perhaps, the pauses go on growing.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// Pauses between attempts: each is twice as long as the one before, up to one second. Only a
/// connection that was stable resets them.
///
/// They have no jitter: a process has one or two connections to Redis, not thousands.
#[derive(Debug)]
pub(crate) struct ReconnectPause {
    backoff: Backoff,
    connected_at: Option<Instant>,
}

impl ReconnectPause {
    pub(crate) const fn new() -> Self {
        Self {
            backoff: Backoff::new(FIRST_PAUSE_MS, LONGEST_PAUSE_MS),
            connected_at: None,
        }
    }

    /// Records that a connection was made.
    pub(crate) fn connected(&mut self) {
        self.connected_at = Some(Instant::now());
    }

    /// Sleeps until the next attempt is due.
    pub(crate) async fn pause(&mut self) {
        let pause = self.next_pause();
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }

    /// Returns the pause before the next attempt: none after a stable connection.
    pub(crate) fn next_pause(&mut self) -> Duration {
        match self.connected_at.take() {
            Some(at) if at.elapsed() >= STABLE_AFTER => {
                self.backoff.reset();
                Duration::ZERO
            }
            _ => Duration::from_millis(self.backoff.next_pause_ms()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_until_a_connection_was_stable() {
        let mut pause = ReconnectPause::new();
        let mut next_ms = || {
            let next = pause.next_pause().as_millis();
            pause.connected();
            next
        };
        for expected in [20, 40, 80, 160, 320, 640, 1_000, 1_000] {
            assert_eq!(next_ms(), expected);
            advance(STABLE_AFTER / 2).await;
        }
        advance(STABLE_AFTER).await;
        assert_eq!((next_ms(), next_ms()), (0, 20));
    }
}
