//! The schedule of faults: which comes where and when, as a function of the seed.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use fastrand::Rng;
use streamgate_test_support::relay::{Cut, Direction};

use crate::tokens;

/// A part of the deployment that can fail. The faults of one site never overlap; those of different
/// sites do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultSite {
    /// The relay that half of the clients connect to.
    ClientRelay(usize),
    /// The relay between a proxy and Redis.
    RedisRelay(usize),
    Proxy(usize),
    Redis,
    /// What Redis remembers of adds, where it may evict that.
    DedupWindows,
    /// The tokens of the clients, where they have some.
    Tokens,
}

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Connections are cut.
    Cut(Cut),
    /// Connections are cut, and new ones refused for a while.
    Refuse,
    /// No byte passes for a while.
    Stall(Direction),
    /// Each byte arrives this much later for a while.
    Delay(Direction, Duration),
    /// Half of the next bytes pass, then the connection is cut.
    CutHalfway(Direction, Cut),
    /// This many bytes pass, then the connection is cut.
    CutAfter(Direction, u64, Cut),
    /// This many bytes per second pass for a while.
    Slow(Direction, NonZeroU32),
    /// Connections are cut, and new ones lead to the other proxy for a while. If they are
    /// half-open, the first proxy still believes in them meanwhile.
    OtherProxy(Cut),
    /// SIGKILL, and a restart after a while. Meanwhile clients reach the other proxy, or none.
    Kill { to_other_proxy: bool },
    /// A new proxy starts, and this one is ended by SIGTERM.
    Drain,
    /// SIGSTOP, and SIGCONT after a while.
    Pause,
    /// All dedup windows are evicted.
    Evict,
    /// The tokens of one client are revoked that were issued before. The number chooses it.
    RevokeSubject(usize),
    /// All tokens are revoked that were issued before.
    RevokeAll,
}

/// A fault and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScheduledFault {
    /// Since the start of the run.
    pub(crate) at: Duration,
    /// The duration, of a fault that has one.
    pub(crate) lasts: Duration,
    pub(crate) fault: Fault,
}

/// The faults of one site, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SiteSchedule {
    pub(crate) site: FaultSite,
    pub(crate) faults: Vec<ScheduledFault>,
}

impl FaultSite {
    pub(crate) const ALL: [Self; 9] = [
        Self::ClientRelay(0),
        Self::ClientRelay(1),
        Self::RedisRelay(0),
        Self::RedisRelay(1),
        Self::Proxy(0),
        Self::Proxy(1),
        Self::Redis,
        Self::DedupWindows,
        Self::Tokens,
    ];

    /// Bounds of the pause between two faults in ms: long enough that calls succeed in between, and
    /// short enough that faults of different sites overlap.
    fn pause_bounds(self) -> (u64, u64) {
        match self {
            Self::ClientRelay(_) => (300, 4_000),
            Self::RedisRelay(_) => (500, 5_000),
            Self::Proxy(_) => (2_000, 9_000),
            Self::Redis => (4_000, 15_000),
            Self::DedupWindows => (200, 4_000),
            Self::Tokens => (200, 2_000),
        }
    }

    /// Returns one fault of each kind of this site, in random order.
    fn one_of_each(self, rng: &mut Rng) -> Vec<Fault> {
        let mut kinds_left = match self {
            Self::ClientRelay(_) | Self::RedisRelay(_) => vec![
                Fault::Cut(full_cut(rng)),
                Fault::Cut(Cut::HalfOpen),
                Fault::Refuse,
                Fault::Stall(direction(rng)),
                Fault::Delay(direction(rng), Duration::from_millis(rng.u64(5..150))),
                Fault::CutHalfway(direction(rng), cut(rng)),
                Fault::CutHalfway(Direction::ToClient, cut(rng)),
                Fault::CutAfter(Direction::ToClient, 0, cut(rng)),
                Fault::CutAfter(direction(rng), rng.u64(1..400), cut(rng)),
                Fault::Slow(direction(rng), rate(rng)),
            ],
            Self::Proxy(_) => vec![
                Fault::Kill {
                    to_other_proxy: true,
                },
                Fault::Kill {
                    to_other_proxy: false,
                },
                Fault::Drain,
                Fault::Pause,
            ],
            Self::Redis => vec![
                Fault::Kill {
                    to_other_proxy: false,
                },
                Fault::Pause,
            ],
            Self::DedupWindows => vec![Fault::Evict],
            Self::Tokens => {
                let mut faults: Vec<_> = (0..5)
                    .map(|_| Fault::RevokeSubject(rng.usize(..)))
                    .collect();
                faults.push(Fault::RevokeAll);
                faults
            }
        };
        if matches!(self, Self::ClientRelay(_)) {
            kinds_left.push(Fault::OtherProxy(Cut::Close));
            kinds_left.push(Fault::OtherProxy(Cut::HalfOpen));
        }
        rng.shuffle(&mut kinds_left);
        kinds_left
    }
}

