//! Many consumers of one group.

use super::CONNECTIONS;
use crate::arguments::Arguments;
use crate::generator::{Order, Rival};
use crate::report::{Goal, Row, Unit};
use crate::rig::{Generator, Redis, measure, proxy, rounds};

const NAME: &str = "1,000 consumers";

const CONSUMERS: usize = 1_000;
const RATE: f64 = 400.0;

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Vec<Row>> {
    let redis = Redis::start(arguments.redis())?;
    let proxy = proxy(&redis)?;
    let mut generator = Generator::start(Rival::Streamgate, &proxy.ws_url())?;
    generator.perform(&Order::Consume {
        consumers: CONSUMERS,
        connections: CONNECTIONS,
    })?;
    let order = Order::Distribute {
        rate: RATE,
        seconds: arguments.seconds,
    };
    let rounds = rounds::<1>(arguments, |_| {
        let before = redis.calls("xreadgroup")?;
        let mut sample = measure(&mut generator, &order, &[proxy.pid(), redis.pid()?])?;
        let calls = redis.calls("xreadgroup")? - before;
        // One call brings an entry; every further one was for nothing.
        sample.noted.push(calls / sample.outcome.entries - 1.0);
        Ok(sample)
    })?;
    let failed = rounds.of(0, |sample| sample.outcome.lost + sample.outcome.wrong);
    let needless = rounds.of(0, |sample| sample.noted[0]);
    let p99 = rounds.of(0, |sample| sample.outcome.p99_us);
    let cpu = |server| rounds.of(0, |sample| sample.cpu_us(server));
    let us = Unit::Microseconds;
    Ok(vec![
        Row::new(NAME, "lost or given twice", Unit::Count, failed).held_to(Goal::AtMost(0.0)),
        Row::new(
            NAME,
            "needless XREADGROUP of an entry",
            Unit::Count,
            needless,
        )
        .held_to(Goal::AtMost(1.0)),
        Row::new(NAME, "p99 from add to arrival", us, p99),
        Row::new(NAME, "server's CPU of an entry", us, cpu(0)).beside("Redis", cpu(1), None),
        Row::new(
            NAME,
            "connections of Redis",
            Unit::Count,
            vec![redis.connections()?],
        ),
    ])
}
