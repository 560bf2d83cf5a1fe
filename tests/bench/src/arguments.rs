//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use streamgate_test_support::RedisVersion;

use crate::generator::Rival;
use crate::workloads::Workload;

/// Measures streamgate beside redis-rs, a bare WebSocket echo and NATS, in one run
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) role: Option<Role>,

    /// Rounds of each workload; all rivals take turns in each
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) rounds: usize,

    /// Seconds that each rival works in each round
    #[arg(long, value_name = "S", default_value_t = 2.0)]
    pub(crate) seconds: f64,

    /// Only this workload; may be given more than once
    #[arg(long, value_enum, value_name = "WORKLOAD")]
    only: Vec<Workload>,

    /// Write the figures, and each round's, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Draw the figures as SVG
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,

    /// Use Redis 8.2 (`cargo xtask setup` fetches it) rather than 7.0
    #[arg(long)]
    redis_8: bool,
}

/// What this program is when it has started itself.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// Makes load on the orders that come on standard input
    #[command(hide = true)]
    Generate {
        #[arg(value_enum)]
        rival: Rival,
        url: String,
    },
    /// Sends back what WebSockets send
    #[command(hide = true)]
    Echo,
}

impl Arguments {
    pub(crate) fn redis(&self) -> RedisVersion {
        if self.redis_8 {
            RedisVersion::V8_2
        } else {
            RedisVersion::V7_0
        }
    }

    /// The workloads to run, in the order of the table.
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
    fn without_a_choice_all_workloads_run() {
        let all = Arguments::parse_from(["bench"]);
        assert_eq!(all.chosen(), Workload::value_variants());
        let one = Arguments::parse_from(["bench", "--only", "reads", "--only", "round-trip"]);
        assert_eq!(one.chosen(), [Workload::RoundTrip, Workload::Reads]);
    }
}
