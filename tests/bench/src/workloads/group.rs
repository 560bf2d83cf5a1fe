//! Many consumers of one group: subscriptions, compared with reads that wait.

use streamgate_test_support::Proxy;

use super::{CONNECTIONS, rate_row};
use crate::arguments::Arguments;
use crate::generator::{Command, ConsumeMode, Target};
use crate::harness::{Generator, Redis, Sample, measure, proxy, rounds};
use crate::report::{Goal, Row, Unit};

const NAME: &str = "1,000 consumers";

const CONSUMERS: usize = 1_000;
const RATE: f64 = 400.0;

/// The baseline.
const READS: &str = "group reads";

/// Consumers of one mode, with servers of their own.
///
/// Fields are dropped in order: if Redis ended first, the proxy would log errors.
struct Setup {
    generator: Generator,
    proxy: Proxy,
    redis: Redis,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Vec<Row>> {
    let mut setups = [
        Setup::start(arguments, ConsumeMode::Subscription)?,
        Setup::start(arguments, ConsumeMode::GroupReads)?,
    ];
    let command = Command::Distribute {
        rate: RATE,
        seconds: arguments.seconds,
    };
    let rounds = rounds::<2>(arguments, |which| setups[which].measure(&command))?;
    let failed = |which| rounds.of(which, |sample| sample.outcome.lost + sample.outcome.wrong);
    let needless = |which| rounds.of(which, |sample| sample.extra[0]);
    let p99 = |which| rounds.of(which, |sample| sample.outcome.p99_us);
    let cpu = |which, server| rounds.of(which, |sample| sample.cpu_us(server));
    let connections = |setup: &Setup| Ok::<_, anyhow::Error>(vec![setup.redis.connections()?]);
    let (us, count) = (Unit::Microseconds, Unit::Count);
    Ok(vec![
        Row::new(NAME, "lost or delivered twice", count, failed(0))
            .with_goal(Goal::AtMost(0.0))
            .compared_with(READS, failed(1), None),
        Row::new(NAME, "needless XREADGROUP per entry", count, needless(0))
            .with_goal(Goal::AtMost(1.0))
            .compared_with(READS, needless(1), None),
        Row::new(NAME, "p99 from add to arrival", us, p99(0)).compared_with(READS, p99(1), None),
        Row::new(NAME, "server CPU per entry", us, cpu(0, 0))
            .compared_with(READS, cpu(1, 0), None)
            .compared_with("Redis, same entries", cpu(0, 1), None),
        rate_row(NAME, rounds.of(0, Sample::rate_reached)).compared_with(
            READS,
            rounds.of(1, Sample::rate_reached),
            None,
        ),
        Row::new(
            NAME,
            "connections to Redis",
            count,
            connections(&setups[0])?,
        )
        .compared_with(READS, connections(&setups[1])?, None),
    ])
}

impl Setup {
    fn start(arguments: &Arguments, mode: ConsumeMode) -> anyhow::Result<Self> {
        let redis = Redis::start(arguments.redis())?;
        let proxy = proxy(&redis)?;
        let mut generator = Generator::start(Target::Streamgate, &proxy.ws_url())?;
        generator.perform(&Command::Consume {
            consumers: CONSUMERS,
            connections: CONNECTIONS,
            mode,
        })?;
        Ok(Self {
            generator,
            proxy,
            redis,
        })
    }

    fn measure(&mut self, command: &Command) -> anyhow::Result<Sample> {
        let servers = [self.proxy.pid(), self.redis.pid()?];
        let before = self.redis.calls("xreadgroup")?;
        let mut sample = measure(&mut self.generator, command, &servers)?;
        let calls = self.redis.calls("xreadgroup")? - before;
        // Consumers take one entry at a time, so one call per entry is needed; the rest is
        // needless.
        sample.extra.push(calls / sample.outcome.entries - 1.0);
        Ok(sample)
    }
}
