//! A closed loop of adds for protocols that are spoken by hand. Each add in flight has a slot,
//! whose number its answer carries.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;

use super::closed_loop;
use super::command::Outcome;
use crate::statistics::Times;

/// A connection that adds. Written adds are sent with the next flush.
pub(super) trait PipelinedAdder {
    /// Writes an add for a slot; slots count from 0.
    fn add(&mut self, slot: usize) -> anyhow::Result<()>;

    /// Sends all written adds.
    async fn flush(&mut self) -> anyhow::Result<()>;

    /// Waits for answers. Appends the slots of all that have arrived to `free`.
    async fn receive(&mut self, free: &mut Vec<usize>) -> anyhow::Result<()>;
}

/// Keeps `depth` adds in flight on each connection until the time is over.
pub(super) async fn run(
    connections: &mut [impl PipelinedAdder],
    depth: usize,
    seconds: f64,
) -> anyhow::Result<Outcome> {
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(seconds);
    let all = connections
        .iter_mut()
        .map(|connection| run_one(connection, depth, end));
    let mut times = Times::default();
    for of_connection in try_join_all(all).await? {
        times.extend(of_connection);
    }
    Ok(closed_loop::outcome(times, start))
}

async fn run_one(
    connection: &mut impl PipelinedAdder,
    depth: usize,
    end: Instant,
) -> anyhow::Result<Times> {
    let mut started = vec![Instant::now(); depth];
    let mut times = Times::default();
    for slot in 0..depth {
        connection.add(slot)?;
    }
    connection.flush().await?;
    let (mut in_flight, mut free) = (depth, Vec::with_capacity(depth));
    while in_flight > 0 {
        connection.receive(&mut free).await?;
        let now = Instant::now();
        in_flight -= free.len();
        for slot in free.drain(..) {
            times.push(now.duration_since(started[slot]));
            if now < end {
                started[slot] = now;
                connection.add(slot)?;
                in_flight += 1;
            }
        }
        connection.flush().await?;
    }
    Ok(times)
}
