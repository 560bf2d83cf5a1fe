//! Exponential backoff: how long to pause before the next attempt.
//!
//! Every retry loop of streamgate uses this one. It has no clock and no source of randomness: the
//! caller sleeps, and adds jitter where many clients could come back together.

/// Pauses that double from a first one up to a longest one.
///
/// ```
/// use streamgate_protocol::backoff::Backoff;
///
/// let mut backoff = Backoff::new(50, 150);
/// let pauses = [(); 4].map(|()| backoff.next_pause_ms());
/// assert_eq!(pauses, [50, 100, 150, 150]);
/// backoff.reset();
/// assert_eq!(backoff.next_pause_ms(), 50);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    first_ms: u32,
    max_ms: u32,
    next_ms: u32,
}

impl Backoff {
    /// Returns a backoff whose pauses double from `first_ms` to `max_ms`.
    ///
    /// A first pause of 0 counts as 1, because 0 would double to 0. A longest pause below the first
    /// one counts as the first one.
    pub const fn new(first_ms: u32, max_ms: u32) -> Self {
        let first_ms = if first_ms == 0 { 1 } else { first_ms };
        let max_ms = if max_ms < first_ms { first_ms } else { max_ms };
        Self {
            first_ms,
            max_ms,
            next_ms: first_ms,
        }
    }

    /// Returns the pause before the next attempt, in milliseconds, and doubles the one after it.
    ///
    /// With full jitter a caller pauses for a random time from 0 to this one.
    // Inlined it would be a larger download for browsers.
    #[inline(never)]
    pub const fn next_pause_ms(&mut self) -> u64 {
        let pause = self.next_ms;
        self.next_ms = if pause > self.max_ms / 2 {
            self.max_ms
        } else {
            pause * 2
        };
        pause as u64
    }

    /// Starts again with the first pause: an attempt succeeded.
    pub const fn reset(&mut self) {
        self.next_ms = self.first_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut backoff = Backoff::new(100, 1_000);
        let pauses = [(); 6].map(|()| backoff.next_pause_ms());
        assert_eq!(pauses, [100, 200, 400, 800, 1_000, 1_000]);
    }

    #[test]
    fn limits_that_make_no_sense_still_pause() {
        let mut backoff = Backoff::new(0, 0);
        assert_eq!([backoff.next_pause_ms(), backoff.next_pause_ms()], [1, 1]);
        let mut backoff = Backoff::new(u32::MAX, 5);
        let longest = u64::from(u32::MAX);
        assert_eq!([(); 2].map(|()| backoff.next_pause_ms()), [longest; 2]);
    }
}
