//! One stream with many tails.

use streamgate_test_support::NatsServer;

use super::rate_row;
use crate::arguments::Arguments;
use crate::generator::{Command, Target};
use crate::harness::{Generator, Redis, Sample, measure, proxy, resident_kib, rounds};
use crate::report::{Goal, Row, Unit};

const TAILS: usize = 1_000;
const RATE: f64 = 50.0;

/// As many as a machine can open on loopback, at a rate at which it can serve them.
const WIDE_TAILS: usize = 10_000;
const WIDE_RATE: f64 = 4.0;

/// Tails of another stream, opened before the memory per tail is measured: the first tail makes a
/// server touch its code and get pages of 2 MiB from the system. What is left of such a page can
/// make a figure 2 KiB too low or too high; that of 10,000 tails is exact.
const OTHER_TAILS: usize = 1;

/// The fewest entries with meaningful figures of Redis, which takes some µs per entry beside its
/// own housekeeping. At that rate this workload takes longer than others.
const WIDE_ENTRIES: f64 = 40.0;

/// "No difference", with room for Redis's own housekeeping, which varies.
const AS_ONE: Goal = Goal::AtMost(1.25);

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Vec<Row>> {
    const NAME: &str = "1,000 tails";
    let rounds = rounds::<2>(arguments, |which| match which {
        0 => measure_proxy(arguments, OTHER_TAILS, TAILS, &publish(arguments)),
        _ => measure_nats(arguments),
    })?;
    let memory = |which| rounds.of(which, memory);
    let cpu = |which| rounds.of(which, all_servers_us);
    let client = |which| rounds.of(which, Sample::generator_us);
    let p99 = |which| rounds.of(which, |sample| sample.outcome.p99_us);
    let failed = |which| rounds.of(which, lost_or_wrong);
    let us = Unit::Microseconds;
    Ok(vec![
        Row::new(NAME, "servers' CPU per delivery", us, cpu(0)).compared_with(
            "NATS",
            cpu(1),
            Goal::AtMost(0.65),
        ),
        Row::new(NAME, "memory per tail", Unit::Kibibytes, memory(0))
            .with_goal(Goal::AtMost(12.0))
            .compared_with("NATS", memory(1), None),
        Row::new(NAME, "p99 from add to arrival", us, p99(0)).compared_with("NATS", p99(1), None),
        Row::new(NAME, "client CPU per delivery", us, client(0)).compared_with(
            "NATS",
            client(1),
            None,
        ),
        Row::new(NAME, "lost or out of order", Unit::Count, failed(0))
            .with_goal(Goal::AtMost(0.0))
            .compared_with("NATS", failed(1), None),
        rate_row(NAME, rounds.of(0, Sample::rate_reached)).compared_with(
            "NATS",
            rounds.of(1, Sample::rate_reached),
            None,
        ),
    ])
}

/// Redis should see no difference between one tail and many.
pub(super) fn wide(arguments: &Arguments) -> anyhow::Result<Vec<Row>> {
    const NAME: &str = "10,000 tails";
    let rounds = rounds::<2>(arguments, |which| {
        let tails = if which == 0 { WIDE_TAILS } else { 1 };
        let seconds = arguments.seconds.max(WIDE_ENTRIES / WIDE_RATE);
        let rate = WIDE_RATE;
        measure_proxy(arguments, 0, tails, &Command::Publish { rate, seconds })
    })?;
    let connections = |which| rounds.of(which, |sample| sample.extra[1]);
    let redis = |which| rounds.of(which, |sample| sample.extra[2]);
    let reads = |which| rounds.of(which, |sample| sample.extra[3]);
    let failed = rounds.of(0, lost_or_wrong);
    let p99 = |which| rounds.of(which, |sample| sample.outcome.p99_us);
    let us = Unit::Microseconds;
    Ok(vec![
        Row::new(NAME, "connections to Redis", Unit::Count, connections(0)).compared_with(
            "one tail",
            connections(1),
            Goal::AtMost(1.0),
        ),
        Row::new(NAME, "Redis CPU per entry", us, redis(0)).compared_with(
            "one tail",
            redis(1),
            AS_ONE,
        ),
        Row::new(NAME, "reads in Redis per entry", Unit::Count, reads(0)).compared_with(
            "one tail",
            reads(1),
            AS_ONE,
        ),
        Row::new(
            NAME,
            "servers' CPU per delivery",
            us,
            rounds.of(0, all_servers_us),
        ),
        Row::new(NAME, "p99 from add to arrival", us, p99(0)).compared_with(
            "one tail",
            p99(1),
            None,
        ),
        Row::new(
            NAME,
            "memory per tail",
            Unit::Kibibytes,
            rounds.of(0, memory),
        ),
        Row::new(NAME, "lost or out of order", Unit::Count, failed).with_goal(Goal::AtMost(0.0)),
        rate_row(NAME, rounds.of(0, Sample::rate_reached)).compared_with(
            "one tail",
            rounds.of(1, Sample::rate_reached),
            None,
        ),
    ])
}

/// Starts new servers every time: memory that a server frees when tails end would falsify a figure.
fn measure_proxy(
    arguments: &Arguments,
    others: usize,
    tails: usize,
    command: &Command,
) -> anyhow::Result<Sample> {
    let redis = Redis::start(arguments.redis())?;
    let proxy = proxy(&redis)?;
    let mut generator = Generator::start(Target::Streamgate, &proxy.ws_url())?;
    if others > 0 {
        generator.perform(&Command::Tail { tails: others })?;
    }
    let before = resident_kib(proxy.pid())?;
    generator.perform(&Command::Tail { tails })?;
    let (cpu, reads) = (redis.cpu()?, redis.calls("xrange")?);
    let mut sample = measure(&mut generator, command, &[proxy.pid(), redis.pid()?])?;
    let kib = (resident_kib(proxy.pid())? - before) / tails as f64;
    let (cpu, reads) = (redis.cpu()? - cpu, redis.calls("xrange")? - reads);
    let entries = sample.outcome.entries;
    sample.extra = vec![
        kib,
        redis.connections()?,
        cpu / entries * 1e6,
        reads / entries,
    ];
    Ok(sample)
}

fn measure_nats(arguments: &Arguments) -> anyhow::Result<Sample> {
    let nats = NatsServer::start()?;
    let mut generator = Generator::start(Target::Nats, nats.ws_url())?;
    generator.perform(&Command::Tail { tails: OTHER_TAILS })?;
    let before = resident_kib(nats.pid())?;
    generator.perform(&Command::Tail { tails: TAILS })?;
    let mut sample = measure(&mut generator, &publish(arguments), &[nats.pid()])?;
    sample.extra = vec![(resident_kib(nats.pid())? - before) / TAILS as f64];
    Ok(sample)
}

fn publish(arguments: &Arguments) -> Command {
    Command::Publish {
        rate: RATE,
        seconds: arguments.seconds,
    }
}

/// Returns the server's memory per tail in KiB.
fn memory(sample: &Sample) -> f64 {
    sample.extra[0]
}

fn all_servers_us(sample: &Sample) -> f64 {
    (0..sample.cpu.len())
        .map(|server| sample.cpu_us(server))
        .sum()
}

fn lost_or_wrong(sample: &Sample) -> f64 {
    sample.outcome.lost + sample.outcome.wrong
}
