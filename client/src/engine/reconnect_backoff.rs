//! How long to pause before the next attempt.

use super::Config;

/// Exponential backoff with full jitter: a random pause between nothing and a bound that doubles,
/// so that clients who lost the same server do not come back together. (The scheme and its name:
/// "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.)
#[derive(Debug)]
pub(super) struct Backoff {
    first_ms: u64,
    max_ms: u64,
    stable_after_ms: u64,
    bound_ms: u64,
    random: fastrand::Rng,
}

impl Backoff {
    pub(super) fn new(config: &Config) -> Self {
        // A bound of nothing would double to nothing.
        let first_ms = u64::from(config.backoff_first_ms).max(1);
        Self {
            first_ms,
            max_ms: u64::from(config.backoff_max_ms).max(first_ms),
            stable_after_ms: u64::from(config.stable_after_ms),
            bound_ms: first_ms,
            random: fastrand::Rng::with_seed(config.seed),
        }
    }

    pub(super) fn next_delay(&mut self) -> u64 {
        let delay = self.random.u64(0..=self.bound_ms);
        self.bound_ms = (self.bound_ms * 2).min(self.max_ms);
        delay
    }

    pub(super) fn was_open_for(&mut self, ms: u64) {
        if ms >= self.stable_after_ms {
            self.bound_ms = self.first_ms;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff() -> Backoff {
        let config = Config {
            backoff_first_ms: 100,
            backoff_max_ms: 1_000,
            ..Config::default()
        };
        Backoff::new(&config)
    }

    #[test]
    fn the_bound_doubles_up_to_the_greatest() {
        let mut backoff = backoff();
        let bounds: Vec<u64> = (0..6)
            .map(|_| {
                let bound = backoff.bound_ms;
                assert!(backoff.next_delay() <= bound);
                bound
            })
            .collect();
        assert_eq!(bounds, [100, 200, 400, 800, 1_000, 1_000]);
    }

    #[test]
    fn only_a_stable_connection_starts_it_anew() {
        let mut backoff = backoff();
        backoff.next_delay();
        backoff.was_open_for(4_999);
        assert_eq!(backoff.bound_ms, 200);
        backoff.was_open_for(5_000);
        assert_eq!(backoff.bound_ms, 100);
    }
}
