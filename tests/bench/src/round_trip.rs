//! One add after the other on one connection.

use std::time::{Duration, Instant};

use crate::table::{heading, median, row};
use crate::ways::{Way, Ways, add, failed};

/// Measures the time of an add with nothing else in flight.
pub(crate) async fn run(ways: &Ways, rounds: usize, round: Duration) -> anyhow::Result<()> {
    let (mut direct, mut proxied) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        direct.push(p50(&ways.direct, round).await?);
        proxied.push(p50(&ways.proxied, round).await?);
    }
    let (direct, proxied) = (median(direct), median(proxied));
    heading("round trip of an add, one in flight, p50");
    row(ways.direct.name, &format!("{direct:.0} us"));
    row(ways.proxied.name, &format!("{proxied:.0} us"));
    row("ratio", &format!("{:.2}", proxied / direct));
    Ok(())
}

async fn p50(way: &Way, round: Duration) -> anyhow::Result<f64> {
    let mut times = Vec::new();
    let end = Instant::now() + round;
    while Instant::now() < end {
        let start = Instant::now();
        add(&*way.connections[0], "bench:round-trip")
            .await
            .map_err(failed)?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    Ok(median(times))
}
