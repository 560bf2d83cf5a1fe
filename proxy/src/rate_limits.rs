//! Rates: token buckets, of which each takes two words and an instant.

mod by_key;
mod limits;
mod request_buckets;

use std::time::Duration;

use tokio::time::Instant;

pub(crate) use self::by_key::{LimitKey, RateLimits, SubjectShare};
pub use self::limits::{AddressLimits, Limits, SocketLimits, SubjectLimits};
pub(crate) use self::request_buckets::{Measure, RequestBuckets};

/// A bound on how often something may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// On average.
    pub(crate) per_second: u64,
    /// At once, after a pause.
    pub(crate) burst: u64,
}

impl Rate {
    /// Returns a rate with a burst of [`BURST_SECONDS`](limits::BURST_SECONDS).
    pub(crate) const fn of(per_second: u64) -> Self {
        Self {
            per_second,
            burst: per_second.saturating_mul(limits::BURST_SECONDS),
        }
    }
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
    /// Takes `cost`, if it is left. What is larger than a full bucket passes too, and is paid off
    /// later.
    ///
    /// # Errors
    ///
    /// The time after which it is left. Nothing is taken.
    pub(crate) fn try_take(&mut self, cost: u64, rate: Rate, now: Instant) -> Result<(), Duration> {
        self.refill(rate, now);
        self.is_left(cost, rate)?;
        self.used += u128::from(cost) * SECOND;
        Ok(())
    }

    /// Takes `cost`, if it is left within `patience`. Returns the time until then: whoever waits for
    /// that long keeps to the rate.
    ///
    /// # Errors
    ///
    /// The time after which it is left. Nothing is taken.
    pub(crate) fn borrow(
        &mut self,
        cost: u64,
        rate: Rate,
        patience: Duration,
        now: Instant,
    ) -> Result<Duration, Duration> {
        self.refill(rate, now);
        let wait = self.is_left(cost, rate).err().unwrap_or_default();
        if wait > patience {
            return Err(wait);
        }
        self.used += u128::from(cost) * SECOND;
        Ok(wait)
    }

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

    /// Returns whether nothing is used.
    pub(crate) fn is_full(&mut self, rate: Rate, now: Instant) -> bool {
        self.refill(rate, now);
        self.used == 0
    }

    fn refill(&mut self, rate: Rate, now: Instant) {
        // The requests of a turn have one time.
        if self.at == Some(now) {
            return;
        }
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
    fn a_burst_passes_and_then_the_rate() {
        let mut bucket = TokenBucket::default();
        let mut now = Instant::now();
        let passed = (0..10).filter(|_| bucket.try_take(1, RATE, now).is_ok());
        assert_eq!(passed.count(), 3);
        let mut passed = 0;
        for _ in 0..1_000 {
            now += Duration::from_millis(1);
            passed += u32::from(bucket.try_take(1, RATE, now).is_ok());
        }
        assert_eq!(passed, 10);
        now += Duration::from_secs(3_600);
        let passed = (0..10).filter(|_| bucket.try_take(1, RATE, now).is_ok());
        assert_eq!(passed.count(), 3, "no more than a burst is saved up");
    }

    #[test]
    fn the_time_that_is_told_is_the_time_that_it_takes() {
        let mut bucket = TokenBucket::default();
        let now = Instant::now();
        for _ in 0..2 {
            bucket.take(1, RATE, now).unwrap();
        }
        let wait = bucket.take(1, RATE, now).unwrap_err();
        assert_eq!(wait, Duration::from_millis(100));
        assert_eq!(bucket.try_take(1, RATE, now), Err(wait));
        let early = now + wait - Duration::from_millis(1);
        assert!(bucket.try_take(1, RATE, early).is_err());
        assert_eq!(bucket.try_take(1, RATE, now + wait), Ok(()));
    }

    #[test]
    fn what_is_taken_ahead_of_time_is_waited_for() {
        let mut bucket = TokenBucket::default();
        let mut now = Instant::now();
        let patience = Duration::from_millis(150);
        let mut borrow = |now| bucket.borrow(1, RATE, patience, now);
        let milliseconds = Duration::from_millis;
        for wait in [0, 0, 0, 100] {
            assert_eq!(borrow(now), Ok(milliseconds(wait)));
        }
        assert_eq!(borrow(now), Err(milliseconds(200)), "too far ahead");
        now += milliseconds(50);
        assert_eq!(borrow(now), Ok(milliseconds(150)), "nothing was taken");
    }

    #[test]
    fn what_is_larger_than_the_bucket_passes_once_and_is_paid_off() {
        let mut bucket = TokenBucket::default();
        let now = Instant::now();
        bucket.try_take(103, RATE, now).unwrap();
        let wait = bucket.try_take(1, RATE, now).unwrap_err();
        assert!(wait >= Duration::from_secs(10), "{wait:?}");
        assert!(!bucket.is_full(RATE, now + wait));
        assert!(bucket.is_full(RATE, now + Duration::from_secs(11)));
    }
}
