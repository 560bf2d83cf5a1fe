//! How much there was of everything, and how it ended.

use std::collections::BTreeMap;
use std::fmt;

use crate::checker::{Excuse, again};
use crate::journal::{Given, History, Outcome, Seen};

/// How often each code, or reason, was told.
type Reasons = BTreeMap<String, usize>;

#[derive(Default)]
pub(crate) struct Adds {
    acknowledged: usize,
    /// Acknowledged only after a second, so that a fault came in between.
    late: usize,
    unknown: Reasons,
    refused: Reasons,
}

#[derive(Default)]
pub(crate) struct Tails {
    entries: usize,
    gaps: usize,
    ends: Ends,
}

#[derive(Default)]
pub(crate) struct Group {
    entries: usize,
    acknowledged: usize,
    pending: usize,
    dead: usize,
    taken_over: usize,
    again: usize,
    unseen: usize,
    unacknowledged: Reasons,
    ends: Ends,
}

/// Errors of who reads.
#[derive(Default)]
struct Ends {
    subscriptions: Reasons,
    calls: Reasons,
}

/// An add of that many milliseconds is late.
const LATE_MS: u32 = 1_000;

impl Adds {
    pub(crate) fn count(history: &History) -> Self {
        let mut counts = Self::default();
        for add in history.writers.iter().flat_map(|writer| &writer.adds) {
            match &add.outcome {
                Outcome::Done(_) => {
                    counts.acknowledged += 1;
                    counts.late += usize::from(add.ended - add.began >= LATE_MS);
                }
                Outcome::Unknown(why) => note(&mut counts.unknown, why),
                Outcome::Refused(code) => note(&mut counts.refused, code),
                Outcome::Hung => note(&mut counts.unknown, "never ended"),
            }
        }
        counts
    }
}

impl Tails {
    pub(crate) fn count(history: &History) -> Self {
        let mut counts = Self::default();
        for tail in &history.tails {
            for seen in &tail.seen {
                match seen {
                    Seen::Entry(..) => counts.entries += 1,
                    Seen::Gap { .. } => counts.gaps += 1,
                    Seen::Ended(code) => counts.ends.note(tail.subscribes, code),
                    Seen::Opened(_) | Seen::Skipped(_) => {}
                }
            }
        }
        counts
    }
}

impl Group {
    pub(crate) fn count(history: &History) -> Self {
        let mut counts = Self::default();
        for stream in &history.streams {
            if let Some(group) = &stream.group {
                counts.entries += stream.entries.len();
                counts.pending += group.pending.len();
                counts.dead += group.dead.len();
            }
        }
        let holders = history.watch.holders.values();
        counts.taken_over = holders.map(|holders| holders.len() - 1).sum();
        for consumer in &history.consumers {
            let again = again(consumer, &history.watch);
            counts.again += again.len();
            let unseen = again
                .iter()
                .filter(|again| again.excuse == Some(Excuse::Unseen));
            counts.unseen += unseen.count();
            for given in &consumer.given {
                match given {
                    Given::Acked(_, Outcome::Done(())) => counts.acknowledged += 1,
                    Given::Acked(_, Outcome::Refused(code)) => {
                        note(&mut counts.unacknowledged, code);
                    }
                    Given::Acked(..) => note(&mut counts.unacknowledged, "UNKNOWN_OUTCOME"),
                    Given::Ended(code, _) => counts.ends.note(consumer.subscribes, code),
                    _ => {}
                }
            }
        }
        counts
    }
}

impl Ends {
    fn note(&mut self, subscribes: bool, code: &str) {
        let reasons = if subscribes {
            &mut self.subscriptions
        } else {
            &mut self.calls
        };
        note(reasons, code);
    }
}

fn note(reasons: &mut Reasons, reason: &str) {
    *reasons.entry(reason.to_owned()).or_default() += 1;
}

/// How many, and how many of each.
struct Told<'a>(&'a Reasons);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: usize = self.0.values().sum();
        write!(f, "{all}")?;
        for (place, (reason, count)) in self.0.iter().enumerate() {
            let before = if place == 0 { " (" } else { ", " };
            write!(f, "{before}{reason} {count}")?;
        }
        f.write_str(if all > 0 { ")" } else { "" })
    }
}

impl fmt::Display for Adds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unknown, refused) = (Told(&self.unknown), Told(&self.refused));
        writeln!(
            f,
            "  adds               {} acknowledged, {} of them after more than a second",
            self.acknowledged, self.late
        )?;
        writeln!(
            f,
            "                     {unknown} unknown, {refused} refused"
        )
    }
}

impl fmt::Display for Tails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (entries, gaps) = (self.entries, self.gaps);
        writeln!(f, "  tails              {entries} entries, {gaps} gaps")?;
        self.ends.fmt(f)
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "  groups             {} entries, {} acknowledgements, {} pending, {} dead letters",
            self.entries, self.acknowledged, self.pending, self.dead
        )?;
        writeln!(
            f,
            "                     {} taken over, {} given again ({} of them unwatched)",
            self.taken_over, self.again, self.unseen
        )?;
        let unacknowledged = Told(&self.unacknowledged);
        writeln!(
            f,
            "                     {unacknowledged} acknowledgements failed"
        )?;
        self.ends.fmt(f)
    }
}

impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (subscriptions, calls) = (Told(&self.subscriptions), Told(&self.calls));
        writeln!(
            f,
            "                     {subscriptions} subscriptions ended, {calls} reads failed"
        )
    }
}