impl Fault {
    /// Returns the name of the kind, under which it is counted.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Cut(Cut::Close) => "close",
            Self::Cut(Cut::Reset) => "reset",
            Self::Cut(Cut::HalfOpen) => "half-open",
            Self::Refuse => "refuse",
            Self::Stall(_) => "stall",
            Self::Delay(..) => "delay",
            Self::CutHalfway(..) => "cut halfway",
            Self::CutAfter(_, 0, _) => "lose reply",
            Self::CutAfter(..) => "cut after bytes",
            Self::Slow(..) => "slow",
            Self::OtherProxy(Cut::HalfOpen) => "half-open and other proxy",
            Self::OtherProxy(_) => "other proxy",
            Self::Kill { .. } => "SIGKILL",
            Self::Drain => "SIGTERM",
            Self::Pause => "SIGSTOP",
            Self::Evict => "eviction",
            Self::RevokeSubject(_) => "of a client",
            Self::RevokeAll => "of all",
        }
    }
}

impl fmt::Display for FaultSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientRelay(_) => f.write_str("clients to proxy"),
            Self::RedisRelay(_) => f.write_str("proxy to Redis"),
            Self::Proxy(_) => f.write_str("proxy"),
            Self::Redis => f.write_str("Redis"),
            Self::DedupWindows => f.write_str("dedup windows"),
            Self::Tokens => f.write_str("revocations"),
        }
    }
}

/// How frequent faults are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intensity {
    /// Most calls succeed in between.
    Normal,
    /// Few calls do; most are in flight when the next fault comes.
    Storm,
}

impl Intensity {
    /// The factor by which all times are shorter.
    fn speedup(self) -> u64 {
        match self {
            Self::Normal => 1,
            Self::Storm => 8,
        }
    }
}

/// Whether the Redis of a run may evict dedup windows: that of every second seed.
pub(crate) fn may_evict(seed: u64) -> bool {
    seed % 2 == 1
}

/// Returns the faults of all sites for a run of this length. The same seed and intensity give the
/// same schedule. All faults end within the run.
pub(crate) fn schedule(seed: u64, intensity: Intensity, length: Duration) -> Vec<SiteSchedule> {
    let mut seeds = Rng::with_seed(seed);
    let site_schedule = |site: FaultSite| SiteSchedule {
        site,
        faults: site_schedule(site, intensity, &mut Rng::with_seed(seeds.u64(..)), length),
    };
    let mut schedules: Vec<_> = FaultSite::ALL.map(site_schedule).into();
    schedules.retain(|schedule| match schedule.site {
        FaultSite::DedupWindows => may_evict(seed),
        FaultSite::Tokens => tokens::are_used(seed),
        _ => true,
    });
    schedules
}

fn site_schedule(
    site: FaultSite,
    intensity: Intensity,
    rng: &mut Rng,
    length: Duration,
) -> Vec<ScheduledFault> {
    let (least, most) = site.pause_bounds();
    let (mut faults, mut kinds_left) = (Vec::new(), Vec::new());
    let mut at = Duration::ZERO;
    loop {
        at += Duration::from_millis(rng.u64(least..most) / intensity.speedup());
        // Every kind comes once before any comes again.
        if kinds_left.is_empty() {
            kinds_left = site.one_of_each(rng);
        }
        let Some(fault) = kinds_left.pop() else {
            return faults;
        };
        let lasts = Duration::from_millis(lasts_ms(rng) / intensity.speedup());
        if at + lasts >= length {
            return faults;
        }
        faults.push(ScheduledFault { at, lasts, fault });
        at += lasts;
    }
}

