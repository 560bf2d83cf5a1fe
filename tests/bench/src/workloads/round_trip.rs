//! One add in flight.

use streamgate_test_support::NatsServer;

use crate::arguments::Arguments;
use crate::generator::{Command, Target};
use crate::harness::{
    EchoServer, Generator, Redis, TcpRelay, busy_polling_proxy, measure, proxy, rounds,
};
use crate::report::{Goal, Row, Unit};

const NAME: &str = "round trip";

/// A plain add compared with the same add through a process that only forwards bytes. The proxy
/// also reads, checks and translates, with cold caches: a round trip wakes it twice.
const PLAIN_GOAL: Goal = Goal::AtMost(1.3);

/// The same for an idempotent add, which clients send by default: Redis also runs its script.
const GOAL: Goal = Goal::AtMost(1.6);

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Vec<Row>> {
    let redis = Redis::start(arguments.redis())?;
    let (proxy, echo, nats) = (proxy(&redis)?, EchoServer::start()?, NatsServer::start()?);
    let relay = TcpRelay::start(&redis.address())?;
    let busy = busy_polling_proxy(&redis)?;
    let mut generators = [
        Generator::start(Target::Streamgate, &proxy.ws_url())?,
        Generator::start(Target::Redis, &redis.url())?,
        Generator::start(Target::Echo, &echo.url)?,
        Generator::start(Target::Nats, nats.ws_url())?,
        Generator::start(Target::Streamgate, &busy.ws_url())?,
        Generator::start(Target::StreamgatePlain, &proxy.ws_url())?,
        Generator::start(Target::Redis, &relay.redis_url())?,
    ];
    let command = Command::Add {
        connections: 1,
        depth: 1,
        seconds: arguments.seconds,
    };
    let rounds = rounds::<7>(arguments, |which| {
        measure(&mut generators[which], &command, &[])
    })?;
    let p50 = |which| rounds.of(which, |sample| sample.outcome.p50_us);
    let sum: Vec<_> = p50(1).iter().zip(p50(2)).map(|(a, b)| a + b).collect();
    let relayed = "redis-rs through a TCP relay";
    let p99 = |which| rounds.of(which, |sample| sample.outcome.p99_us);
    Ok(vec![
        Row::new(NAME, "p50", Unit::Microseconds, p50(0))
            .compared_with(relayed, p50(6), GOAL)
            .compared_with("redis-rs + echo", sum.clone(), None)
            .compared_with("plain add", p50(5), None)
            .compared_with("redis-rs", p50(1), None)
            .compared_with("WebSocket echo", p50(2), None)
            .compared_with("NATS", p50(3), None),
        Row::new(NAME, "p50, plain add", Unit::Microseconds, p50(5))
            .compared_with(relayed, p50(6), PLAIN_GOAL)
            .compared_with("redis-rs + echo", sum.clone(), None),
        Row::new(NAME, "p50, TCP relay", Unit::Microseconds, p50(6)).compared_with(
            "redis-rs + echo",
            sum.clone(),
            None,
        ),
        Row::new(NAME, "p50, busy polling", Unit::Microseconds, p50(4))
            .compared_with(relayed, p50(6), GOAL)
            .compared_with("redis-rs + echo", sum, None)
            .compared_with("without busy polling", p50(0), None),
        Row::new(NAME, "p99", Unit::Microseconds, p99(0))
            .compared_with("redis-rs", p99(1), None)
            .compared_with("NATS", p99(3), None),
    ])
}
