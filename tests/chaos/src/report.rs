//! What a run says at its end.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::checker::{Broken, Objection, check};
use crate::journal::{Given, History, Outcome, Seen};
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

#[derive(Default)]
struct Adds {
    acknowledged: usize,
    unknown: usize,
    refused: usize,
}

#[derive(Default)]
struct Tails {
    entries: usize,
    gaps: usize,
    resumed: usize,
}

#[derive(Default)]
struct Group {
    entries: usize,
    acknowledged: usize,
    pending: usize,
    dead: usize,
    resumed: usize,
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

impl Adds {
    fn count(history: &History) -> Self {
        let mut counts = Self::default();
        for add in history.writers.iter().flat_map(|writer| &writer.adds) {
            match add.outcome {
                Outcome::Done(_) => counts.acknowledged += 1,
                Outcome::Unknown | Outcome::Hung => counts.unknown += 1,
                Outcome::Refused(_) => counts.refused += 1,
            }
        }
        counts
    }
}

impl Tails {
    fn count(history: &History) -> Self {
        let mut counts = Self::default();
        for seen in history.tails.iter().flat_map(|tail| &tail.seen) {
            match seen {
                Seen::Entry(..) => counts.entries += 1,
                Seen::Gap { .. } => counts.gaps += 1,
                Seen::Ended(_) => counts.resumed += 1,
                Seen::Opened(_) | Seen::Skipped(_) => {}
            }
        }
        counts
    }
}

impl Group {
    fn count(history: &History) -> Self {
        let mut counts = Self::default();
        for stream in &history.streams {
            if let Some(group) = &stream.group {
                counts.entries += stream.entries.len();
                counts.pending += group.pending.len();
                counts.dead += group.dead.len();
            }
        }
        let given = history
            .consumers
            .iter()
            .flat_map(|consumer| &consumer.given);
        for given in given {
            match given {
                Given::Acked(_, Outcome::Done(())) => counts.acknowledged += 1,
                Given::Ended(_) => counts.resumed += 1,
                _ => {}
            }
        }
        counts
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
        let Adds {
            acknowledged,
            unknown,
            refused,
        } = self.adds;
        writeln!(
            f,
            "  adds               {acknowledged} acknowledged, {unknown} unknown, {refused} refused"
        )?;
        let Tails {
            entries,
            gaps,
            resumed,
        } = self.tails;
        writeln!(
            f,
            "  tails              {entries} entries, {gaps} gaps, {resumed} times resumed"
        )?;
        let Group {
            entries,
            acknowledged,
            pending,
            dead,
            resumed,
        } = self.group;
        writeln!(
            f,
            "  group              {entries} entries, {acknowledged} acknowledgements, \
             {pending} pending, {dead} dead letters, {resumed} times resumed"
        )?;
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
