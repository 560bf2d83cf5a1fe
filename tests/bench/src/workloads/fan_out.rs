//! One stream, many who follow it.

use streamgate_test_support::NatsServer;

use super::pace;
use crate::arguments::Arguments;
use crate::generator::{Order, Rival};
use crate::report::{Goal, Row, Unit};
use crate::rig::{Generator, Redis, Sample, measure, proxy, resident_kib, rounds};

const TAILS: usize = 1_000;
const RATE: f64 = 50.0;

/// As many as the machine opens on loopback, at a rate at which it can still serve them.
const WIDE_TAILS: usize = 10_000;
const WIDE_RATE: f64 = 4.0;

/// Tails of another stream, which are there when it is begun to count what a tail takes: the first makes
/// a server touch its code, and have the system give it pages of 2 MiB. With what is left of such
/// pages, a figure may be 2 KiB too low or too high; that of 10,000 tails is not.
const OTHER_TAILS: usize = 1;

/// As few as give figures of Redis that mean something: of an entry it uses some microseconds, and
/// beside them does what it does by itself. At that rate they take longer than other workloads.
const WIDE_ENTRIES: f64 = 40.0;

/// "No difference", with room for what Redis does by itself, which varies.
const AS_ONE: Goal = Goal::AtMost(1.25);

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Vec<Row>> {
    const NAME: &str = "1,000 tails";
    let rounds = rounds::<2>(arguments, |which| match which {
        0 => through_the_proxy(arguments, OTHER_TAILS, TAILS, &publish(arguments)),
        _ => through_nats(arguments),
    })?;
    let memory = |which| rounds.of(which, memory);
    let cpu = |which| rounds.of(which, all_servers_us);
    let client = |which| rounds.of(which, Sample::generator_us);
    let p99 = |which| rounds.of(which, |sample| sample.outcome.p99_us);
    let failed = |which| rounds.of(which, lost_or_wrong);
    let us = Unit::Microseconds;
    Ok(vec![
        Row::new(NAME, "servers' CPU of a delivery", us, cpu(0)).beside(
            "NATS",
            cpu(1),
            Goal::AtMost(0.65),
        ),
        Row::new(NAME, "memory of a tail", Unit::Kibibytes, memory(0))
            .held_to(Goal::AtMost(12.0))
            .beside("NATS", memory(1), None),
        Row::new(NAME, "p99 from add to arrival", us, p99(0)).beside("NATS", p99(1), None),
        Row::new(NAME, "client's CPU of a delivery", us, client(0)).beside("NATS", client(1), None),
        Row::new(NAME, "lost or out of order", Unit::Count, failed(0))
            .held_to(Goal::AtMost(0.0))
            .beside("NATS", failed(1), None),
        pace(NAME, rounds.of(0, Sample::pace)).beside("NATS", rounds.of(1, Sample::pace), None),
    ])
}

/// Redis is to see no difference between one tail and many.
pub(super) fn wide(arguments: &Arguments) -> anyhow::Result<Vec<Row>> {
    const NAME: &str = "10,000 tails";
    let rounds = rounds::<2>(arguments, |which| {
        let tails = if which == 0 { WIDE_TAILS } else { 1 };
        let seconds = arguments.seconds.max(WIDE_ENTRIES / WIDE_RATE);
        let rate = WIDE_RATE;
        through_the_proxy(arguments, 0, tails, &Order::Publish { rate, seconds })
    })?;
    let connections = |which| rounds.of(which, |sample| sample.noted[1]);
    let redis = |which| rounds.of(which, |sample| sample.noted[2]);
    let reads = |which| rounds.of(which, |sample| sample.noted[3]);
    let failed = rounds.of(0, lost_or_wrong);
    let p99 = |which| rounds.of(which, |sample| sample.outcome.p99_us);
    let us = Unit::Microseconds;
    Ok(vec![
        Row::new(NAME, "connections of Redis", Unit::Count, connections(0)).beside(
            "one tail",
            connections(1),
            Goal::AtMost(1.0),
        ),
        Row::new(NAME, "Redis's CPU of an entry", us, redis(0)).beside(
            "one tail",
            redis(1),
            AS_ONE,
        ),
        Row::new(NAME, "reads in Redis of an entry", Unit::Count, reads(0)).beside(
            "one tail",
            reads(1),
            AS_ONE,
        ),
        Row::new(
            NAME,
            "servers' CPU of a delivery",
            us,
            rounds.of(0, all_servers_us),
        ),
        Row::new(NAME, "p99 from add to arrival", us, p99(0)).beside("one tail", p99(1), None),
        Row::new(
            NAME,
            "memory of a tail",
            Unit::Kibibytes,
            rounds.of(0, memory),
        ),
        Row::new(NAME, "lost or out of order", Unit::Count, failed).held_to(Goal::AtMost(0.0)),
        pace(NAME, rounds.of(0, Sample::pace)).beside("one tail", rounds.of(1, Sample::pace), None),
    ])
}

/// New servers every time: what memory they give back when tails end says nothing of a tail.
fn through_the_proxy(
    arguments: &Arguments,
    others: usize,
    tails: usize,
    order: &Order,
) -> anyhow::Result<Sample> {
    let redis = Redis::start(arguments.redis())?;
    let proxy = proxy(&redis)?;
    let mut generator = Generator::start(Rival::Streamgate, &proxy.ws_url())?;
    if others > 0 {
        generator.perform(&Order::Tail { tails: others })?;
    }
    let before = resident_kib(proxy.pid())?;
    generator.perform(&Order::Tail { tails })?;
    let (cpu, reads) = (redis.cpu()?, redis.calls("xrange")?);
    let mut sample = measure(&mut generator, order, &[proxy.pid(), redis.pid()?])?;
    let kib = (resident_kib(proxy.pid())? - before) / tails as f64;
    let (cpu, reads) = (redis.cpu()? - cpu, redis.calls("xrange")? - reads);
    let entries = sample.outcome.entries;
    sample.noted = vec![
        kib,
        redis.connections()?,
        cpu / entries * 1e6,
        reads / entries,
    ];
    Ok(sample)
}

fn through_nats(arguments: &Arguments) -> anyhow::Result<Sample> {
    let nats = NatsServer::start()?;
    let mut generator = Generator::start(Rival::Nats, nats.ws_url())?;
    generator.perform(&Order::Tail { tails: OTHER_TAILS })?;
    let before = resident_kib(nats.pid())?;
    generator.perform(&Order::Tail { tails: TAILS })?;
    let mut sample = measure(&mut generator, &publish(arguments), &[nats.pid()])?;
    sample.noted = vec![(resident_kib(nats.pid())? - before) / TAILS as f64];
    Ok(sample)
}

fn publish(arguments: &Arguments) -> Order {
    Order::Publish {
        rate: RATE,
        seconds: arguments.seconds,
    }
}

/// Kibibytes of the server's memory for each connection.
fn memory(sample: &Sample) -> f64 {
    sample.noted[0]
}

fn all_servers_us(sample: &Sample) -> f64 {
    (0..sample.cpu.len())
        .map(|server| sample.cpu_us(server))
        .sum()
}

fn lost_or_wrong(sample: &Sample) -> f64 {
    sample.outcome.lost + sample.outcome.wrong
}
