//! Adding at a rate.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// Ticks at a rate, the first after one period. What comes late is not made up for by a burst.
pub(super) fn ticks(rate: f64) -> tokio::time::Interval {
    let period = Duration::from_secs_f64(1.0 / rate);
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// The part of a rate that was reached by so many ticks since `start`. Far
/// below 1, figures are of another load than what was asked for.
pub(super) fn reached(ticks: usize, rate: f64, start: Instant) -> f64 {
    ticks as f64 / rate / start.elapsed().as_secs_f64()
}

/// How many ticks a time has, at least one.
pub(super) fn count(rate: f64, seconds: f64) -> usize {
    ((rate * seconds) as usize).max(1)
}
