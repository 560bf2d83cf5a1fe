//! Adding at a rate.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// Returns ticks at a rate, the first after one period. No burst makes up for late ticks.
pub(super) fn ticks(rate: f64) -> tokio::time::Interval {
    let period = Duration::from_secs_f64(1.0 / rate);
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Returns the share of a rate that `ticks` since `start` reached. Far below 1, the figures are of
/// another load than the commanded one.
pub(super) fn reached(ticks: usize, rate: f64, start: Instant) -> f64 {
    ticks as f64 / rate / start.elapsed().as_secs_f64()
}

/// Returns the number of ticks in a time; at least one.
pub(super) fn count(rate: f64, seconds: f64) -> usize {
    ((rate * seconds) as usize).max(1)
}
