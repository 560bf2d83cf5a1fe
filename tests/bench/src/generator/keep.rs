//! Keeping a number of operations in flight.

use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::order::Outcome;
use crate::statistics::Times;

/// Keeps `depth` operations in flight on each of the connections until the time is over. One task
/// for all: it is woken once for all that has come.
pub(super) async fn keep<'a, C, F>(
    connections: &'a [C],
    depth: usize,
    seconds: f64,
    mut begin: impl FnMut(usize, &'a C) -> F,
) -> anyhow::Result<Outcome>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(seconds);
    let mut in_flight = FuturesUnordered::new();
    for _ in 0..depth {
        for (i, connection) in connections.iter().enumerate() {
            in_flight.push(numbered(i, start, begin(i, connection)));
        }
    }
    let mut times = Times::default();
    while let Some(done) = in_flight.next().await {
        let (i, begun) = done?;
        // The clock is asked once for each operation; it takes a twentieth of the time as it is.
        let now = Instant::now();
        times.push(now.duration_since(begun));
        if now < end {
            in_flight.push(numbered(i, now, begin(i, &connections[i])));
        }
    }
    Ok(outcome(times, start))
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

async fn numbered(
    i: usize,
    begun: Instant,
    operation: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<(usize, Instant)> {
    operation.await?;
    Ok((i, begun))
}
