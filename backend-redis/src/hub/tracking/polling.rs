//! Polls the streams that somebody waits for, where Redis refuses `CLIENT TRACKING`.
//!
//! In each round every stream is read after the id after which it had no entries, one entry at most,
//! in pipelines of [`POLLED_AT_ONCE`] streams, one after the other. So however many streams
//! there are, other commands wait for one pipeline. A stream that has an entry is reported as if
//! Redis had pushed an invalidation.
//!
//! While streams change, the rounds follow each other soon; while none does, ten times a second. But
//! a pause is a multiple of the round before it, up to a second, so polling takes a part of Redis's
//! time that is bounded.
//!
//! This does not find a delete, a trim or a recreated stream. The hub's rechecks find them every
//! two seconds ([`crate::hub::hub_task`]).

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use streamgate_protocol::EntryId;
use tokio::time::Instant;

use crate::connection::command_connection::CommandConnection;
use crate::wire::{answers, commands};

/// Pause after a round that found a change. Each further round that finds none doubles it.
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);

/// Longest pause between two rounds that take no time: an entry may come this much later.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// A pause is at least this many times as long as the round before it.
const PAUSE_PER_ROUND: u32 = 4;

/// Longest pause of all: a round may take long because this process or Redis was stopped for a
/// while. No wait may be kept from its entries for a multiple of that.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// Streams in one pipeline. Each may have an entry of some size.
const POLLED_AT_ONCE: usize = 64;

/// A stream, and the id after which it had no entries.
pub(in crate::hub) type PolledStream = (Arc<[u8]>, EntryId);

/// The rounds, one after the other.
pub(in crate::hub) struct Polling {
    rounds: Rounds,
    /// The streams of this round that are still to be read.
    rest: Vec<PolledStream>,
    /// Returns the streams that have entries.
    in_flight: Option<BoxFuture<'static, Vec<Arc<[u8]>>>>,
}

/// When rounds begin.
#[derive(Debug)]
struct Rounds {
    /// The start of the round that is under way, or of the next.
    start: Instant,
    pause: Duration,
    found_change: bool,
}

impl Polling {
    pub(in crate::hub) fn new(now: Instant) -> Self {
        Self {
            rounds: Rounds::new(now),
            rest: Vec::new(),
            in_flight: None,
        }
    }

    /// Returns when [`poll`](Self::poll) is to be called, if no pipeline is in flight.
    pub(in crate::hub) fn wake(&self) -> Option<Instant> {
        self.in_flight.is_none().then_some(self.rounds.start)
    }

    /// Sends the next pipeline if one is due. `streams` returns the streams of a new round.
    pub(in crate::hub) fn poll<S: Iterator<Item = PolledStream>>(
        &mut self,
        commands: &CommandConnection,
        now: Instant,
        streams: impl FnOnce() -> S,
    ) {
        if self.in_flight.is_some() || now < self.rounds.start {
            return;
        }
        if self.rest.is_empty() {
            self.rounds.start = now;
            self.rest = streams().collect();
        }
        let first = self.rest.len().saturating_sub(POLLED_AT_ONCE);
        let some = self.rest.split_off(first);
        if some.is_empty() {
            return self.rounds.end(now);
        }
        let (_, sent) = commands.send_encoded(&mut |packed| {
            for (stream, end) in &some {
                commands::read_after(packed, stream, *end, 1);
            }
        });
        let Ok(sent) = sent else {
            // The connection is lost, which ends the polling.
            return self.rounds.end(now);
        };
        let changed = async move {
            // After a lost connection every stream is read again.
            let values = sent.await.unwrap_or_default();
            let has_entries = |value| answers::stream(value).is_ok_and(|it| !it.is_empty());
            let streams = some.into_iter().zip(values);
            let changed =
                streams.filter_map(|((stream, _), value)| has_entries(value).then_some(stream));
            changed.collect()
        };
        self.in_flight = Some(changed.boxed());
    }

    /// Waits for the answers to a pipeline, and returns the streams that have entries. Cancel-safe.
    pub(in crate::hub) async fn changed(&mut self) -> Vec<Arc<[u8]>> {
        let Some(in_flight) = &mut self.in_flight else {
            return std::future::pending().await;
        };
        let changed = in_flight.await;
        self.in_flight = None;
        self.rounds.found_change |= !changed.is_empty();
        if self.rest.is_empty() {
            self.rounds.end(Instant::now());
        }
        changed
    }
}

impl Rounds {
    const fn new(now: Instant) -> Self {
        Self {
            start: now,
            pause: SHORTEST_PAUSE,
            found_change: false,
        }
    }

    /// Ends a round, and sets the start of the next.
    fn end(&mut self, now: Instant) {
        self.pause = if std::mem::take(&mut self.found_change) {
            SHORTEST_PAUSE
        } else {
            LONGEST_PAUSE.min(2 * self.pause)
        };
        let took = now.saturating_duration_since(self.start);
        let least = took.saturating_mul(PAUSE_PER_ROUND).min(MAX_PAUSE);
        self.start = now + self.pause.max(least);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn rounds_follow_soon_after_a_change_and_never_take_most_of_the_time() {
        let mut now = Instant::now();
        let mut rounds = Rounds::new(now);
        let mut pause_after = |took: Duration, found_change| {
            now += took;
            rounds.found_change = found_change;
            rounds.end(now);
            let pause = rounds.start - now;
            now = rounds.start;
            pause
        };
        for expected in [4, 8, 16, 32, 64, 100, 100] {
            assert_eq!(pause_after(MS / 2, false), expected * MS);
        }
        assert_eq!(pause_after(MS / 2, true), 2 * MS);
        assert_eq!(pause_after(MS / 2, false), 4 * MS);
        assert_eq!(pause_after(10 * MS, true), 40 * MS);
        assert_eq!(pause_after(50 * MS, false), 200 * MS);
        assert_eq!(pause_after(360_000 * MS, false), MAX_PAUSE);
    }
}
