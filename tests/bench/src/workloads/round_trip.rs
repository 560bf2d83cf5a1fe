//! A lone add: nothing else is in flight.

use streamgate_test_support::NatsServer;

use crate::arguments::Arguments;
use crate::generator::{Order, Rival};
use crate::report::{Goal, Row, Unit};
use crate::rig::{Echo, Generator, Redis, busy_polling_proxy, measure, proxy, rounds};

const NAME: &str = "round trip";

/// The way through the proxy is a WebSocket's and Redis's; it is to cost no more than both.
const GOAL: Goal = Goal::AtMost(1.0);

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Vec<Row>> {
    let redis = Redis::start(arguments.redis())?;
    let (proxy, echo, nats) = (proxy(&redis)?, Echo::start()?, NatsServer::start()?);
    let busy = busy_polling_proxy(&redis)?;
    let mut generators = [
        Generator::start(Rival::Streamgate, &proxy.ws_url())?,
        Generator::start(Rival::Redis, &redis.url())?,
        Generator::start(Rival::Echo, &echo.url)?,
        Generator::start(Rival::Nats, nats.ws_url())?,
        Generator::start(Rival::Streamgate, &busy.ws_url())?,
    ];
    let order = Order::Add {
        connections: 1,
        depth: 1,
        seconds: arguments.seconds,
    };
    let rounds = rounds::<5>(arguments, |which| {
        measure(&mut generators[which], &order, &[])
    })?;
    let p50 = |which| rounds.of(which, |sample| sample.outcome.p50_us);
    let sum: Vec<_> = p50(1).iter().zip(p50(2)).map(|(a, b)| a + b).collect();
    let p99 = |which| rounds.of(which, |sample| sample.outcome.p99_us);
    Ok(vec![
        Row::new(NAME, "p50", Unit::Microseconds, p50(0))
            .beside("redis-rs + echo", sum.clone(), GOAL)
            .beside("redis-rs", p50(1), None)
            .beside("WebSocket echo", p50(2), None)
            .beside("NATS", p50(3), None),
        Row::new(NAME, "p50, busy polling", Unit::Microseconds, p50(4))
            .beside("redis-rs + echo", sum, GOAL)
            .beside("without", p50(0), None),
        Row::new(NAME, "p99", Unit::Microseconds, p99(0))
            .beside("redis-rs", p99(1), None)
            .beside("NATS", p99(3), None),
    ])
}
