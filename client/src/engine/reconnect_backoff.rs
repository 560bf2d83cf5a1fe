//! How long to pause before the next attempt to connect.

use streamgate_protocol::backoff::Backoff;

use super::config::ClientConfig;
use super::jitter::Jitter;

/// Exponential backoff with full jitter: a random pause from 0 to a bound that doubles, so that
/// clients that lost the same server do not come back together. (The scheme and its name:
/// "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.)
#[derive(Debug)]
pub(super) struct ReconnectBackoff {
    bounds: Backoff,
    stable_after_ms: u64,
}

impl ReconnectBackoff {
    pub(super) fn new(config: &ClientConfig) -> Self {
        Self {
            bounds: Backoff::new(config.backoff_first_ms, config.backoff_max_ms),
            stable_after_ms: u64::from(config.stable_after_ms),
        }
    }

    pub(super) const fn next_pause_ms(&mut self, jitter: &mut Jitter) -> u64 {
        jitter.up_to(self.bounds.next_pause_ms())
    }

    /// Records how long the connection that was lost had been open. Only a stable one starts the
    /// pauses again. Returns whether it was.
    pub(super) fn record_open_time(&mut self, ms: u64) -> bool {
        let is_stable = ms >= self.stable_after_ms;
        if is_stable {
            self.bounds.reset();
        }
        is_stable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_stable_connection_starts_the_pauses_again() {
        let mut backoff = ReconnectBackoff::new(&ClientConfig::default());
        let mut jitter = Jitter::new(0);
        assert!(backoff.next_pause_ms(&mut jitter) <= 100);
        let doubled = backoff.bounds.clone();
        assert!(!backoff.record_open_time(4_999));
        assert_eq!(backoff.bounds, doubled);
        assert!(backoff.record_open_time(5_000));
        assert_ne!(backoff.bounds, doubled);
        assert!(backoff.next_pause_ms(&mut jitter) <= 100);
    }
}
