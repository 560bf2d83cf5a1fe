//! Many waits, each on a stream of its own, compared with one wait.

use streamgate_test_support::{NatsServer, Proxy};

use super::{CONNECTIONS, rate_row};
use crate::arguments::Arguments;
use crate::generator::{Command, Target};
use crate::harness::{Generator, Redis, Sample, measure, proxy, rounds};
use crate::report::{Goal, Row, Unit};

const NAME: &str = "10,000 waits";

const WAITS: usize = 10_000;

/// Wakes per second: few enough that each finds the servers idle.
const RATE: f64 = 400.0;

/// Waits with servers of their own, so that no other waits burden them.
///
/// Fields are dropped in order: if Redis ended first, the proxy would log errors.
struct Setup {
    generator: Generator,
    proxy: Proxy,
    redis: Redis,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Vec<Row>> {
    let mut setups = [
        Setup::start(arguments, WAITS)?,
        Setup::start(arguments, 1)?,
        Setup::start(arguments, 0)?,
    ];
    let nats = NatsServer::start()?;
    let mut subscribers = Generator::start(Target::Nats, nats.ws_url())?;
    subscribers.perform(&wait(WAITS))?;
    let wake = Command::Wake {
        times: ((arguments.seconds * RATE) as usize).max(1),
        rate: RATE,
    };
    let wakes = rounds::<3>(arguments, |which| match which {
        2 => measure(&mut subscribers, &wake, &[nats.pid()]),
        which => {
            let setup = &mut setups[which];
            let servers = [setup.proxy.pid(), setup.redis.pid()?];
            measure(&mut setup.generator, &wake, &servers)
        }
    })?;
    let add = Command::Add {
        connections: 1,
        depth: 1,
        seconds: arguments.seconds,
    };
    let adds = rounds::<2>(arguments, |which| {
        // The setup with many waits, and the one with none.
        measure(&mut setups[which * 2].generator, &add, &[])
    })?;
    let connections = |setup: &Setup| Ok::<_, anyhow::Error>(vec![setup.redis.connections()?]);
    let p50 = |which| wakes.of(which, |sample| sample.outcome.p50_us);
    let p99 = |which| wakes.of(which, |sample| sample.outcome.p99_us);
    let wrong = wakes.of(0, |sample| sample.outcome.wrong);
    let cpu = |which, server| wakes.of(which, |sample| sample.cpu_us(server));
    let add = |which| adds.of(which, |sample| sample.outcome.p50_us);
    let us = Unit::Microseconds;
    Ok(vec![
        Row::new(
            NAME,
            "connections to Redis",
            Unit::Count,
            connections(&setups[0])?,
        )
        .compared_with("one wait", connections(&setups[1])?, Goal::AtMost(1.0)),
        Row::new(NAME, "p99 from add to wake", us, p99(0))
            .compared_with("one wait", p99(1), Goal::AtMost(3.0))
            .compared_with("NATS", p99(2), None),
        Row::new(NAME, "p50 from add to wake", us, p50(0))
            .compared_with("one wait", p50(1), None)
            .compared_with("NATS", p50(2), None),
        Row::new(NAME, "server CPU per wake", us, cpu(0, 0))
            .compared_with("one wait", cpu(1, 0), None)
            .compared_with("Redis, same wakes", cpu(0, 1), None)
            .compared_with("NATS", cpu(2, 0), None),
        Row::new(NAME, "p50 of an add meanwhile", us, add(0)).compared_with(
            "without waits",
            add(1),
            Goal::AtMost(1.2),
        ),
        rate_row(NAME, wakes.of(0, Sample::rate_reached))
            .compared_with("one wait", wakes.of(1, Sample::rate_reached), None)
            .compared_with("NATS", wakes.of(2, Sample::rate_reached), None),
        Row::new(NAME, "woken by another stream's entry", Unit::Count, wrong)
            .with_goal(Goal::AtMost(0.0)),
    ])
}

impl Setup {
    fn start(arguments: &Arguments, waits: usize) -> anyhow::Result<Self> {
        let redis = Redis::start(arguments.redis())?;
        let proxy = proxy(&redis)?;
        let mut generator = Generator::start(Target::Streamgate, &proxy.ws_url())?;
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

fn wait(waits: usize) -> Command {
    let connections = CONNECTIONS.min(waits);
    Command::Wait { waits, connections }
}
