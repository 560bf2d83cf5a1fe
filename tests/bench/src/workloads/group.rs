//! Many consumers of one group, which are pushed their entries, and as many that wait with reads.

use streamgate_test_support::Proxy;

use super::{CONNECTIONS, pace};
use crate::arguments::Arguments;
use crate::generator::{Order, Rival, Taking};
use crate::report::{Goal, Row, Unit};
use crate::rig::{Generator, Redis, Sample, measure, proxy, rounds};

const NAME: &str = "1,000 consumers";

const CONSUMERS: usize = 1_000;
const RATE: f64 = 400.0;

/// What stands beside.
const READS: &str = "group reads";

/// Consumers of one kind, with servers of their own.
///
/// Dropped from the client's end, or the proxy would complain of Redis's.
struct Side {
    generator: Generator,
    proxy: Proxy,
    redis: Redis,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Vec<Row>> {
    let mut sides = [
        Side::start(arguments, Taking::Pushed)?,
        Side::start(arguments, Taking::Read)?,
    ];
    let order = Order::Distribute {
        rate: RATE,
        seconds: arguments.seconds,
    };
    let rounds = rounds::<2>(arguments, |which| sides[which].measure(&order))?;
    let failed = |which| rounds.of(which, |sample| sample.outcome.lost + sample.outcome.wrong);
    let needless = |which| rounds.of(which, |sample| sample.noted[0]);
    let p99 = |which| rounds.of(which, |sample| sample.outcome.p99_us);
    let cpu = |which, server| rounds.of(which, |sample| sample.cpu_us(server));
    let connections = |side: &Side| Ok::<_, anyhow::Error>(vec![side.redis.connections()?]);
    let (us, count) = (Unit::Microseconds, Unit::Count);
    Ok(vec![
        Row::new(NAME, "lost or given twice", count, failed(0))
            .held_to(Goal::AtMost(0.0))
            .beside(READS, failed(1), None),
        Row::new(NAME, "needless XREADGROUP of an entry", count, needless(0))
            .held_to(Goal::AtMost(1.0))
            .beside(READS, needless(1), None),
        Row::new(NAME, "p99 from add to arrival", us, p99(0)).beside(READS, p99(1), None),
        Row::new(NAME, "server's CPU of an entry", us, cpu(0, 0))
            .beside(READS, cpu(1, 0), None)
            .beside("Redis, same entries", cpu(0, 1), None),
        pace(NAME, rounds.of(0, Sample::pace)).beside(READS, rounds.of(1, Sample::pace), None),
        Row::new(NAME, "connections of Redis", count, connections(&sides[0])?).beside(
            READS,
            connections(&sides[1])?,
            None,
        ),
    ])
}

impl Side {
    fn start(arguments: &Arguments, how: Taking) -> anyhow::Result<Self> {
        let redis = Redis::start(arguments.redis())?;
        let proxy = proxy(&redis)?;
        let mut generator = Generator::start(Rival::Streamgate, &proxy.ws_url())?;
        generator.perform(&Order::Consume {
            consumers: CONSUMERS,
            connections: CONNECTIONS,
            how,
        })?;
        Ok(Self {
            generator,
            proxy,
            redis,
        })
    }

    fn measure(&mut self, order: &Order) -> anyhow::Result<Sample> {
        let servers = [self.proxy.pid(), self.redis.pid()?];
        let before = self.redis.calls("xreadgroup")?;
        let mut sample = measure(&mut self.generator, order, &servers)?;
        let calls = self.redis.calls("xreadgroup")? - before;
        // One call brings an entry, for each takes one at a time; every further one was for nothing.
        sample.noted.push(calls / sample.outcome.entries - 1.0);
        Ok(sample)
    }
}
