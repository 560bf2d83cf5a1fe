//! What fails, where and when: a function of the seed.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use fastrand::Rng;
use streamgate_test_support::relay::{Cut, Way};

/// What fails. Each place has faults of its own, which never overlap; places know nothing of each
/// other, so faults of several do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The relay that a half of the clients connects to.
    Front(usize),
    /// The relay between a proxy and Redis.
    Back(usize),
    Proxy(usize),
    Redis,
}

/// How it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Connections are cut.
    Cut(Cut),
    /// Connections are cut, and new ones refused for a while.
    Refuse,
    /// Bytes do not pass for a while.
    Stall(Way),
    /// Each byte comes so much later for a while.
    Delay(Way, Duration),
    /// Half of what comes next passes.
    Halve(Way, Cut),
    /// So many bytes pass, and no more.
    CutAfter(Way, u64, Cut),
    /// So many bytes a second pass for a while.
    Slow(Way, NonZeroU32),
    /// Connections are cut, and new ones lead to the other proxy for a while.
    Elsewhere,
    /// SIGKILL, and a start after a while. Meanwhile clients find the other proxy, or none.
    Kill { elsewhere: bool },
    /// Another proxy is started, and this one ended by SIGTERM.
    Drain,
    /// SIGSTOP, and SIGCONT after a while.
    Pause,
}

/// A fault and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Planned {
    /// Since the run began.
    pub(crate) at: Duration,
    /// Of a fault that lasts.
    pub(crate) lasts: Duration,
    pub(crate) fault: Fault,
}

/// What happens at one place, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lane {
    pub(crate) place: Place,
    pub(crate) faults: Vec<Planned>,
}

impl Place {
    pub(crate) const ALL: [Self; 7] = [
        Self::Front(0),
        Self::Front(1),
        Self::Back(0),
        Self::Back(1),
        Self::Proxy(0),
        Self::Proxy(1),
        Self::Redis,
    ];

    /// Milliseconds of calm between two faults, at least and at most: enough that calls succeed in
    /// between, and little enough that faults of different places meet.
    fn calm(self) -> (u64, u64) {
        match self {
            Self::Front(_) => (300, 4_000),
            Self::Back(_) => (500, 5_000),
            Self::Proxy(_) => (2_000, 9_000),
            Self::Redis => (4_000, 15_000),
        }
    }

    /// One of each kind that fails here.
    fn deck(self, rng: &mut Rng) -> Vec<Fault> {
        let mut deck = match self {
            Self::Front(_) | Self::Back(_) => vec![
                Fault::Cut(cut(rng)),
                Fault::Refuse,
                Fault::Stall(way(rng)),
                Fault::Delay(way(rng), Duration::from_millis(rng.u64(5..150))),
                Fault::Halve(way(rng), cut(rng)),
                Fault::Halve(Way::ToClient, cut(rng)),
                Fault::CutAfter(Way::ToClient, 0, cut(rng)),
                Fault::CutAfter(way(rng), rng.u64(1..400), cut(rng)),
                Fault::Slow(way(rng), rate(rng)),
            ],
            Self::Proxy(_) => vec![
                Fault::Kill { elsewhere: true },
                Fault::Kill { elsewhere: false },
                Fault::Drain,
                Fault::Pause,
            ],
            Self::Redis => vec![Fault::Kill { elsewhere: false }, Fault::Pause],
        };
        if matches!(self, Self::Front(_)) {
            deck.push(Fault::Elsewhere);
        }
        rng.shuffle(&mut deck);
        deck
    }
}

impl Fault {
    /// The kind, as it is counted.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Cut(Cut::Close) => "close",
            Self::Cut(Cut::Reset) => "reset",
            Self::Refuse => "refuse",
            Self::Stall(_) => "stall",
            Self::Delay(..) => "delay",
            Self::Halve(..) => "halve",
            Self::CutAfter(_, 0, _) => "lose answer",
            Self::CutAfter(..) => "cut after bytes",
            Self::Slow(..) => "slow",
            Self::Elsewhere => "other proxy",
            Self::Kill { .. } => "SIGKILL",
            Self::Drain => "SIGTERM",
            Self::Pause => "SIGSTOP",
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Front(_) => f.write_str("clients to proxy"),
            Self::Back(_) => f.write_str("proxy to Redis"),
            Self::Proxy(_) => f.write_str("proxy"),
            Self::Redis => f.write_str("Redis"),
        }
    }
}

/// How close together faults come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Most calls succeed in between.
    Usual,
    /// Little does, and everything is under way again and again when the next one comes.
    Storm,
}

impl Pace {
    /// Through how much all times are divided.
    fn haste(self) -> u64 {
        match self {
            Self::Usual => 1,
            Self::Storm => 8,
        }
    }
}

