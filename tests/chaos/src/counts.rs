//! Counts of what happened in a run, for the report.

use std::collections::BTreeMap;
use std::fmt;

use crate::checker::{Excuse, is_forgotten, redelivered};
use crate::journal::{ConsumerRecord, History, Outcome, TailRecord};
use crate::pending_history::Holding;
use crate::scenario::HUGE_PADDING;

/// Counts by error code or reason.
type Reasons = BTreeMap<String, usize>;

#[derive(Default)]
pub(crate) struct Adds {
    acknowledged: usize,
    /// Written to Redis by other programs: large and huge ones.
    foreign: [usize; 2],
    /// Acknowledged after more than a second, so that a fault came in between.
    late: usize,
    unknown: Reasons,
    refused: Reasons,
}

#[derive(Default)]
pub(crate) struct Tails {
    entries: usize,
    gaps: usize,
    too_large: usize,
    ends: Ends,
}

#[derive(Default)]
pub(crate) struct Group {
    entries: usize,
    acknowledged: usize,
    pending: usize,
    dead: usize,
    reclaimed: usize,
    redelivered: usize,
    unobserved: usize,
    too_large: usize,
    most_deliveries: u64,
    unacknowledged: Reasons,
    ends: Ends,
}

/// Errors of readers.
#[derive(Default)]
struct Ends {
    subscriptions: Reasons,
    calls: Reasons,
}

/// An add that takes this many ms is late.
const LATE_MS: u32 = 1_000;

impl Adds {
    pub(crate) fn count(history: &History) -> Self {
        let mut counts = Self::default();
        for (writer, add) in history
            .writers
            .iter()
            .flat_map(|writer| writer.adds.iter().map(move |add| (writer, add)))
        {
            match &add.outcome {
                Outcome::Done(_) if let Some(padding) = writer.foreign_padding => {
                    counts.foreign[usize::from(padding == HUGE_PADDING)] += 1;
                }
                Outcome::Done(_) => {
                    counts.acknowledged += 1;
                    counts.late += usize::from(add.ended - add.started >= LATE_MS);
                }
                Outcome::Unknown(why) if is_forgotten(why) => {
                    count(&mut counts.unknown, "forgotten");
                }
                Outcome::Unknown(why) => count(&mut counts.unknown, why),
                Outcome::Refused(code) => count(&mut counts.refused, code),
                Outcome::Hung => count(&mut counts.unknown, "hung"),
            }
        }
        counts
    }
}

impl Tails {
    pub(crate) fn count(history: &History) -> Self {
        let mut counts = Self::default();
        for tail in &history.tails {
            for seen in &tail.records {
                match seen {
                    TailRecord::Entry(..) => counts.entries += 1,
                    TailRecord::Gap { .. } => counts.gaps += 1,
                    TailRecord::TooLarge(_) => counts.too_large += 1,
                    TailRecord::Ended(code) => counts.ends.count(tail.subscribes, code),
                    TailRecord::Opened(_) | TailRecord::Skipped(_) => {}
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
        let holdings = || history.pending_history.owners.values();
        let is_taken = |pair: &&[Holding]| pair[0].owner != pair[1].owner;
        counts.reclaimed = holdings()
            .map(|holdings| holdings.windows(2).filter(is_taken).count())
            .sum();
        counts.most_deliveries = holdings()
            .flatten()
            .map(|holding| holding.deliveries)
            .max()
            .unwrap_or_default();
        for consumer in &history.consumers {
            let again = redelivered(consumer, &history.pending_history);
            counts.redelivered += again.len();
            let unobserved = again
                .iter()
                .filter(|again| again.excuse == Some(Excuse::Unobserved));
            counts.unobserved += unobserved.count();
            for given in &consumer.records {
                match given {
                    ConsumerRecord::Acked(_, Outcome::Done(())) => counts.acknowledged += 1,
                    ConsumerRecord::TooLarge(_) => counts.too_large += 1,
                    ConsumerRecord::Acked(_, Outcome::Refused(code)) => {
                        count(&mut counts.unacknowledged, code);
                    }
                    ConsumerRecord::Acked(..) => {
                        count(&mut counts.unacknowledged, "UNKNOWN_OUTCOME")
                    }
                    ConsumerRecord::Ended(code, _) => counts.ends.count(consumer.subscribes, code),
                    _ => {}
                }
            }
        }
        counts
    }
}

impl Ends {
    fn count(&mut self, subscribes: bool, code: &str) {
        let reasons = if subscribes {
            &mut self.subscriptions
        } else {
            &mut self.calls
        };
        count(reasons, code);
    }
}

fn count(reasons: &mut Reasons, reason: &str) {
    *reasons.entry(reason.to_owned()).or_default() += 1;
}

/// Displays the total, and the count of each reason.
struct ReasonCounts<'a>(&'a Reasons);

impl fmt::Display for ReasonCounts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: usize = self.0.values().sum();
        write!(f, "{all}")?;
        for (index, (reason, count)) in self.0.iter().enumerate() {
            let before = if index == 0 { " (" } else { ", " };
            write!(f, "{before}{reason} {count}")?;
        }
        f.write_str(if all > 0 { ")" } else { "" })
    }
}

impl fmt::Display for Adds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unknown, refused) = (ReasonCounts(&self.unknown), ReasonCounts(&self.refused));
        writeln!(
            f,
            "  adds               {} acknowledged, {} of them after more than 1 s",
            self.acknowledged, self.late
        )?;
        writeln!(
            f,
            "                     {unknown} with unknown outcome, {refused} refused"
        )?;
        let [large, huge] = self.foreign;
        writeln!(
            f,
            "                     {large} large and {huge} huge ones by other programs"
        )
    }
}

impl fmt::Display for Tails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (entries, gaps, too_large) = (self.entries, self.gaps, self.too_large);
        writeln!(
            f,
            "  tails              {entries} entries, {gaps} gaps, {too_large} skipped"
        )?;
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
            "                     {} reclaimed, {} redelivered ({} of them unobserved)",
            self.reclaimed, self.redelivered, self.unobserved
        )?;
        writeln!(
            f,
            "                     {} reads met an entry that is too large; at most {} deliveries",
            self.too_large, self.most_deliveries
        )?;
        let unacknowledged = ReasonCounts(&self.unacknowledged);
        writeln!(
            f,
            "                     {unacknowledged} acknowledgements failed"
        )?;
        self.ends.fmt(f)
    }
}

impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (subscriptions, calls) = (ReasonCounts(&self.subscriptions), ReasonCounts(&self.calls));
        writeln!(
            f,
            "                     {subscriptions} subscriptions ended, {calls} reads failed"
        )
    }
}
