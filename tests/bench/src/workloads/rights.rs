//! What a token and rights cost an add: from bare clients, which leave the server more of the
//! processors that all share, at a server with a policy and at one without.

use super::CONNECTIONS;
use crate::arguments::Arguments;
use crate::generator::{Command, Target};
use crate::harness::{Generator, Redis, measure, proxy, proxy_with_rights, rounds};
use crate::report::{Goal, Row, Unit};

const NAME: &str = "adds with a token and rights";

/// In flight on each connection.
const DEPTH: usize = 64;

/// The part of an add's processor time that rights may take.
const GOAL: Goal = Goal::AtMost(1.02);

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Vec<Row>> {
    let redis = Redis::start(arguments.redis())?;
    let open = proxy(&redis)?;
    let (with_rights, _settings) = proxy_with_rights(&redis)?;
    let mut generators = [
        Generator::start(Target::StreamgateBare, &open.ws_url())?,
        Generator::start(Target::StreamgateToken, &with_rights.ws_url())?,
    ];
    let servers = [open.pid(), with_rights.pid()];
    let command = Command::Add {
        connections: CONNECTIONS,
        depth: DEPTH,
        seconds: arguments.seconds,
    };
    let rounds = rounds::<2>(arguments, |which| {
        measure(&mut generators[which], &command, &[servers[which]])
    })?;
    let rate = |which| rounds.of(which, crate::harness::Sample::rate);
    let cpu = |which| rounds.of(which, |sample| sample.cpu_us(0));
    let (us, per_second) = (Unit::Microseconds, Unit::PerSecond);
    Ok(vec![
        Row::new(NAME, "server CPU per add", us, cpu(1)).compared_with(
            "without",
            cpu(0),
            Some(GOAL),
        ),
        Row::new(NAME, "adds per second", per_second, rate(1)).compared_with(
            "without",
            rate(0),
            None,
        ),
    ])
}
