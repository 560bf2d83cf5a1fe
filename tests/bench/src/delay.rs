//! An add beside a read that waits, on the same handle.

use std::time::Instant;

use crate::table::{heading, median, row};
use crate::ways::{Way, Ways, add, failed};

/// How long the read waits.
const BLOCK_MS: usize = 3_000;

/// Adds in each measurement, all within the wait.
const ADDS: usize = 2_000;

/// Measures what a waiting read costs an add beside it.
pub(crate) async fn run(ways: &Ways, rounds: usize) -> anyhow::Result<()> {
    heading(&format!(
        "an add on the handle of a read that waits {BLOCK_MS} ms, p50"
    ));
    for way in [&ways.direct, &ways.proxied] {
        let (mut alone, mut beside) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            alone.push(p50(way).await?);
            let backend = &*way.connections[0];
            let read = backend.stream_read("bench:idle", "$", 1, Some(BLOCK_MS));
            let (read, add) = tokio::join!(read, p50(way));
            anyhow::ensure!(
                read.map_err(failed)?.is_empty(),
                "nothing is added to this stream"
            );
            beside.push(add?);
        }
        let (alone, beside) = (median(alone), median(beside));
        let figure = format!(
            "{beside:.0} us, without {alone:.0} us ({:.2})",
            beside / alone
        );
        row(way.name, &figure);
    }
    Ok(())
}

async fn p50(way: &Way) -> anyhow::Result<f64> {
    let mut times = Vec::with_capacity(ADDS);
    for _ in 0..ADDS {
        let start = Instant::now();
        add(&*way.connections[0], "bench:delay")
            .await
            .map_err(failed)?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    Ok(median(times))
}
