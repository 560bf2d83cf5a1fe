//! The workloads, and their goals.
//!
//! Each workload starts servers of its own, so that none meets the leftovers of another.

use clap::ValueEnum;

use crate::arguments::Arguments;
use crate::report::{Goal, Row, Unit};

mod adds;
mod fan_out;
mod group;
mod reads;
mod rights;
mod round_trip;
mod waits;

/// Connections of each generator in workloads with many calls in flight.
const CONNECTIONS: usize = 8;

/// If a workload reaches less of its rate, its figures are of another load.
const RATE_GOAL: Goal = Goal::AtLeast(0.95);

/// Returns the row that says how much of its rate a workload reached.
fn rate_row(name: &'static str, shares: Vec<f64>) -> Row {
    Row::new(name, "share of the rate reached", Unit::Count, shares).with_goal(RATE_GOAL)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// Adds, one in flight
    RoundTrip,
    /// Adds, 64 in flight on each of 8 connections
    Adds,
    /// Adds, 8 in flight on each of 8 connections
    ShallowAdds,
    /// Adds with a token and rights, and without
    Rights,
    /// Reads of 100 entries
    Reads,
    /// One stream to 1,000 tails
    FanOut,
    /// One stream to 10,000 tails, and to one
    WideFanOut,
    /// 10,000 waits on 10,000 streams, and one
    Waits,
    /// 1,000 consumers of one group
    Group,
}

impl Workload {
    pub(crate) fn run(self, arguments: &Arguments) -> anyhow::Result<Vec<Row>> {
        match self {
            Self::RoundTrip => round_trip::run(arguments),
            Self::Adds => adds::deep(arguments),
            Self::ShallowAdds => adds::shallow(arguments),
            Self::Rights => rights::run(arguments),
            Self::Reads => reads::run(arguments),
            Self::FanOut => fan_out::run(arguments),
            Self::WideFanOut => fan_out::wide(arguments),
            Self::Waits => waits::run(arguments),
            Self::Group => group::run(arguments),
        }
    }
}
