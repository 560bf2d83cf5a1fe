//! Reads of 100 entries.

use super::CONNECTIONS;
use crate::arguments::Arguments;
use crate::generator::{Order, Rival};
use crate::report::{Row, Unit};
use crate::rig::{Generator, Redis, Sample, measure, proxy, rounds};

const NAME: &str = "reads of 100";

/// Reads in flight on each connection.
const DEPTH: usize = 64;

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Vec<Row>> {
    let redis = Redis::start(arguments.redis())?;
    redis.fill()?;
    let proxy = proxy(&redis)?;
    let mut rivals = [
        Generator::start(Rival::Streamgate, &proxy.ws_url())?,
        Generator::start(Rival::Redis, &redis.url())?,
    ];
    let servers = [vec![proxy.pid(), redis.pid()?], vec![redis.pid()?]];
    let order = Order::Read {
        connections: CONNECTIONS,
        depth: DEPTH,
        seconds: arguments.seconds,
    };
    let rounds = rounds::<2>(arguments, |which| {
        measure(&mut rivals[which], &order, &servers[which])
    })?;
    let rate = |which| rounds.of(which, Sample::rate);
    let cpu = |which, server| rounds.of(which, |sample| sample.cpu_us(server));
    let client = |which| rounds.of(which, Sample::generator_us);
    let us = Unit::Microseconds;
    Ok(vec![
        Row::new(NAME, "reads a second", Unit::PerSecond, rate(0)).beside(
            "redis-rs",
            rate(1),
            None,
        ),
        Row::new(NAME, "server's CPU of a read", us, cpu(0, 0))
            .beside("Redis, same reads", cpu(0, 1), None)
            .beside("Redis, from redis-rs", cpu(1, 0), None),
        Row::new(NAME, "client's CPU of a read", us, client(0)).beside("redis-rs", client(1), None),
    ])
}
