//! Keeping a number of adds in flight where a protocol is spoken by hand: each in a slot, of which an
//! answer tells the number.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;

use super::keep;
use super::order::Outcome;
use crate::statistics::Times;

/// A connection that adds. What is written goes out with the next flush.
pub(super) trait Adder {
    /// Writes the add of a slot; they are counted from 0.
    fn add(&mut self, slot: usize) -> anyhow::Result<()>;

    /// Sends what is written.
    async fn flush(&mut self) -> anyhow::Result<()>;

    /// Waits for answers, and puts the slots of all that have come by then into `free`.
    async fn receive(&mut self, free: &mut Vec<usize>) -> anyhow::Result<()>;
}

/// Keeps so many adds in flight on each connection until the time is over.
pub(super) async fn keep(
    connections: &mut [impl Adder],
    depth: usize,
    seconds: f64,
) -> anyhow::Result<Outcome> {
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(seconds);
    let all = connections
        .iter_mut()
        .map(|connection| keep_one(connection, depth, end));
    let mut times = Times::default();
    for kept in try_join_all(all).await? {
        times.extend(kept);
    }
    Ok(keep::outcome(times, start))
}

async fn keep_one(
    connection: &mut impl Adder,
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
