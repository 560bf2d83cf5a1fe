//! Waking one wait after the other at a rate.

use std::time::Instant;

use super::command::Outcome;
use super::{closed_loop, rate};
use crate::statistics::Times;

/// From one woken stream to the next: a prime, so that all streams have their turn.
const STEP: usize = 7_919;

/// Wakes `times` of `waits` waits at a rate. `wake` adds to a stream, by its number, and returns
/// which wait ended, and when. A time is from the start of the add to the end of the wait.
pub(super) async fn run(
    waits: usize,
    times: usize,
    rate: f64,
    mut wake: impl AsyncFnMut(usize) -> anyhow::Result<(usize, Instant)>,
) -> anyhow::Result<Outcome> {
    let (start, mut ticks) = (Instant::now(), rate::ticks(rate));
    let (mut wakes, mut wrong) = (Times::default(), 0.0);
    for turn in 1..=times {
        ticks.tick().await;
        let number = turn * STEP % waits;
        let added = Instant::now();
        let (woken, at) = wake(number).await?;
        wakes.push(at.duration_since(added));
        wrong += f64::from(u8::from(woken != number));
    }
    Ok(Outcome {
        wrong,
        rate_reached: rate::reached(times, rate, start.into()),
        ..closed_loop::outcome(wakes, start)
    })
}
