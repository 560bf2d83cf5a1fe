//! A closed loop: a fixed number of calls in flight, each replaced when it ends.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::try_join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::command::Outcome;
use crate::statistics::Times;

/// Keeps `depth` calls in flight on each connection until the time is over. One task for each
/// connection, as in programs that use several.
pub(super) async fn run<'a, C, F>(
    connections: &'a [C],
    depth: usize,
    seconds: f64,
    start_call: impl FnMut(usize, &'a C) -> F,
) -> anyhow::Result<Outcome>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(seconds);
    // Borrowed only while a call starts.
    let start_call = RefCell::new(start_call);
    let start_call = &start_call;
    let loops = connections.iter().enumerate().map(|(i, connection)| {
        run_one(depth, start, end, move || {
            (start_call.borrow_mut())(i, connection)
        })
    });
    let mut times = Times::default();
    for of_connection in try_join_all(loops).await? {
        times.extend(of_connection);
    }
    Ok(outcome(times, start))
}

/// The loop of one connection. It reads the clock once for all calls that have ended: reading it
/// for each would take a twentieth of the time.
async fn run_one<F>(
    depth: usize,
    start: Instant,
    end: Instant,
    start_call: impl Fn() -> F,
) -> anyhow::Result<Times>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let mut in_flight: FuturesUnordered<_> =
        (0..depth).map(|_| timed(start, start_call())).collect();
    let mut times = Times::default();
    while let Some(done) = in_flight.next().await {
        let now = Instant::now();
        let mut next = Some(done);
        while let Some(done) = next {
            times.push(now.duration_since(done?));
            if now < end {
                in_flight.push(timed(now, start_call()));
            }
            next = in_flight.next().now_or_never().flatten();
        }
    }
    Ok(times)
}

/// Returns the outcome of operations that began at `start`.
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
    started: Instant,
    operation: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<Instant> {
    operation.await?;
    Ok(started)
}
