//! Polls the streams that somebody waits for, where Redis refuses `CLIENT TRACKING`.
//!
//! Ten times a second each stream is read after the id after which it had no entries, one entry at
//! most, in pipelines of [`POLLED_AT_ONCE`] streams, one pipeline after the other. So however many
//! streams there are, other commands wait for one pipeline. A stream that has an entry is reported
//! as if Redis had pushed an invalidation.
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

/// Pause between two rounds: an entry may come this much later.
const POLL_EVERY: Duration = Duration::from_millis(100);

/// Streams in one pipeline. Each may have an entry of some size.
const POLLED_AT_ONCE: usize = 64;

/// A stream, and the id after which it had no entries.
pub(in crate::hub) type PolledStream = (Arc<[u8]>, EntryId);

/// The rounds, one after the other.
pub(in crate::hub) struct Polling {
    next_round: Instant,
    /// The streams of this round that are still to be read.
    rest: Vec<PolledStream>,
    /// Returns the streams that have entries.
    in_flight: Option<BoxFuture<'static, Vec<Arc<[u8]>>>>,
}

impl Polling {
    pub(in crate::hub) fn new(now: Instant) -> Self {
        Self {
            next_round: now,
            rest: Vec::new(),
            in_flight: None,
        }
    }

    /// Returns when [`poll`](Self::poll) is to be called, if no pipeline is in flight.
    pub(in crate::hub) fn wake(&self) -> Option<Instant> {
        self.in_flight.is_none().then_some(self.next_round)
    }

    /// Sends the next pipeline if one is due. `streams` returns the streams of a new round.
    pub(in crate::hub) fn poll<S: Iterator<Item = PolledStream>>(
        &mut self,
        commands: &CommandConnection,
        now: Instant,
        streams: impl FnOnce() -> S,
    ) {
        if self.in_flight.is_some() || now < self.next_round {
            return;
        }
        if self.rest.is_empty() {
            self.rest = streams().collect();
        }
        let some = self
            .rest
            .split_off(self.rest.len().saturating_sub(POLLED_AT_ONCE));
        if self.rest.is_empty() {
            self.next_round = now + POLL_EVERY;
        }
        if some.is_empty() {
            return;
        }
        let (_, sent) = commands.send_encoded(&mut |packed| {
            for (stream, end) in &some {
                commands::read_after(packed, stream, *end, 1);
            }
        });
        self.in_flight = sent.ok().map(|sent| {
            let changed = async move {
                // After a lost connection every stream is read again.
                let values = sent.await.unwrap_or_default();
                let has_entries = |value| answers::stream(value).is_ok_and(|it| !it.is_empty());
                let streams = some.into_iter().zip(values);
                let changed =
                    streams.filter_map(|((stream, _), value)| has_entries(value).then_some(stream));
                changed.collect()
            };
            changed.boxed()
        });
    }

    /// Waits for the answers to a pipeline, and returns the streams that have entries. Cancel-safe.
    pub(in crate::hub) async fn changed(&mut self) -> Vec<Arc<[u8]>> {
        match &mut self.in_flight {
            Some(in_flight) => {
                let changed = in_flight.await;
                self.in_flight = None;
                changed
            }
            None => std::future::pending().await,
        }
    }
}
