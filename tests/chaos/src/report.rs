//! The report of a run.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::checker::{Violation, ViolationKind, check};
use crate::counts::{Adds, Group, Tails};
use crate::journal::History;
use crate::run::Options;
use crate::schedule::Intensity;

/// Most violations that are printed; more would tell nothing new.
const MAX_SHOWN: usize = 40;

/// Counts of what was injected.
pub(crate) struct FaultCounts {
    /// By kinds of site and of fault.
    pub(crate) kinds: BTreeMap<(String, &'static str), u64>,
    /// Connections that were made half-open.
    pub(crate) half_open: usize,
    /// Dedup windows that were evicted.
    pub(crate) evicted: usize,
    /// Tokens that clients have had.
    pub(crate) tokens: usize,
}

/// Counts, and the violations that the checker found.
pub(crate) struct Report {
    seed: u64,
    length: Duration,
    intensity: Intensity,
    /// From the end of all faults to the end of the last reader.
    settling: Duration,
    faults: FaultCounts,
    adds: Adds,
    tails: Tails,
    group: Group,
    violations: Vec<Violation>,
}

impl Report {
    pub(crate) fn new(
        options: &Options,
        faults: FaultCounts,
        settling: Duration,
        history: &History,
    ) -> Self {
        Self {
            seed: options.seed,
            length: options.length,
            intensity: options.intensity,
            settling,
            faults,
            adds: Adds::count(history),
            tails: Tails::count(history),
            group: Group::count(history),
            violations: check(history),
        }
    }

    /// Whether every guarantee held.
    pub(crate) fn passed(&self) -> bool {
        self.violations.is_empty()
    }

    fn count(&self, kind: ViolationKind) -> usize {
        let of_kind = |violation: &&Violation| violation.kind == kind;
        self.violations.iter().filter(of_kind).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.length.as_secs_f64();
        let intensity = match self.intensity {
            Intensity::Normal => "",
            Intensity::Storm => ", storm",
        };
        writeln!(f, "seed {}, {seconds:.0} s of faults{intensity}", self.seed)?;
        let mut site = "";
        for ((at, kind), count) in &self.faults.kinds {
            if at == site {
                write!(f, ", {kind} {count}")?;
            } else {
                let line = if site.is_empty() { "" } else { "\n" };
                write!(f, "{line}  {at:<18} {kind} {count}")?;
            }
            site = at;
        }
        let all: u64 = self.faults.kinds.values().sum();
        let settling = self.settling.as_secs_f64();
        writeln!(
            f,
            "\n  faults             {all}; settled {settling:.1} s after the last"
        )?;
        let FaultCounts {
            half_open,
            evicted,
            tokens,
            ..
        } = self.faults;
        writeln!(
            f,
            "                     {half_open} connections half-open, {evicted} windows evicted, \
             {tokens} tokens used"
        )?;
        write!(f, "{}{}{}", self.adds, self.tails, self.group)?;
        writeln!(
            f,
            "  violations         {} lost, {} duplicated, {} out of order, {} wrong, {} stuck",
            self.count(ViolationKind::Lost),
            self.count(ViolationKind::Duplicated),
            self.count(ViolationKind::OutOfOrder),
            self.count(ViolationKind::Wrong),
            self.count(ViolationKind::Stuck),
        )?;
        for violation in self.violations.iter().take(MAX_SHOWN) {
            writeln!(f, "  {:?}: {}", violation.kind, violation.what)?;
        }
        let more = self.violations.len().saturating_sub(MAX_SHOWN);
        if more > 0 {
            writeln!(f, "  and {more} more violations")?;
        }
        Ok(())
    }
}
