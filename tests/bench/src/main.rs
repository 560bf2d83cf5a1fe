//! What the way from a client through the proxy to Redis costs, measured side by side.
//!
//! Redis and the proxy are processes of their own. The rounds of the ways that are compared take
//! turns, so that a slow phase of the machine meets all of them; what is printed are medians over
//! the rounds, and ratios of those.

mod connections;
mod cpu;
mod delay;
mod pipelined;
mod round_trip;
mod table;
mod ways;

use clap::Parser;
use streamgate_test_support::RedisVersion;

use ways::Ways;

/// Measures `RedisStreams` in this process beside `Client` through the proxy.
#[derive(Debug, Parser)]
struct Arguments {
    /// Rounds of each workload and way
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each round
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Use Redis 8.2 rather than 7.0
    #[arg(long)]
    redis_8: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments {
        rounds,
        seconds,
        redis_8,
    } = Arguments::parse();
    let version = if redis_8 {
        RedisVersion::V8_2
    } else {
        RedisVersion::V7_0
    };
    let round = std::time::Duration::from_secs_f64(seconds);
    let ways = Ways::start(version).await?;
    round_trip::run(&ways, rounds, round).await?;
    pipelined::run(&ways, rounds, round).await?;
    delay::run(&ways, rounds).await?;
    connections::run(&ways).await
}
