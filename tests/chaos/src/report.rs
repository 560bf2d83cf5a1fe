//! What a run says at its end.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::checker::{Broken, Objection, check};
use crate::counts::{Adds, Group, Tails};
use crate::journal::History;
use crate::run::Options;
use crate::schedule::Pace;

/// Objections that are shown; more of the same tell nothing new.
const MAX_SHOWN: usize = 40;

/// Counts, and what the checker objects to.
pub(crate) struct Report {
    seed: u64,
    length: Duration,
    pace: Pace,
    /// From the end of all faults to the end of the last who read on.
    settling: Duration,
    faults: BTreeMap<(String, &'static str), u64>,
    adds: Adds,
    tails: Tails,
    group: Group,
    objections: Vec<Objection>,
}

impl Report {
    pub(crate) fn new(
        options: &Options,
        faults: BTreeMap<(String, &'static str), u64>,
        settling: Duration,
        history: &History,
    ) -> Self {
        Self {
            seed: options.seed,
            length: options.length,
            pace: options.pace,
            settling,
            faults,
            adds: Adds::count(history),
            tails: Tails::count(history),
            group: Group::count(history),
            objections: check(history),
        }
    }

    /// Whether every promise was kept.
    pub(crate) fn held(&self) -> bool {
        self.objections.is_empty()
    }

    fn broken(&self, broken: Broken) -> usize {
        let of_kind = |objection: &&Objection| objection.broken == broken;
        self.objections.iter().filter(of_kind).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.length.as_secs_f64();
        let pace = match self.pace {
            Pace::Usual => "",
            Pace::Storm => ", a storm",
        };
        writeln!(f, "seed {}, {seconds:.0} s of faults{pace}", self.seed)?;
        let mut place = "";
        for ((at, kind), count) in &self.faults {
            if at == place {
                write!(f, ", {kind} {count}")?;
            } else {
                let line = if place.is_empty() { "" } else { "\n" };
                write!(f, "{line}  {at:<18} {kind} {count}")?;
            }
            place = at;
        }
        let all: u64 = self.faults.values().sum();
        let settling = self.settling.as_secs_f64();
        writeln!(
            f,
            "\n  faults             {all}, and {settling:.1} s until all had settled"
        )?;
        write!(f, "{}{}{}", self.adds, self.tails, self.group)?;
        writeln!(
            f,
            "  broken promises    {} losses, {} doubles, {} out of order, {} untrue, {} stuck",
            self.broken(Broken::Lost),
            self.broken(Broken::Doubled),
            self.broken(Broken::Disordered),
            self.broken(Broken::Untrue),
            self.broken(Broken::Stuck),
        )?;
        for objection in self.objections.iter().take(MAX_SHOWN) {
            writeln!(f, "  {:?}: {}", objection.broken, objection.what)?;
        }
        let more = self.objections.len().saturating_sub(MAX_SHOWN);
        if more > 0 {
            writeln!(f, "  and {more} more")?;
        }
        Ok(())
    }
}
