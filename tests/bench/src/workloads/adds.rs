//! Many adds in flight: from `Client`, with its defaults, compared with redis-rs and with plain
//! adds; and from a bare client, compared with a NATS client as bare. A bare client leaves the
//! server more of the processors that all share.

use streamgate_test_support::NatsServer;

use super::CONNECTIONS;
use crate::arguments::Arguments;
use crate::generator::{Command, Target};
use crate::harness::{Generator, Redis, busy_polling_proxy, measure, proxy, rounds};
use crate::report::{Goal, Row, Unit};

struct Adds {
    name: &'static str,
    depth: usize,
    redis_goal: Goal,
    nats_goal: Option<Goal>,
    redis_cpu_goal: Option<Goal>,
    /// What Redis may take for an idempotent add, compared with a plain one.
    idempotent_goal: Goal,
}

pub(super) fn deep(arguments: &Arguments) -> anyhow::Result<Vec<Row>> {
    let adds = Adds {
        name: "adds, 64 in flight",
        depth: 64,
        redis_goal: Goal::AtLeast(0.9),
        nats_goal: Some(Goal::AtLeast(1.5)),
        redis_cpu_goal: Some(Goal::AtMost(0.9)),
        idempotent_goal: Goal::AtMost(1.4),
    };
    run(arguments, &adds)
}

/// Smaller batches: the system's share of the work per frame weighs more.
pub(super) fn shallow(arguments: &Arguments) -> anyhow::Result<Vec<Row>> {
    let adds = Adds {
        name: "adds, 8 in flight",
        depth: 8,
        redis_goal: Goal::AtLeast(0.7),
        nats_goal: None,
        redis_cpu_goal: None,
        idempotent_goal: Goal::AtMost(1.6),
    };
    run(arguments, &adds)
}

fn run(arguments: &Arguments, adds: &Adds) -> anyhow::Result<Vec<Row>> {
    let redis = Redis::start(arguments.redis())?;
    let (proxy, nats) = (proxy(&redis)?, NatsServer::start()?);
    let busy = busy_polling_proxy(&redis)?;
    let mut generators = [
        Generator::start(Target::Streamgate, &proxy.ws_url())?,
        Generator::start(Target::Redis, &redis.url())?,
        Generator::start(Target::Nats, nats.ws_url())?,
        Generator::start(Target::StreamgatePlain, &proxy.ws_url())?,
        Generator::start(Target::Streamgate, &busy.ws_url())?,
        Generator::start(Target::StreamgateBare, &proxy.ws_url())?,
    ];
    let servers = [
        vec![proxy.pid(), redis.pid()?],
        vec![redis.pid()?],
        vec![nats.pid()],
        vec![proxy.pid(), redis.pid()?],
        vec![busy.pid(), redis.pid()?],
        vec![proxy.pid(), redis.pid()?],
    ];
    let command = Command::Add {
        connections: CONNECTIONS,
        depth: adds.depth,
        seconds: arguments.seconds,
    };
    let rounds = rounds::<6>(arguments, |which| {
        measure(&mut generators[which], &command, &servers[which])
    })?;
    let rate = |which| rounds.of(which, crate::harness::Sample::rate);
    let cpu = |which, server| rounds.of(which, |sample| sample.cpu_us(server));
    let client = |which| rounds.of(which, crate::harness::Sample::generator_us);
    let p99 = |which| rounds.of(which, |sample| sample.outcome.p99_us);
    let us = Unit::Microseconds;
    Ok(vec![
        Row::new(adds.name, "adds per second", Unit::PerSecond, rate(0))
            .compared_with("redis-rs", rate(1), None)
            .compared_with("plain adds", rate(3), None),
        Row::new(adds.name, "plain adds per second", Unit::PerSecond, rate(3)).compared_with(
            "redis-rs",
            rate(1),
            adds.redis_goal,
        ),
        Row::new(
            adds.name,
            "plain adds per second, bare client",
            Unit::PerSecond,
            rate(5),
        )
        .compared_with("NATS, bare client", rate(2), adds.nats_goal)
        .compared_with("redis-rs", rate(1), None)
        .compared_with("streamgate's client", rate(3), None),
        Row::new(adds.name, "server CPU per add", us, cpu(0, 0))
            .compared_with("Redis, plain adds", cpu(3, 1), adds.redis_cpu_goal)
            .compared_with("plain adds", cpu(3, 0), None)
            .compared_with("Redis, from redis-rs", cpu(1, 0), None)
            .compared_with("NATS", cpu(2, 0), None),
        Row::new(adds.name, "Redis CPU per add", us, cpu(0, 1)).compared_with(
            "plain adds",
            cpu(3, 1),
            adds.idempotent_goal,
        ),
        Row::new(
            adds.name,
            "adds per second, busy polling",
            Unit::PerSecond,
            rate(4),
        )
        .compared_with("redis-rs", rate(1), None)
        .compared_with("without busy polling", rate(0), None),
        Row::new(adds.name, "server CPU per add, busy polling", us, cpu(4, 0)).compared_with(
            "Redis, plain adds",
            cpu(3, 1),
            adds.redis_cpu_goal,
        ),
        Row::new(adds.name, "client CPU per add", us, client(0))
            .compared_with("plain adds", client(3), None)
            .compared_with("bare client, plain adds", client(5), None)
            .compared_with("redis-rs", client(1), None)
            .compared_with("NATS", client(2), None),
        Row::new(adds.name, "p99 of an add", us, p99(0))
            .compared_with("redis-rs", p99(1), None)
            .compared_with("NATS", p99(2), None),
    ])
}
