//! Rates: token buckets, of which each takes two words and an instant.

use std::time::Duration;

use tokio::time::Instant;

/// A bound on how often something may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// On average.
    pub(crate) per_second: u64,
    /// At once, after a pause.
    pub(crate) burst: u64,
}

/// How much of a rate is used. It is full at first.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TokenBucket {
    /// What was taken and has not come back, in billionths, at that time.
    used: u128,
    at: Option<Instant>,
}

/// A second in nanoseconds. Used amounts are multiples of its inverse, so nothing is rounded.
const SECOND: u128 = 1_000_000_000;

impl TokenBucket {
    /// Takes `cost` in any case.
    ///
    /// # Errors
    ///
    /// The time after which there is one left for the next.
    pub(crate) fn take(&mut self, cost: u64, rate: Rate, now: Instant) -> Result<(), Duration> {
        self.refill(rate, now);
        self.used += u128::from(cost) * SECOND;
        self.is_left(1, rate)
    }

    fn refill(&mut self, rate: Rate, now: Instant) {
        if let Some(at) = self.at {
            let elapsed = now.saturating_duration_since(at).as_nanos();
            let back = elapsed.saturating_mul(u128::from(rate.per_second));
            self.used = self.used.saturating_sub(back);
        }
        self.at = Some(now);
    }

    fn is_left(&self, cost: u64, rate: Rate) -> Result<(), Duration> {
        let burst = rate.burst.max(1);
        let needed = self.used + u128::from(cost.min(burst)) * SECOND;
        let over = needed.saturating_sub(u128::from(burst) * SECOND);
        if over == 0 {
            return Ok(());
        }
        let nanoseconds = over.div_ceil(u128::from(rate.per_second.max(1)));
        Err(Duration::from_nanos(
            u64::try_from(nanoseconds).unwrap_or(u64::MAX),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        per_second: 10,
        burst: 3,
    };

    #[test]
    fn the_time_that_is_told_is_the_time_that_it_takes() {
        let mut bucket = TokenBucket::default();
        let now = Instant::now();
        for _ in 0..2 {
            bucket.take(1, RATE, now).unwrap();
        }
        let wait = bucket.take(1, RATE, now).unwrap_err();
        assert_eq!(wait, Duration::from_millis(100));
        assert_eq!(bucket.take(1, RATE, now + wait), Err(wait));
        let later = now + Duration::from_secs(3_600);
        let passed = (0..10).take_while(|_| bucket.take(1, RATE, later).is_ok());
        assert_eq!(passed.count(), 2, "no more than a burst is saved up");
    }
}
