//! Keeping a number of operations in flight.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::try_join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::order::Outcome;
use crate::statistics::Times;

/// Keeps `depth` operations in flight on each of the connections until the time is over. A task
/// for each connection, as programs have that use several.
pub(super) async fn keep<'a, C, F>(
    connections: &'a [C],
    depth: usize,
    seconds: f64,
    begin: impl FnMut(usize, &'a C) -> F,
) -> anyhow::Result<Outcome>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(seconds);
    // Borrowed for as long as it takes to begin one operation.
    let begin = RefCell::new(begin);
    let begin = &begin;
    let kept = connections.iter().enumerate().map(|(i, connection)| {
        keep_one(depth, start, end, move || {
            (begin.borrow_mut())(i, connection)
        })
    });
    let mut times = Times::default();
    for kept in try_join_all(kept).await? {
        times.extend(kept);
    }
    Ok(outcome(times, start))
}

/// On one connection. The clock is asked once for all operations that are found to be over: for
/// each it would take a twentieth of the time.
async fn keep_one<F>(
    depth: usize,
    start: Instant,
    end: Instant,
    begin: impl Fn() -> F,
) -> anyhow::Result<Times>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let mut in_flight: FuturesUnordered<_> = (0..depth).map(|_| timed(start, begin())).collect();
    let mut times = Times::default();
    while let Some(done) = in_flight.next().await {
        let now = Instant::now();
        let mut next = Some(done);
        while let Some(done) = next {
            times.push(now.duration_since(done?));
            if now < end {
                in_flight.push(timed(now, begin()));
            }
            next = in_flight.next().now_or_never().flatten();
        }
    }
    Ok(times)
}

/// What came of operations since `start`.
pub(super) fn outcome(times: Times, start: Instant) -> Outcome {
    let operations = times.len() as f64;
    let (p50_us, p99_us) = times.p50_and_p99();
    Outcome {
        operations,
        seconds: start.elapsed().as_secs_f64(),
        p50_us,
        p99_us,
        ..Outcome::default()
    }
}

async fn timed(
    begun: Instant,
    operation: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<Instant> {
    operation.await?;
    Ok(begun)
}
