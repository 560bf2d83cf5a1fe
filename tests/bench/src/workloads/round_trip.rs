//! One add in flight.

use streamgate_test_support::NatsServer;

use crate::arguments::Arguments;
use crate::generator::{Command, Target};
use crate::harness::{EchoServer, Generator, Redis, busy_polling_proxy, measure, proxy, rounds};
use crate::report::{Goal, Row, Unit};

const NAME: &str = "round trip";

/// The way through the proxy is a WebSocket round trip plus one to Redis. A plain add should not
/// cost more than both.
const PLAIN_GOAL: Goal = Goal::AtMost(1.0);

/// The same for an idempotent add, which clients send by default.
const GOAL: Goal = Goal::AtMost(1.15);

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Vec<Row>> {
    let redis = Redis::start(arguments.redis())?;
    let (proxy, echo, nats) = (proxy(&redis)?, EchoServer::start()?, NatsServer::start()?);
    let busy = busy_polling_proxy(&redis)?;
    let mut generators = [
        Generator::start(Target::Streamgate, &proxy.ws_url())?,
        Generator::start(Target::Redis, &redis.url())?,
        Generator::start(Target::Echo, &echo.url)?,
        Generator::start(Target::Nats, nats.ws_url())?,
        Generator::start(Target::Streamgate, &busy.ws_url())?,
        Generator::start(Target::StreamgatePlain, &proxy.ws_url())?,
    ];
    let command = Command::Add {
        connections: 1,
        depth: 1,
        seconds: arguments.seconds,
    };
    let rounds = rounds::<6>(arguments, |which| {
        measure(&mut generators[which], &command, &[])
    })?;
    let p50 = |which| rounds.of(which, |sample| sample.outcome.p50_us);
    let sum: Vec<_> = p50(1).iter().zip(p50(2)).map(|(a, b)| a + b).collect();
    let p99 = |which| rounds.of(which, |sample| sample.outcome.p99_us);
    Ok(vec![
        Row::new(NAME, "p50", Unit::Microseconds, p50(0))
            .compared_with("redis-rs + echo", sum.clone(), GOAL)
            .compared_with("plain add", p50(5), None)
            .compared_with("redis-rs", p50(1), None)
            .compared_with("WebSocket echo", p50(2), None)
            .compared_with("NATS", p50(3), None),
        Row::new(NAME, "p50, plain add", Unit::Microseconds, p50(5)).compared_with(
            "redis-rs + echo",
            sum.clone(),
            PLAIN_GOAL,
        ),
        Row::new(NAME, "p50, busy polling", Unit::Microseconds, p50(4))
            .compared_with("redis-rs + echo", sum, GOAL)
            .compared_with("without busy polling", p50(0), None),
        Row::new(NAME, "p99", Unit::Microseconds, p99(0))
            .compared_with("redis-rs", p99(1), None)
            .compared_with("NATS", p99(3), None),
    ])
}
