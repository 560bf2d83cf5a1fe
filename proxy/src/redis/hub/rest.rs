//! Pushes that bring nothing new, over and over.
//!
//! When Redis's table of tracked keys is too small, arming one key pushes another out, which is
//! told as a change of that: looking at once would arm that again and push out the next. Then
//! looks wait.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// Pushes in a row that bring nothing new before looks wait. Whoever deletes or trims causes some.
const USELESS_PUSHES: u32 = 16;

/// The first pause before a look, doubled with each further push that brings nothing.
const FIRST_PAUSE: Duration = Duration::from_millis(1);

/// The longest pause: an entry may come that much later, and a stream costs ten reads a second.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Counts pushes in a row that brought nothing new.
#[derive(Debug, Default)]
pub(super) struct Useless(u32);

/// Streams whose next look waits.
#[derive(Default)]
pub(super) struct Resting {
    streams: BTreeSet<(Instant, Arc<str>)>,
    told: bool,
}

impl Useless {
    /// What came of a look after a push.
    pub(super) fn looked(&mut self, useful: bool) {
        self.0 = if useful { 0 } else { self.0.saturating_add(1) };
    }

    /// How long to wait before the next look.
    pub(super) fn pause(&self) -> Option<Duration> {
        let beyond = self.0.checked_sub(USELESS_PUSHES)?;
        let factor = 2u32.checked_pow(beyond).unwrap_or(u32::MAX);
        Some(FIRST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE))
    }
}

impl Resting {
    pub(super) fn insert(&mut self, until: Instant, stream: Arc<str>) {
        if !std::mem::replace(&mut self.told, true) {
            tracing::warn!(
                stream = &*stream,
                "Redis keeps telling of changes that are none: perhaps its tracking-table-max-keys \
                 is less than the number of streams waited for; entries may come up to 100 ms late"
            );
        }
        self.streams.insert((until, stream));
    }

    pub(super) fn first(&self) -> Option<Instant> {
        self.streams.first().map(|(until, _)| *until)
    }

    /// Takes one that has waited long enough.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Arc<str>> {
        if self.first()? > now {
            return None;
        }
        self.streams.pop_first().map(|(_, stream)| stream)
    }

    /// Forgets all: they are looked at anyway.
    pub(super) fn clear(&mut self) {
        self.streams.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_end_with_a_useful_push() {
        let mut useless = Useless::default();
        for _ in 0..USELESS_PUSHES {
            assert_eq!(useless.pause(), None);
            useless.looked(false);
        }
        for expected in [1, 2, 4, 8, 16, 32, 64, 100, 100] {
            assert_eq!(useless.pause(), Some(Duration::from_millis(expected)));
            useless.looked(false);
        }
        for _ in 0..100 {
            useless.looked(false);
        }
        assert_eq!(useless.pause(), Some(LONGEST_PAUSE));
        useless.looked(true);
        assert_eq!(useless.pause(), None);
    }
}