/// Returns the duration of a fault: mostly too short to be noticed, now and then longer than the
/// response timeout of Redis (5 s) and than heartbeats.
fn lasts_ms(rng: &mut Rng) -> u64 {
    match rng.u8(0..8) {
        0 => rng.u64(5_500..7_000),
        1..3 => rng.u64(1_000..3_000),
        _ => rng.u64(50..800),
    }
}

fn direction(rng: &mut Rng) -> Direction {
    [Direction::ToTarget, Direction::ToClient, Direction::Both][rng.usize(..3)]
}

/// Returns a cut that both sides notice.
fn full_cut(rng: &mut Rng) -> Cut {
    [Cut::Close, Cut::Reset][rng.usize(..2)]
}

fn cut(rng: &mut Rng) -> Cut {
    [Cut::Close, Cut::Reset, Cut::HalfOpen][rng.usize(..3)]
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
            schedule(7, Intensity::Normal, LENGTH),
            schedule(7, Intensity::Normal, LENGTH)
        );
        assert_ne!(
            schedule(7, Intensity::Normal, LENGTH),
            schedule(8, Intensity::Normal, LENGTH)
        );
        let count = |intensity| -> usize {
            let schedules = schedule(7, intensity, LENGTH);
            schedules
                .iter()
                .map(|site_schedule| site_schedule.faults.len())
                .sum()
        };
        assert!(count(Intensity::Storm) > 6 * count(Intensity::Normal));
    }

    #[test]
    fn every_second_seed_evicts_and_every_fourth_has_tokens() {
        for seed in [7, 8] {
            let schedules = schedule(seed, Intensity::Normal, LENGTH);
            let evicts = schedules.iter().any(|s| s.site == FaultSite::DedupWindows);
            assert_eq!(evicts, seed == 7);
            let revokes = schedules.iter().any(|s| s.site == FaultSite::Tokens);
            assert_eq!(revokes, seed == 8);
        }
    }

    #[test]
    fn a_longer_run_begins_as_a_shorter_one_does() {
        let (short, long) = (
            schedule(7, Intensity::Normal, LENGTH / 2),
            schedule(7, Intensity::Normal, LENGTH),
        );
        for (short, long) in short.iter().zip(&long) {
            assert!(long.faults.starts_with(&short.faults));
        }
    }

    /// Returns the kinds of sites and of faults in schedules.
    fn kinds(schedules: &[SiteSchedule]) -> HashSet<(String, &'static str)> {
        let of_lane = |site_schedule: &SiteSchedule| {
            let site = site_schedule.site.to_string();
            let kinds = site_schedule
                .faults
                .iter()
                .map(|planned| planned.fault.kind());
            kinds.map(|kind| (site.clone(), kind)).collect::<Vec<_>>()
        };
        schedules.iter().flat_map(of_lane).collect()
    }

    #[test]
    fn the_short_runs_have_every_kind_of_fault() {
        let short: HashSet<_> = SHORT_SEEDS
            .iter()
            .flat_map(|seed| kinds(&schedule(*seed, Intensity::Normal, SHORT)))
            .collect();
        let all = [7, 8].map(|seed| kinds(&schedule(seed, Intensity::Normal, 10 * LENGTH)));
        let all: HashSet<_> = all.into_iter().flatten().collect();
        let missing: Vec<_> = all.difference(&short).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn every_site_has_every_one_of_its_faults_within_the_run() {
        for site_schedule in schedule(7, Intensity::Normal, LENGTH) {
            let mut rng = Rng::with_seed(0);
            let ways = |faults: Vec<Fault>| -> HashSet<_> {
                faults.iter().map(std::mem::discriminant).collect()
            };
            let kinds_left = ways(site_schedule.site.one_of_each(&mut rng));
            let planned = ways(
                site_schedule
                    .faults
                    .iter()
                    .map(|planned| planned.fault)
                    .collect(),
            );
            assert_eq!(planned, kinds_left, "{}", site_schedule.site);
            let mut end = Duration::ZERO;
            for planned in site_schedule.faults {
                assert!(
                    planned.at >= end,
                    "two faults at once at {}",
                    site_schedule.site
                );
                end = planned.at + planned.lasts;
            }
            assert!(end < LENGTH);
        }
    }
}
