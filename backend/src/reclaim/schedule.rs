//! When a consumer looks for what vanished ones hold.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use streamgate_protocol::{CacheResult, Retry, StreamEntry};
use tokio::time::{Sleep, sleep};

use crate::reclaim::step::{ReclaimStep, Reclaimed, START};

/// Shortest time between two rounds: a round of a group that holds much is work for Redis, and
/// there is one for every consumer.
pub const MIN_PERIOD: Duration = Duration::from_millis(100);

/// Longest time between two rounds, however long entries may be pending: what is found late is
/// worked on late.
pub const MAX_PERIOD: Duration = Duration::from_secs(30);

/// ReclaimSchedule there are in the time after which entries are taken over: one that is due is late by a
/// quarter of it at most.
const ROUNDS_PER_TIME: u64 = 4;

/// Asks a backend for one step.
type Ask<'a> = Box<dyn Fn(ReclaimStep) -> BoxFuture<'a, CacheResult<Reclaimed>> + Send + 'a>;

/// ReclaimSchedule over the pending entries of a group: the first at once, the next when a period has
/// passed since the last. What it gives belongs to the consumer.
pub struct ReclaimSchedule<'a> {
    ask: Ask<'a>,
    next: ReclaimStep,
    period: Duration,
    step: Option<BoxFuture<'a, CacheResult<Reclaimed>>>,
    /// Until the next round; absent while one is under way.
    pause: Option<Pin<Box<Sleep>>>,
}

impl<'a> ReclaimSchedule<'a> {
    /// Nothing is asked before the first poll.
    pub fn new(
        first: ReclaimStep,
        ask: impl Fn(ReclaimStep) -> BoxFuture<'a, CacheResult<Reclaimed>> + Send + 'a,
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
    pub fn poll_next(
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
                Ok(Reclaimed {
                    entries,
                    cursor,
                    since_ms,
                }) => {
                    self.next.since_ms = Some(since_ms);
                    self.next.cursor = cursor;
                    if self.next.cursor == START {
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
                    START.clone_into(&mut self.next.cursor);
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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::future::poll_fn;
    use std::sync::{Arc, Mutex};

    use streamgate_protocol::CacheError;
    use streamgate_protocol::message::Subscription;
    use tokio::time::Instant;

    use super::*;

    /// What a backend was asked, and when.
    type Asked = Arc<Mutex<Vec<(ReclaimStep, Instant)>>>;

    /// ReclaimSchedule of a backend that answers so.
    fn rounds(
        claim_after_ms: u64,
        answers: Vec<CacheResult<Reclaimed>>,
    ) -> (ReclaimSchedule<'static>, Asked) {
        let asked = Asked::default();
        let notes = Arc::clone(&asked);
        let answers = Mutex::new(VecDeque::from(answers));
        let options = streamgate_protocol::ConsumeOptions {
            claim_after_ms: Some(claim_after_ms),
            ..Default::default()
        };
        let consume = Subscription::consume("s", "g", "c", options);
        let first = ReclaimStep::first(&consume).unwrap();
        let rounds = ReclaimSchedule::new(first, move |step| {
            notes.lock().unwrap().push((step, Instant::now()));
            let answer = answers.lock().unwrap().pop_front();
            async move {
                match answer {
                    Some(answer) => answer,
                    None => std::future::pending().await,
                }
            }
            .boxed()
        });
        (rounds, asked)
    }

    fn taken(ids: &[&str], cursor: &str) -> CacheResult<Reclaimed> {
        Ok(Reclaimed {
            entries: ids.iter().map(|id| ((*id).to_owned(), vec![])).collect(),
            cursor: cursor.to_owned(),
            since_ms: 7,
        })
    }

    async fn next(rounds: &mut ReclaimSchedule<'_>) -> CacheResult<Vec<StreamEntry>> {
        poll_fn(|cx| rounds.poll_next(cx, 5)).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_goes_on_at_once_and_the_next_after_a_pause() {
        for (after, period) in [
            (1, MIN_PERIOD),
            (4_000, Duration::from_secs(1)),
            (u64::MAX, MAX_PERIOD),
        ] {
            let answers = vec![
                taken(&["1-0"], "1-0"),
                taken(&[], "2-0"),
                taken(&["3-0"], START),
                taken(&["4-0"], START),
            ];
            let (mut rounds, asked) = rounds(after, answers);
            let start = Instant::now();
            for id in ["1-0", "3-0", "4-0"] {
                assert_eq!(next(&mut rounds).await.unwrap()[0].0, id);
            }
            let asked = asked.lock().unwrap();
            let steps: Vec<_> = asked
                .iter()
                .map(|(step, _)| (&*step.cursor, step.since_ms, step.count))
                .collect();
            let expected = [
                (START, None, 5),
                ("1-0", Some(7), 5),
                ("2-0", Some(7), 5),
                (START, Some(7), 5),
            ];
            assert_eq!(steps, expected);
            let times: Vec<_> = asked.iter().map(|(_, at)| *at - start).collect();
            assert_eq!(times[..3], [Duration::ZERO; 3]);
            // A timer is as exact as a millisecond.
            assert!(times[3] >= period && times[3] <= period + Duration::from_millis(1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_asked_without_room() {
        let (mut rounds, asked) = rounds(1, vec![taken(&["1-0"], START)]);
        let pending = poll_fn(|cx| Poll::Ready(rounds.poll_next(cx, 0).is_pending())).await;
        assert!(pending && asked.lock().unwrap().is_empty());
        assert_eq!(next(&mut rounds).await.unwrap()[0].0, "1-0");
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_that_was_not_taken_is_taken_later_and_nothing_own_with_it() {
        let later = Err(CacheError::from_code("DISCONNECTED", "why"));
        let (mut rounds, asked) = rounds(1, vec![later, taken(&["1-0"], START)]);
        assert_eq!(next(&mut rounds).await.unwrap()[0].0, "1-0");
        let asked = asked.lock().unwrap();
        assert_eq!(asked[1].0.since_ms, Some(0));
        assert!(asked[1].1 - asked[0].1 >= MIN_PERIOD);
    }

    #[tokio::test(start_paused = true)]
    async fn any_other_error_is_told() {
        for code in ["UNKNOWN_OUTCOME", "NOGROUP"] {
            let answers = vec![Err(CacheError::from_code(code, "why"))];
            let (mut rounds, _) = rounds(1, answers);
            assert_eq!(next(&mut rounds).await.unwrap_err().code(), code);
        }
    }
}
