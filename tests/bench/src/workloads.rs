//! What is measured, and the goals it is held to.
//!
//! Each workload starts servers of its own, so that none meets what another has left in them.

use clap::ValueEnum;

use crate::arguments::Arguments;
use crate::report::{Goal, Row, Unit};

mod adds;
mod fan_out;
mod group;
mod reads;
mod round_trip;
mod waits;

/// Connections of each rival in the workloads with many in flight.
const CONNECTIONS: usize = 8;

/// Below it, the figures of a workload that adds at a rate are of another load.
const PACE: Goal = Goal::AtLeast(0.95);

/// How near a workload came to its rate.
fn pace(name: &'static str, paces: Vec<f64>) -> Row {
    Row::new(name, "rate reached, of the asked", Unit::Count, paces).held_to(PACE)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// Adds, one in flight
    RoundTrip,
    /// Adds, 64 in flight on each of 8 connections
    Adds,
    /// Adds, 8 in flight on each of 8 connections
    ShallowAdds,
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
            Self::Reads => reads::run(arguments),
            Self::FanOut => fan_out::run(arguments),
            Self::WideFanOut => fan_out::wide(arguments),
            Self::Waits => waits::run(arguments),
            Self::Group => group::run(arguments),
        }
    }
}
