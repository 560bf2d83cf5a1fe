//! Many adds in flight on many connections.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt};
use streamgate_protocol::StreamingBackend;

use crate::cpu;
use crate::table::{heading, median, row};
use crate::ways::{Way, Ways, add, failed};

/// Adds in flight on each connection.
const DEPTH: usize = 64;

#[derive(Default)]
struct Figures {
    adds_per_second: Vec<f64>,
    redis_us: Vec<f64>,
    proxy_us: Vec<f64>,
}

/// Measures adds a second, and what an add costs Redis and the proxy.
pub(crate) async fn run(ways: &Ways, rounds: usize, round: Duration) -> anyhow::Result<()> {
    let (mut direct, mut proxied) = (Figures::default(), Figures::default());
    for _ in 0..rounds {
        measure(ways, &ways.direct, round, &mut direct).await?;
        measure(ways, &ways.proxied, round, &mut proxied).await?;
    }
    let connections = ways.direct.connections.len();
    heading(&format!(
        "adds, {connections} connections, {DEPTH} in flight each, 100-byte values"
    ));
    let rate = |figures: &Figures| median(figures.adds_per_second.clone());
    let (direct_rate, proxied_rate) = (rate(&direct), rate(&proxied));
    row(ways.direct.name, &format!("{:.0} k/s", direct_rate / 1e3));
    row(ways.proxied.name, &format!("{:.0} k/s", proxied_rate / 1e3));
    row("ratio", &format!("{:.2}", proxied_rate / direct_rate));
    row(
        "Redis, an add in process",
        &format!("{:.2} us", median(direct.redis_us)),
    );
    let (redis, proxy) = (median(proxied.redis_us), median(proxied.proxy_us));
    row("Redis, an add through the proxy", &format!("{redis:.2} us"));
    row(
        "the proxy, an add",
        &format!("{proxy:.2} us ({:.2} of Redis's)", proxy / redis),
    );
    Ok(())
}

async fn measure(
    ways: &Ways,
    way: &Way,
    round: Duration,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let redis = ways.redis.pid().unwrap_or_default();
    let before = (cpu::seconds(redis)?, cpu::seconds(ways.proxy.pid())?);
    let start = Instant::now();
    let end = start + round;
    let tasks: Vec<_> = way
        .connections
        .iter()
        .enumerate()
        .map(|(i, backend)| tokio::spawn(keep_adding(Arc::clone(backend), i, end)))
        .collect();
    let mut adds = 0.0;
    for task in tasks {
        adds += task.await??;
    }
    let seconds = start.elapsed().as_secs_f64();
    figures.adds_per_second.push(adds / seconds);
    figures
        .redis_us
        .push((cpu::seconds(redis)? - before.0) / adds * 1e6);
    figures
        .proxy_us
        .push((cpu::seconds(ways.proxy.pid())? - before.1) / adds * 1e6);
    Ok(())
}

async fn keep_adding(
    backend: Arc<dyn StreamingBackend>,
    i: usize,
    end: Instant,
) -> anyhow::Result<f64> {
    let stream = format!("bench:adds:{i}");
    let mut in_flight: FuturesUnordered<_> = (0..DEPTH).map(|_| add(&*backend, &stream)).collect();
    let mut adds = 0.0;
    while let Some(added) = in_flight.next().await {
        added.map_err(failed)?;
        adds += 1.0;
        if Instant::now() < end {
            in_flight.push(add(&*backend, &stream));
        }
    }
    Ok(adds)
}
