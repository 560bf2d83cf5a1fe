//! Throttles streams with spurious invalidations: Redis reports them again and again without a
//! change.
//!
//! If Redis's `tracking-table-max-keys` is smaller than the number of streams that are waited for,
//! arming one key evicts another. Redis pushes an invalidation for the evicted key. Probing that
//! stream at once would arm it again and evict the next key. So after many invalidations that come
//! right after a probe and bring nothing new, the next probe of the stream waits.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// An invalidation this soon after a probe may be an eviction. A later one is a real change, such
/// as a delete, a trim or a group read.
const SOON: Duration = Duration::from_millis(5);

/// A stream that stays armed this long is not evicted.
const QUIET: Duration = Duration::from_secs(1);

/// Number of spurious invalidations in a row before probes wait. Deletes and trims cause some too.
const SPURIOUS_LIMIT: u32 = 16;

/// First pause before a probe. Each further spurious invalidation doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(1);

/// Longest pause before a probe: an entry may come this much later, and a stream costs ten reads a
/// second.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Counts the invalidations in a row that came soon after a probe and brought nothing new.
#[derive(Debug, Default)]
pub(in crate::hub) struct Throttle {
    spurious: u32,
    last_probe: Option<Instant>,
    /// An invalidation has come soon after a probe, since the last probe started.
    came_soon: bool,
    /// The same, before the last probe started.
    came_soon_before_probe: bool,
}

/// The streams whose next probe waits.
#[derive(Default)]
pub(in crate::hub) struct ThrottledStreams {
    streams: BTreeSet<(Instant, Arc<[u8]>)>,
    has_warned: bool,
}

impl Throttle {
    /// Takes an invalidation. Returns the pause before the next probe, if there has to be one.
    pub(in crate::hub) fn invalidated(
        &mut self,
        now: Instant,
        probe_in_flight: bool,
    ) -> Option<Duration> {
        let armed_for = self.last_probe.map(|probe| now.duration_since(probe));
        self.came_soon |= probe_in_flight || armed_for.is_some_and(|armed| armed <= SOON);
        if !probe_in_flight && armed_for.is_some_and(|armed| armed >= QUIET) {
            self.spurious = 0;
        }
        let beyond_limit = self.spurious.checked_sub(SPURIOUS_LIMIT)?;
        let factor = 2u32.checked_pow(beyond_limit).unwrap_or(u32::MAX);
        Some(FIRST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE))
    }

    pub(in crate::hub) fn start_probe(&mut self) {
        self.came_soon_before_probe = std::mem::take(&mut self.came_soon);
    }

    pub(in crate::hub) fn finish_probe(&mut self, has_entries: bool, now: Instant) {
        self.last_probe = Some(now);
        if has_entries {
            self.spurious = 0;
        } else if self.came_soon_before_probe {
            self.spurious = self.spurious.saturating_add(1);
        }
    }
}

impl ThrottledStreams {
    pub(in crate::hub) fn insert(&mut self, until: Instant, stream: Arc<[u8]>) {
        if !std::mem::replace(&mut self.has_warned, true) {
            tracing::warn!(
                stream = &*stream,
                "Redis keeps invalidating streams that have not changed, so entries may come up to \
                 100 ms late; if tracking-table-max-keys is less than the number of streams that \
                 are waited for, raise it"
            );
        }
        self.streams.insert((until, stream));
    }

    pub(in crate::hub) fn first(&self) -> Option<Instant> {
        self.streams.first().map(|(until, _)| *until)
    }

    /// Removes one stream whose pause is over, and returns it.
    pub(in crate::hub) fn pop(&mut self, now: Instant) -> Option<Arc<[u8]>> {
        if self.first()? > now {
            return None;
        }
        self.streams.pop_first().map(|(_, stream)| stream)
    }

    /// Removes all streams, because every stream is probed anyway.
    pub(in crate::hub) fn clear(&mut self) {
        self.streams.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Repeats an invalidation after an interval and a probe without entries. Returns the last
    /// pause.
    fn spurious_invalidations(
        throttle: &mut Throttle,
        now: &mut Instant,
        interval: Duration,
        times: u32,
    ) -> Option<Duration> {
        let mut pause = None;
        for _ in 0..times {
            *now += interval;
            pause = throttle.invalidated(*now, false);
            throttle.start_probe();
            throttle.finish_probe(false, *now);
        }
        pause
    }

    #[test]
    fn pauses_double_until_a_probe_has_entries_or_the_stream_is_quiet() {
        let (mut throttle, mut now) = (Throttle::default(), Instant::now());
        for end_by_quiet in [false, true] {
            throttle.finish_probe(true, now);
            let mut repeat = |times| spurious_invalidations(&mut throttle, &mut now, MS, times);
            assert_eq!(repeat(SPURIOUS_LIMIT), None);
            for expected in [1, 2, 4, 8, 16, 32, 64, 100, 100] {
                assert_eq!(repeat(1), Some(Duration::from_millis(expected)));
            }
            assert_eq!(repeat(100), Some(LONGEST_PAUSE));
            if end_by_quiet {
                now += QUIET;
            } else {
                throttle.finish_probe(true, now);
            }
            assert_eq!(throttle.invalidated(now, false), None);
        }
    }

    #[test]
    fn only_invalidations_soon_after_or_during_a_probe_cause_a_pause() {
        let (mut throttle, mut now) = (Throttle::default(), Instant::now());
        throttle.finish_probe(false, now);
        let late = spurious_invalidations(&mut throttle, &mut now, 10 * MS, 1_000);
        assert_eq!(late, None);
        for _ in 0..SPURIOUS_LIMIT {
            throttle.start_probe();
            assert_eq!(throttle.invalidated(now, true), None);
            throttle.finish_probe(false, now);
        }
        throttle.start_probe();
        throttle.finish_probe(false, now);
        assert_eq!(throttle.invalidated(now, false), Some(FIRST_PAUSE));
    }
}
