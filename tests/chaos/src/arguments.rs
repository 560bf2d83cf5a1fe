//! The command line.

use std::time::Duration;

use clap::Parser;
use streamgate_test_support::RedisVersion;

use crate::run::Options;
use crate::schedule::Intensity;

/// Inject random faults, and check that no entry was lost or duplicated
#[derive(Debug, Parser)]
#[command(name = "cargo xtask chaos")]
pub(crate) struct Arguments {
    /// Minutes of faults; the end of a run takes some seconds more
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = minutes)]
    minutes: f64,

    /// Seed of the schedule; random by default. The same seed and options give the same schedule.
    /// With an odd seed, Redis may evict what it remembers of adds; with one that four divides,
    /// clients have tokens, which end and are revoked. Can be repeated, for one run each
    #[arg(long, value_name = "S")]
    seed: Vec<u64>,

    /// Make the two short runs of `cargo xtask test`, which contain every kind of fault
    #[arg(long, conflicts_with_all = ["minutes", "seed", "storm"])]
    short: bool,

    /// Make faults eight times as frequent, and as much shorter
    #[arg(long)]
    storm: bool,

    /// Use Redis 8.2 instead of 7.0; `cargo xtask setup` installs both
    #[arg(long)]
    redis_8: bool,

    /// Print each fault when it begins
    #[arg(long)]
    verbose: bool,
}

/// Seeds of the short runs: with a Redis that evicts nothing and clients with tokens, and with one
/// that may evict and clients without.
pub(crate) const SHORT_SEEDS: [u64; 2] = [8, 59];

/// Length of a short run. Both take about a minute in all.
pub(crate) const SHORT: Duration = Duration::from_secs(18);

/// Longest run: the whole history is held in memory.
const MAX_MINUTES: f64 = 600.0;

impl Arguments {
    /// Returns the options of each run.
    pub(crate) fn runs(&self) -> Vec<Options> {
        let mut length = Duration::from_secs_f64(self.minutes * 60.0);
        let mut seeds = self.seed.clone();
        if self.short {
            (seeds, length) = (SHORT_SEEDS.into(), SHORT);
        } else if seeds.is_empty() {
            seeds.push(fastrand::u64(..1_000_000));
        }
        let run = |seed| Options {
            seed,
            length,
            intensity: if self.storm {
                Intensity::Storm
            } else {
                Intensity::Normal
            },
            redis: if self.redis_8 {
                RedisVersion::V8_2
            } else {
                RedisVersion::V7_0
            },
            verbose: self.verbose,
        };
        seeds.into_iter().map(run).collect()
    }
}

fn minutes(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(minutes) if minutes > 0.0 && minutes <= MAX_MINUTES => Ok(minutes),
        _ => Err(format!(
            "not a number of minutes above 0 and up to {MAX_MINUTES}"
        )),
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
    fn each_seed_is_a_run() {
        let arguments = ["chaos", "--minutes", "0.5", "--seed", "3", "--seed", "4"];
        let runs = Arguments::parse_from(arguments).runs();
        let seeds: Vec<_> = runs.iter().map(|run| run.seed).collect();
        assert_eq!(seeds, [3, 4]);
        assert_eq!(runs[0].length, Duration::from_secs(30));
        assert_eq!(Arguments::parse_from(["chaos"]).runs().len(), 1);
        let short = Arguments::parse_from(["chaos", "--short"]).runs();
        assert_eq!(short.len(), SHORT_SEEDS.len());
        for wrong in ["0", "-1", "601", "NaN", "x"] {
            let arguments = ["chaos", &format!("--minutes={wrong}")];
            assert!(Arguments::try_parse_from(arguments).is_err(), "{wrong}");
        }
    }
}
