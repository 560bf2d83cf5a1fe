//! Reads of 100 entries.

use super::CONNECTIONS;
use crate::arguments::Arguments;
use crate::generator::{Command, Target};
use crate::harness::{Generator, Redis, Sample, measure, proxy, rounds};
use crate::report::{Row, Unit};

const NAME: &str = "reads of 100";

/// Reads in flight on each connection.
const DEPTH: usize = 64;

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Vec<Row>> {
    let redis = Redis::start(arguments.redis())?;
    redis.fill()?;
    let proxy = proxy(&redis)?;
    let mut generators = [
        Generator::start(Target::Streamgate, &proxy.ws_url())?,
        Generator::start(Target::Redis, &redis.url())?,
    ];
    let servers = [vec![proxy.pid(), redis.pid()?], vec![redis.pid()?]];
    let command = Command::Read {
        connections: CONNECTIONS,
        depth: DEPTH,
        seconds: arguments.seconds,
    };
    let rounds = rounds::<2>(arguments, |which| {
        measure(&mut generators[which], &command, &servers[which])
    })?;
    let rate = |which| rounds.of(which, Sample::rate);
    let cpu = |which, server| rounds.of(which, |sample| sample.cpu_us(server));
    let client = |which| rounds.of(which, Sample::generator_us);
    let us = Unit::Microseconds;
    Ok(vec![
        Row::new(NAME, "reads per second", Unit::PerSecond, rate(0)).compared_with(
            "redis-rs",
            rate(1),
            None,
        ),
        Row::new(NAME, "server CPU per read", us, cpu(0, 0))
            .compared_with("Redis, same reads", cpu(0, 1), None)
            .compared_with("Redis, from redis-rs", cpu(1, 0), None),
        Row::new(NAME, "client CPU per read", us, client(0)).compared_with(
            "redis-rs",
            client(1),
            None,
        ),
    ])
}
