//! Many adds in flight: from `Client`, beside redis-rs; and from a bare client, beside NATS's, which is
//! as bare. That one leaves the server more of the processors that all share.

use streamgate_test_support::NatsServer;

use super::CONNECTIONS;
use crate::arguments::Arguments;
use crate::generator::{Order, Rival};
use crate::report::{Goal, Row, Unit};
use crate::rig::{Generator, Redis, busy_polling_proxy, measure, proxy, rounds};

struct Adds {
    name: &'static str,
    depth: usize,
    of_redis: Goal,
    of_nats: Option<Goal>,
    of_redis_cpu: Option<Goal>,
}

pub(super) fn deep(arguments: &Arguments) -> anyhow::Result<Vec<Row>> {
    let adds = Adds {
        name: "adds, 64 in flight",
        depth: 64,
        of_redis: Goal::AtLeast(0.9),
        of_nats: Some(Goal::AtLeast(1.5)),
        of_redis_cpu: Some(Goal::AtMost(0.9)),
    };
    run(arguments, &adds)
}

/// Smaller batches: what the system takes for each frame weighs more.
pub(super) fn shallow(arguments: &Arguments) -> anyhow::Result<Vec<Row>> {
    let adds = Adds {
        name: "adds, 8 in flight",
        depth: 8,
        of_redis: Goal::AtLeast(0.7),
        of_nats: None,
        of_redis_cpu: None,
    };
    run(arguments, &adds)
}

fn run(arguments: &Arguments, adds: &Adds) -> anyhow::Result<Vec<Row>> {
    let redis = Redis::start(arguments.redis())?;
    let (proxy, nats) = (proxy(&redis)?, NatsServer::start()?);
    let busy = busy_polling_proxy(&redis)?;
    let mut rivals = [
        Generator::start(Rival::Streamgate, &proxy.ws_url())?,
        Generator::start(Rival::Redis, &redis.url())?,
        Generator::start(Rival::Nats, nats.ws_url())?,
        Generator::start(Rival::StreamgateOnce, &proxy.ws_url())?,
        Generator::start(Rival::Streamgate, &busy.ws_url())?,
        Generator::start(Rival::StreamgateBare, &proxy.ws_url())?,
    ];
    let servers = [
        vec![proxy.pid(), redis.pid()?],
        vec![redis.pid()?],
        vec![nats.pid()],
        vec![proxy.pid(), redis.pid()?],
        vec![busy.pid(), redis.pid()?],
        vec![proxy.pid(), redis.pid()?],
    ];
    let order = Order::Add {
        connections: CONNECTIONS,
        depth: adds.depth,
        seconds: arguments.seconds,
    };
    let rounds = rounds::<6>(arguments, |which| {
        measure(&mut rivals[which], &order, &servers[which])
    })?;
    let rate = |which| rounds.of(which, crate::rig::Sample::rate);
    let cpu = |which, server| rounds.of(which, |sample| sample.cpu_us(server));
    let client = |which| rounds.of(which, crate::rig::Sample::generator_us);
    let p99 = |which| rounds.of(which, |sample| sample.outcome.p99_us);
    let us = Unit::Microseconds;
    Ok(vec![
        Row::new(adds.name, "adds a second", Unit::PerSecond, rate(0)).beside(
            "redis-rs",
            rate(1),
            adds.of_redis,
        ),
        Row::new(
            adds.name,
            "adds a second, bare client",
            Unit::PerSecond,
            rate(5),
        )
        .beside("NATS, as bare", rate(2), adds.of_nats)
        .beside("redis-rs", rate(1), None)
        .beside("streamgate's client", rate(0), None),
        Row::new(adds.name, "server's CPU of an add", us, cpu(0, 0))
            .beside("Redis, same adds", cpu(0, 1), adds.of_redis_cpu)
            .beside("Redis, from redis-rs", cpu(1, 0), None)
            .beside("NATS", cpu(2, 0), None),
        Row::new(
            adds.name,
            "adds a second, busy polling",
            Unit::PerSecond,
            rate(4),
        )
        .beside("redis-rs", rate(1), adds.of_redis)
        .beside("without", rate(0), None),
        Row::new(adds.name, "server's CPU, busy polling", us, cpu(4, 0)).beside(
            "Redis, same adds",
            cpu(4, 1),
            adds.of_redis_cpu,
        ),
        Row::new(adds.name, "adds done once", Unit::PerSecond, rate(3)).beside(
            "plain",
            rate(0),
            None,
        ),
        Row::new(adds.name, "Redis's CPU of one done once", us, cpu(3, 1)).beside(
            "plain",
            cpu(0, 1),
            None,
        ),
        Row::new(adds.name, "client's CPU of an add", us, client(0))
            .beside("bare", client(5), None)
            .beside("redis-rs", client(1), None)
            .beside("NATS", client(2), None),
        Row::new(adds.name, "p99 of an add", us, p99(0))
            .beside("redis-rs", p99(1), None)
            .beside("NATS", p99(2), None),
    ])
}
