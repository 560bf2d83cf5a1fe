//! When a consumer looks for what vanished ones hold.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use streamgate_protocol::{CacheResult, Retry, StreamEntry};
use tokio::time::{Sleep, sleep};

use crate::take_over::{ROUND, TakeOver, TakenOver};

/// Shortest time between two rounds: a round of a group that holds much is work for Redis, and
/// there is one for every consumer.
pub(crate) const MIN_PERIOD: Duration = Duration::from_millis(100);

/// Longest time between two rounds, however long entries may be pending: what is found late is
/// worked on late.
pub(crate) const MAX_PERIOD: Duration = Duration::from_secs(30);

/// Rounds there are in the time after which entries are taken over: one that is due is late by a
/// quarter of it at most.
const ROUNDS_PER_TIME: u64 = 4;

/// Asks a backend for one step.
type Ask<'a> = Box<dyn Fn(TakeOver) -> BoxFuture<'a, CacheResult<TakenOver>> + Send + 'a>;

/// Rounds over the pending entries of a group: the first at once, the next when a period has
/// passed since the last. What it gives belongs to the consumer.
pub(crate) struct Rounds<'a> {
    ask: Ask<'a>,
    next: TakeOver,
    period: Duration,
    step: Option<BoxFuture<'a, CacheResult<TakenOver>>>,
    /// Until the next round; absent while one is under way.
    pause: Option<Pin<Box<Sleep>>>,
}

impl<'a> Rounds<'a> {
    /// Nothing is asked before the first poll.
    pub(crate) fn new(
        first: TakeOver,
        ask: impl Fn(TakeOver) -> BoxFuture<'a, CacheResult<TakenOver>> + Send + 'a,
    ) -> Self {
        let period = Duration::from_millis(first.min_idle_ms / ROUNDS_PER_TIME);
        Self {
            ask: Box::new(ask),
            next: first,
            period: period.clamp(MIN_PERIOD, MAX_PERIOD),
            step: None,
            pause: None,
        }
    }

    /// The next entries that were taken over, never none; at most so many. With room for none,
    /// nothing is asked, and whoever makes room polls again.
    ///
    /// The first step is asked for in the first poll with room, before whatever the caller asks for
    /// behind it: what comes of that is then not taken for what an earlier life of this consumer
    /// left.
    pub(crate) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        room: u64,
    ) -> Poll<CacheResult<Vec<StreamEntry>>> {
        loop {
            if self.step.is_none() {
                if room == 0 {
                    return Poll::Pending;
                }
                if let Some(pause) = &mut self.pause {
                    ready!(pause.as_mut().poll(cx));
                    self.pause = None;
                }
                self.next.count = room;
                self.step = Some((self.ask)(self.next.clone()));
            }
            let Some(step) = &mut self.step else {
                return Poll::Pending;
            };
            let taken = ready!(step.poll_unpin(cx));
            self.step = None;
            match taken {
                Ok(TakenOver {
                    entries,
                    cursor,
                    since_ms,
                }) => {
                    self.next.since_ms = Some(since_ms);
                    self.next.cursor = cursor;
                    if self.next.cursor == ROUND {
                        self.rest();
                    }
                    if !entries.is_empty() {
                        return Poll::Ready(Ok(entries));
                    }
                }
                // Nothing was done; the next round does it.
                Err(error) if error.retry() == Retry::Later => {
                    tracing::debug!(%error, "a round over pending entries ends early");
                    // What this consumer was given meanwhile must not be taken for older.
                    self.next.since_ms.get_or_insert(0);
                    ROUND.clone_into(&mut self.next.cursor);
                    self.rest();
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn rest(&mut self) {
        self.pause = Some(Box::pin(sleep(self.period)));
    }
}