/// The faults of all places, for a run of this length. The same seed and pace give the same; none
/// lasts beyond the end.
pub(crate) fn schedule(seed: u64, pace: Pace, length: Duration) -> Vec<Lane> {
    let mut seeds = Rng::with_seed(seed);
    let lane = |place: Place| Lane {
        place,
        faults: lane(place, pace, &mut Rng::with_seed(seeds.u64(..)), length),
    };
    Place::ALL.map(lane).into()
}

fn lane(place: Place, pace: Pace, rng: &mut Rng, length: Duration) -> Vec<Planned> {
    let (least, most) = place.calm();
    let (mut faults, mut deck) = (Vec::new(), Vec::new());
    let mut at = Duration::ZERO;
    loop {
        at += Duration::from_millis(rng.u64(least..most) / pace.haste());
        // Every kind has its turn before one comes again.
        if deck.is_empty() {
            deck = place.deck(rng);
        }
        let Some(fault) = deck.pop() else {
            return faults;
        };
        let lasts = Duration::from_millis(lasts_ms(rng) / pace.haste());
        if at + lasts >= length {
            return faults;
        }
        faults.push(Planned { at, lasts, fault });
        at += lasts;
    }
}

/// How long a fault lasts: mostly short, so that nobody notices before it is over; now and then longer than Redis's silence
/// is borne (5 s), and than heartbeats are.
fn lasts_ms(rng: &mut Rng) -> u64 {
    match rng.u8(0..8) {
        0 => rng.u64(5_500..7_000),
        1..3 => rng.u64(1_000..3_000),
        _ => rng.u64(50..800),
    }
}

fn way(rng: &mut Rng) -> Way {
    [Way::ToTarget, Way::ToClient, Way::Both][rng.usize(..3)]
}

fn cut(rng: &mut Rng) -> Cut {
    [Cut::Close, Cut::Reset][rng.usize(..2)]
}

fn rate(rng: &mut Rng) -> NonZeroU32 {
    // At least one, by the range.
    NonZeroU32::MIN.saturating_add(rng.u32(500..20_000))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::arguments::{SHORT, SHORT_SEEDS};

    const LENGTH: Duration = Duration::from_secs(300);

    #[test]
    fn the_same_seed_gives_the_same_schedule() {
        assert_eq!(
            schedule(7, Pace::Usual, LENGTH),
            schedule(7, Pace::Usual, LENGTH)
        );
        assert_ne!(
            schedule(7, Pace::Usual, LENGTH),
            schedule(8, Pace::Usual, LENGTH)
        );
        let count = |pace| -> usize {
            let lanes = schedule(7, pace, LENGTH);
            lanes.iter().map(|lane| lane.faults.len()).sum()
        };
        assert!(count(Pace::Storm) > 6 * count(Pace::Usual));
    }

    #[test]
    fn a_longer_run_begins_as_a_shorter_one_does() {
        let (short, long) = (
            schedule(7, Pace::Usual, LENGTH / 2),
            schedule(7, Pace::Usual, LENGTH),
        );
        for (short, long) in short.iter().zip(&long) {
            assert!(long.faults.starts_with(&short.faults));
        }
    }

    /// By kinds of places and of faults.
    fn kinds(lanes: &[Lane]) -> HashSet<(String, &'static str)> {
        let of_lane = |lane: &Lane| {
            let place = lane.place.to_string();
            let kinds = lane.faults.iter().map(|planned| planned.fault.kind());
            kinds.map(|kind| (place.clone(), kind)).collect::<Vec<_>>()
        };
        lanes.iter().flat_map(of_lane).collect()
    }

    #[test]
    fn the_short_runs_have_every_kind_of_fault() {
        let short: HashSet<_> = SHORT_SEEDS
            .iter()
            .flat_map(|seed| kinds(&schedule(*seed, Pace::Usual, SHORT)))
            .collect();
        let all = kinds(&schedule(7, Pace::Usual, 10 * LENGTH));
        let missing: Vec<_> = all.difference(&short).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn every_place_fails_in_each_of_its_ways_within_the_run() {
        for lane in schedule(7, Pace::Usual, LENGTH) {
            let mut rng = Rng::with_seed(0);
            let ways = |faults: Vec<Fault>| -> HashSet<_> {
                faults.iter().map(std::mem::discriminant).collect()
            };
            let deck = ways(lane.place.deck(&mut rng));
            let planned = ways(lane.faults.iter().map(|planned| planned.fault).collect());
            assert_eq!(planned, deck, "{}", lane.place);
            let mut end = Duration::ZERO;
            for planned in lane.faults {
                assert!(planned.at >= end, "two at once at {}", lane.place);
                end = planned.at + planned.lasts;
            }
            assert!(end < LENGTH);
        }
    }
}
