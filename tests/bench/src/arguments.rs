//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use streamgate_test_support::RedisVersion;

use crate::generator::Target;
use crate::workloads::Workload;

/// Measure streamgate, redis-rs, a WebSocket echo and NATS side by side in one run
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) role: Option<Role>,

    /// Rounds of each workload; the compared systems take turns in each round
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) rounds: usize,

    /// Seconds of load on each system in each round
    #[arg(long, value_name = "S", default_value_t = 2.0)]
    pub(crate) seconds: f64,

    /// Run only this workload; can be repeated
    #[arg(long, value_enum, value_name = "WORKLOAD")]
    only: Vec<Workload>,

    /// Write the figures of every round as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Draw the figures as SVG into this file
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,

    /// Use Redis 8.2 instead of 7.0; `cargo xtask setup` installs both
    #[arg(long)]
    redis_8: bool,
}

/// The role of this program when it has started itself.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// Make load as commanded on standard input
    #[command(hide = true)]
    Generate {
        #[arg(value_enum)]
        target: Target,
        url: String,
    },
    /// Echo WebSocket messages
    #[command(hide = true)]
    Echo,
    /// Forward TCP connections
    #[command(hide = true)]
    Relay { target: SocketAddr },
}

impl Arguments {
    pub(crate) fn redis(&self) -> RedisVersion {
        if self.redis_8 {
            RedisVersion::V8_2
        } else {
            RedisVersion::V7_0
        }
    }

    /// Returns the workloads to run, in the order of the table.
    pub(crate) fn chosen(&self) -> Vec<Workload> {
        let all = Workload::value_variants();
        let wanted = |workload: &&Workload| self.only.is_empty() || self.only.contains(workload);
        all.iter().filter(wanted).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn all_workloads_run_unless_some_are_chosen() {
        let all = Arguments::parse_from(["bench"]);
        assert_eq!(all.chosen(), Workload::value_variants());
        let one = Arguments::parse_from(["bench", "--only", "reads", "--only", "round-trip"]);
        assert_eq!(one.chosen(), [Workload::RoundTrip, Workload::Reads]);
    }
}
