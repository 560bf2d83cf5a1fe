//! Invalidations that bring nothing new, over and over.
//!
//! When Redis's table of tracked keys is too small, arming one key pushes another out, which is
//! told as a change of that: looking at once would arm that again and push out the next. Then
//! looks wait.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// A push that comes so soon behind a look may be for want of room in Redis's table. One that comes
/// later is a change: somebody deletes, trims or reads a group.
const SOON: Duration = Duration::from_millis(5);

/// A stream that is armed for so long is not pushed out.
const QUIET: Duration = Duration::from_secs(1);

/// Invalidations in a row that bring nothing new before looks wait. Whoever deletes or trims causes some.
const USELESS_PUSHES: u32 = 16;

/// The first pause before a look, doubled with each further push that brings nothing.
const FIRST_PAUSE: Duration = Duration::from_millis(1);

/// The longest pause: an entry may come that much later, and a stream costs ten reads a second.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Counts pushes in a row that came soon and brought nothing new.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    count: u32,
    looked: Option<Instant>,
    /// Since the last look was begun, and before that: a push has come soon.
    soon: bool,
    looking_soon: bool,
}

/// Streams whose next look waits.
#[derive(Default)]
pub(crate) struct ThrottledStreams {
    streams: BTreeSet<(Instant, Arc<str>)>,
    told: bool,
}

impl Throttle {
    /// A push has come. How long to wait before the next look, if that is not now.
    pub(crate) fn pushed(&mut self, now: Instant, looking: bool) -> Option<Duration> {
        let armed = self.looked.map(|looked| now.duration_since(looked));
        self.soon |= looking || armed.is_some_and(|armed| armed <= SOON);
        if !looking && armed.is_some_and(|armed| armed >= QUIET) {
            self.count = 0;
        }
        let beyond = self.count.checked_sub(USELESS_PUSHES)?;
        let factor = 2u32.checked_pow(beyond).unwrap_or(u32::MAX);
        Some(FIRST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE))
    }

    /// A look begins.
    pub(crate) fn look(&mut self) {
        self.looking_soon = std::mem::take(&mut self.soon);
    }

    /// What came of it.
    pub(crate) fn looked(&mut self, useful: bool, now: Instant) {
        self.looked = Some(now);
        if useful {
            self.count = 0;
        } else if self.looking_soon {
            self.count = self.count.saturating_add(1);
        }
    }
}

impl ThrottledStreams {
    pub(crate) fn insert(&mut self, until: Instant, stream: Arc<str>) {
        if !std::mem::replace(&mut self.told, true) {
            tracing::warn!(
                stream = &*stream,
                "Redis keeps telling of changes that are none: perhaps its tracking-table-max-keys \
                 is less than the number of streams waited for; entries may come up to 100 ms late"
            );
        }
        self.streams.insert((until, stream));
    }

    pub(crate) fn first(&self) -> Option<Instant> {
        self.streams.first().map(|(until, _)| *until)
    }

    /// Takes one that has waited long enough.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Arc<str>> {
        if self.first()? > now {
            return None;
        }
        self.streams.pop_first().map(|(_, stream)| stream)
    }

    /// Forgets all: they are looked at anyway.
    pub(crate) fn clear(&mut self) {
        self.streams.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// So many times a push after so long, and a look that finds nothing. The last pause.
    fn push(
        throttle: &mut Throttle,
        now: &mut Instant,
        after: Duration,
        times: u32,
    ) -> Option<Duration> {
        let mut pause = None;
        for _ in 0..times {
            *now += after;
            pause = throttle.pushed(*now, false);
            throttle.look();
            throttle.looked(false, *now);
        }
        pause
    }

    #[test]
    fn pauses_double_and_end_with_a_useful_push_or_when_it_is_quiet() {
        let (mut throttle, mut now) = (Throttle::default(), Instant::now());
        for end_by_quiet in [false, true] {
            throttle.looked(true, now);
            assert_eq!(push(&mut throttle, &mut now, MS, USELESS_PUSHES), None);
            for expected in [1, 2, 4, 8, 16, 32, 64, 100, 100] {
                let pause = push(&mut throttle, &mut now, MS, 1);
                assert_eq!(pause, Some(Duration::from_millis(expected)));
            }
            assert_eq!(push(&mut throttle, &mut now, MS, 100), Some(LONGEST_PAUSE));
            if end_by_quiet {
                now += QUIET;
            } else {
                throttle.looked(true, now);
            }
            assert_eq!(throttle.pushed(now, false), None);
        }
    }

    #[test]
    fn changes_that_do_not_come_at_once_cause_no_pause() {
        let (mut throttle, mut now) = (Throttle::default(), Instant::now());
        throttle.looked(false, now);
        assert_eq!(push(&mut throttle, &mut now, 10 * MS, 1_000), None);
        // During a look it is at once.
        for _ in 0..USELESS_PUSHES {
            throttle.look();
            assert_eq!(throttle.pushed(now, true), None);
            throttle.looked(false, now);
        }
        throttle.look();
        throttle.looked(false, now);
        assert_eq!(throttle.pushed(now, false), Some(FIRST_PAUSE));
    }
}
