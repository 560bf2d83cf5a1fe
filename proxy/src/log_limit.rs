//! Bounds how often a kind of line is logged, so that a flood of events is no flood of lines.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Lines that are logged at once after a quiet time.
const BURST: u64 = 10;

/// A further line is logged after each interval.
const INTERVAL: Duration = Duration::from_secs(1);

/// Decides which lines of one kind are logged, and counts the others.
#[derive(Debug)]
pub(crate) struct LogLimit {
    start: Instant,
    /// When the lines logged so far are paid for, in milliseconds from the start.
    paid_until: AtomicU64,
    /// Lines suppressed since the last one that was logged.
    suppressed: AtomicU64,
    total_suppressed: AtomicU64,
}

impl LogLimit {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            paid_until: AtomicU64::new(0),
            suppressed: AtomicU64::new(0),
            total_suppressed: AtomicU64::new(0),
        }
    }

    /// Returns what to log: `None` if the line is suppressed.
    pub(crate) fn permit(&self) -> Option<Permitted> {
        let interval = INTERVAL.as_millis() as u64;
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let paid =
            self.paid_until
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |paid_until| {
                    let is_permitted = paid_until <= now.saturating_add((BURST - 1) * interval);
                    is_permitted.then(|| paid_until.max(now).saturating_add(interval))
                });
        if paid.is_ok() {
            return Some(Permitted {
                suppressed: self.take_suppressed(),
            });
        }
        self.suppressed.fetch_add(1, Ordering::Relaxed);
        self.total_suppressed.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// Returns the lines suppressed since the last that was logged, and counts anew.
    pub(crate) fn take_suppressed(&self) -> Option<u64> {
        let suppressed = self.suppressed.swap(0, Ordering::Relaxed);
        (suppressed > 0).then_some(suppressed)
    }

    /// Returns all lines suppressed so far.
    pub(crate) fn total_suppressed(&self) -> u64 {
        self.total_suppressed.load(Ordering::Relaxed)
    }
}

/// The permission to log a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Permitted {
    /// Lines of its kind that were suppressed before it. Absent fields are not logged.
    pub(crate) suppressed: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_counted_and_a_line_a_second_is_logged() {
        let limit = LogLimit::new();
        let logged = (0..1_000).filter(|_| limit.permit().is_some()).count();
        assert_eq!(logged as u64, BURST);
        assert_eq!(limit.permit(), None);
        tokio::time::advance(INTERVAL).await;
        let suppressed = Some(1_001 - BURST);
        assert_eq!(limit.permit(), Some(Permitted { suppressed }));
        assert_eq!(limit.permit(), None);
        assert_eq!(limit.take_suppressed(), Some(1));
        assert_eq!(limit.take_suppressed(), None);
        assert_eq!(limit.total_suppressed(), 1_002 - BURST);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_quiet_time_all_lines_of_a_burst_are_logged() {
        let limit = LogLimit::new();
        for _ in 0..3 {
            tokio::time::advance(INTERVAL * 1_000).await;
            let logged = (0..100).filter(|_| limit.permit().is_some()).count();
            assert_eq!(logged as u64, BURST);
        }
    }
}
