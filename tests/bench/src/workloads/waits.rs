//! Many waits, each on a stream of its own, and one.

use streamgate_test_support::{NatsServer, Proxy};

use super::{CONNECTIONS, pace};
use crate::arguments::Arguments;
use crate::generator::{Order, Rival};
use crate::report::{Goal, Row, Unit};
use crate::rig::{Generator, Redis, Sample, measure, proxy, rounds};

const NAME: &str = "10,000 waits";

const WAITS: usize = 10_000;

/// Wakes a second: seldom enough that each finds the servers at rest.
const RATE: f64 = 400.0;

/// One with servers of its own, so that the waits of the other do not burden it.
///
/// Dropped from the client's end, or the proxy would complain of Redis's.
struct Side {
    generator: Generator,
    proxy: Proxy,
    redis: Redis,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Vec<Row>> {
    let mut sides = [
        Side::start(arguments, WAITS)?,
        Side::start(arguments, 1)?,
        Side::start(arguments, 0)?,
    ];
    let nats = NatsServer::start()?;
    let mut subscribers = Generator::start(Rival::Nats, nats.ws_url())?;
    subscribers.perform(&wait(WAITS))?;
    let wake = Order::Wake {
        times: ((arguments.seconds * RATE) as usize).max(1),
        rate: RATE,
    };
    let wakes = rounds::<3>(arguments, |which| match which {
        2 => measure(&mut subscribers, &wake, &[nats.pid()]),
        which => {
            let side = &mut sides[which];
            let servers = [side.proxy.pid(), side.redis.pid()?];
            measure(&mut side.generator, &wake, &servers)
        }
    })?;
    let add = Order::Add {
        connections: 1,
        depth: 1,
        seconds: arguments.seconds,
    };
    let adds = rounds::<2>(arguments, |which| {
        // Beside many waits, and beside none.
        measure(&mut sides[which * 2].generator, &add, &[])
    })?;
    let connections = |side: &Side| Ok::<_, anyhow::Error>(vec![side.redis.connections()?]);
    let p50 = |which| wakes.of(which, |sample| sample.outcome.p50_us);
    let p99 = |which| wakes.of(which, |sample| sample.outcome.p99_us);
    let wrong = wakes.of(0, |sample| sample.outcome.wrong);
    let cpu = |which, server| wakes.of(which, |sample| sample.cpu_us(server));
    let add = |which| adds.of(which, |sample| sample.outcome.p50_us);
    let us = Unit::Microseconds;
    Ok(vec![
        Row::new(
            NAME,
            "connections of Redis",
            Unit::Count,
            connections(&sides[0])?,
        )
        .beside("one wait", connections(&sides[1])?, Goal::AtMost(1.0)),
        Row::new(NAME, "p99 from add to wake", us, p99(0))
            .beside("one wait", p99(1), Goal::AtMost(3.0))
            .beside("NATS", p99(2), None),
        Row::new(NAME, "p50 from add to wake", us, p50(0))
            .beside("one wait", p50(1), None)
            .beside("NATS", p50(2), None),
        Row::new(NAME, "server's CPU of a wake", us, cpu(0, 0))
            .beside("one wait", cpu(1, 0), None)
            .beside("Redis, same wakes", cpu(0, 1), None)
            .beside("NATS", cpu(2, 0), None),
        Row::new(NAME, "p50 of an add beside them", us, add(0)).beside(
            "without waits",
            add(1),
            Goal::AtMost(1.2),
        ),
        pace(NAME, wakes.of(0, Sample::pace))
            .beside("one wait", wakes.of(1, Sample::pace), None)
            .beside("NATS", wakes.of(2, Sample::pace), None),
        Row::new(NAME, "woken by another's entry", Unit::Count, wrong).held_to(Goal::AtMost(0.0)),
    ])
}

impl Side {
    fn start(arguments: &Arguments, waits: usize) -> anyhow::Result<Self> {
        let redis = Redis::start(arguments.redis())?;
        let proxy = proxy(&redis)?;
        let mut generator = Generator::start(Rival::Streamgate, &proxy.ws_url())?;
        if waits > 0 {
            generator.perform(&wait(waits))?;
        }
        Ok(Self {
            generator,
            proxy,
            redis,
        })
    }
}

fn wait(waits: usize) -> Order {
    let connections = CONNECTIONS.min(waits);
    Order::Wait { waits, connections }
}
