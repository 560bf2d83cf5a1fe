//! When a consumer reclaims: the schedule of scans over a group's pending entries.
//!
//! A scan goes over all pending entries of the group in steps. Whoever polls the schedule makes its
//! scans: a consumer without credit reclaims nothing, which leaves the entries to its siblings.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use streamgate_protocol::message::Credit;
use streamgate_protocol::{CacheResult, Retry};
use tokio::time::{Sleep, sleep};

use crate::reclaim::step::{MAX_STEP_BYTES, ReclaimStep, Reclaimed, START};

/// The shortest pause between two scans. A scan of a group with many pending entries is work for
/// Redis, and every consumer makes its own.
pub const MIN_PERIOD: Duration = Duration::from_millis(100);

/// The longest pause between two scans, however long entries may stay pending: an entry that is
/// found late is processed late.
pub const MAX_PERIOD: Duration = Duration::from_secs(30);

/// Scans in the time after which an entry may be reclaimed. So an entry is reclaimed late by at
/// most a quarter of that time.
const SCANS_PER_IDLE_TIME: u64 = 4;

type RunStep<'a> = Box<dyn Fn(ReclaimStep) -> BoxFuture<'a, CacheResult<Reclaimed>> + Send + 'a>;

/// Scans over the pending entries of a group, for one consumer.
///
/// The first scan begins at once. The next begins when a pause has passed since the last one ended.
pub struct ReclaimSchedule<'a> {
    run_step: RunStep<'a>,
    next: ReclaimStep,
    period: Duration,
    step: Option<BoxFuture<'a, CacheResult<Reclaimed>>>,
    /// Until the next scan; `None` during a scan.
    pause: Option<Pin<Box<Sleep>>>,
}

impl<'a> ReclaimSchedule<'a> {
    /// Returns a schedule that begins with the step `first` and performs each step with `run_step`,
    /// usually [`Backend::reclaim`](crate::Backend::reclaim).
    ///
    /// Does nothing before the first poll.
    pub fn new(
        first: ReclaimStep,
        run_step: impl Fn(ReclaimStep) -> BoxFuture<'a, CacheResult<Reclaimed>> + Send + 'a,
    ) -> Self {
        let period = Duration::from_millis(first.min_idle_ms / SCANS_PER_IDLE_TIME);
        Self {
            run_step: Box::new(run_step),
            next: first,
            period: period.clamp(MIN_PERIOD, MAX_PERIOD),
            step: None,
            pause: None,
        }
    }

    /// Sets the bound of the dead-letter stream, from the next step on.
    pub fn set_dead_letter_maxlen(&mut self, maxlen: Option<u64>) {
        if let Some(policy) = &mut self.next.dead_letter {
            policy.maxlen = maxlen;
        }
    }

    /// Polls for the next reclaimed entries: at least one, or one that was skipped, within `room`.
    /// The first entry may have more bytes.
    ///
    /// If there is no room, no step begins and no waker is kept: poll again once there is room.
    ///
    /// The first poll with room sends the first step. Poll before the caller's first read of the
    /// group, so that the schedule does not reclaim what that read delivers.
    ///
    /// # Errors
    ///
    /// Those of a step, except those whose [`retry`](streamgate_protocol::CacheError::retry) is
    /// `Later`: they end the scan, and the next one begins after the pause.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its timer enabled.
    pub fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        room: Credit,
    ) -> Poll<CacheResult<Reclaimed>> {
        loop {
            if self.step.is_none() {
                if room.is_used_up() {
                    return Poll::Pending;
                }
                if let Some(pause) = &mut self.pause {
                    ready!(pause.as_mut().poll(cx));
                    self.pause = None;
                }
                self.next.count = room.entries;
                self.next.max_bytes = room.bytes.min(MAX_STEP_BYTES);
                self.step = Some((self.run_step)(self.next.clone()));
            }
            let Some(step) = &mut self.step else {
                return Poll::Pending;
            };
            let reclaimed = ready!(step.poll_unpin(cx));
            self.step = None;
            match reclaimed {
                Ok(reclaimed) => {
                    self.next.since_ms = Some(reclaimed.since_ms);
                    self.next.cursor.clone_from(&reclaimed.cursor);
                    if self.next.cursor == START {
                        self.start_pause();
                    }
                    if !reclaimed.entries.is_empty() || !reclaimed.skipped.is_empty() {
                        return Poll::Ready(Ok(reclaimed));
                    }
                }
                // The step did nothing; the next scan does it.
                Err(error) if error.retry() == Retry::Later => {
                    tracing::debug!(%error, "a scan of pending entries ended early");
                    // The first step set no time, so leave all of the consumer's own entries alone.
                    self.next.since_ms.get_or_insert(0);
                    START.clone_into(&mut self.next.cursor);
                    self.start_pause();
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Returns whether a step is under way.
    pub fn is_in_step(&self) -> bool {
        self.step.is_some()
    }

    /// Polls for the end of the step under way, and drops what it reclaimed. Ready if there is none.
    pub fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(step) = &mut self.step {
            // Whoever calls this has no use for the result, nor for the error.
            let _ = ready!(step.poll_unpin(cx));
            self.step = None;
        }
        Poll::Ready(())
    }

    fn start_pause(&mut self) {
        self.pause = Some(Box::pin(sleep(self.period)));
    }
}

impl fmt::Debug for ReclaimSchedule<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReclaimSchedule")
            .field("next", &self.next)
            .field("period", &self.period)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::future::poll_fn;
    use std::sync::{Arc, Mutex};

    use streamgate_protocol::message::Subscription;
    use streamgate_protocol::{CacheError, Entry, Skipped};
    use tokio::time::Instant;

    use super::*;

    /// The steps that a backend ran, and when.
    type RunSteps = Arc<Mutex<Vec<(ReclaimStep, Instant)>>>;

    /// The schedule of a backend that returns these results, then never another.
    fn schedule_of(
        claim_after_ms: u64,
        results: Vec<CacheResult<Reclaimed>>,
    ) -> (ReclaimSchedule<'static>, RunSteps) {
        let steps = RunSteps::default();
        let log = Arc::clone(&steps);
        let results = Mutex::new(VecDeque::from(results));
        let options = streamgate_protocol::ConsumeOptions::default().claim_after_ms(claim_after_ms);
        let consume = Subscription::consume("s", "g", "c", options);
        let first = ReclaimStep::first(&consume).unwrap();
        let schedule = ReclaimSchedule::new(first, move |step| {
            log.lock().unwrap().push((step, Instant::now()));
            let result = results.lock().unwrap().pop_front();
            async move {
                match result {
                    Some(result) => result,
                    None => std::future::pending().await,
                }
            }
            .boxed()
        });
        (schedule, steps)
    }

    fn reclaimed(ids: &[&str], cursor: &str) -> CacheResult<Reclaimed> {
        let entries = ids.iter().map(|id| Entry::deleted(*id));
        Ok(Reclaimed::new(entries.collect(), cursor, 7))
    }

    const ROOM: Credit = Credit {
        entries: 5,
        bytes: 1_000,
    };

    async fn next(schedule: &mut ReclaimSchedule<'_>) -> CacheResult<Vec<Entry>> {
        let reclaimed = poll_fn(|cx| schedule.poll_next(cx, ROOM)).await?;
        Ok(reclaimed.entries)
    }

    #[tokio::test(start_paused = true)]
    async fn a_scan_continues_at_once_and_the_next_begins_after_a_pause() {
        for (after, period) in [
            (1, MIN_PERIOD),
            (4_000, Duration::from_secs(1)),
            (u64::MAX, MAX_PERIOD),
        ] {
            let results = vec![
                reclaimed(&["1-0"], "1-0"),
                reclaimed(&[], "2-0"),
                reclaimed(&["3-0"], START),
                reclaimed(&["4-0"], START),
            ];
            let (mut schedule, steps) = schedule_of(after, results);
            let start = Instant::now();
            for id in ["1-0", "3-0", "4-0"] {
                assert_eq!(next(&mut schedule).await.unwrap()[0].id, id);
            }
            let steps = steps.lock().unwrap();
            let arguments: Vec<_> = steps
                .iter()
                .map(|(step, _)| (&*step.cursor, step.since_ms, step.count))
                .collect();
            let expected = [
                (START, None, 5),
                ("1-0", Some(7), 5),
                ("2-0", Some(7), 5),
                (START, Some(7), 5),
            ];
            assert_eq!(arguments, expected);
            let times: Vec<_> = steps.iter().map(|(_, at)| *at - start).collect();
            assert_eq!(times[..3], [Duration::ZERO; 3]);
            // A tokio timer is exact to a millisecond.
            assert!(times[3] >= period && times[3] <= period + Duration::from_millis(1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_step_begins_without_room() {
        let (mut schedule, steps) = schedule_of(1, vec![reclaimed(&["1-0"], START)]);
        for room in [Credit { entries: 0, ..ROOM }, Credit { bytes: 0, ..ROOM }] {
            let pending = poll_fn(|cx| Poll::Ready(schedule.poll_next(cx, room).is_pending()));
            assert!(pending.await && steps.lock().unwrap().is_empty());
        }
        assert_eq!(next(&mut schedule).await.unwrap()[0].id, "1-0");
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_is_bounded_by_the_room_and_reports_what_it_skips() {
        let skipped = vec![Skipped::new("1-0", 17)];
        let result = Ok(Reclaimed::new(vec![], START, 7).skipped(skipped.clone()));
        let (mut schedule, steps) = schedule_of(1, vec![reclaimed(&[], "0-9"), result]);
        let reclaimed = poll_fn(|cx| schedule.poll_next(cx, ROOM)).await.unwrap();
        assert_eq!(reclaimed.skipped, skipped);
        let step = steps.lock().unwrap()[0].0.clone();
        assert_eq!((step.count, step.max_bytes), (ROOM.entries, ROOM.bytes));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_step_is_retried_later_and_reclaims_nothing_of_its_own_consumer() {
        let later = Err(CacheError::from_code("DISCONNECTED", "why"));
        let (mut schedule, steps) = schedule_of(1, vec![later, reclaimed(&["1-0"], START)]);
        assert_eq!(next(&mut schedule).await.unwrap()[0].id, "1-0");
        let steps = steps.lock().unwrap();
        assert_eq!(steps[1].0.since_ms, Some(0));
        assert!(steps[1].1 - steps[0].1 >= MIN_PERIOD);
    }

    #[tokio::test(start_paused = true)]
    async fn any_other_error_is_returned() {
        for code in ["UNKNOWN_OUTCOME", "NOGROUP"] {
            let results = vec![Err(CacheError::from_code(code, "why"))];
            let (mut schedule, _) = schedule_of(1, results);
            assert_eq!(next(&mut schedule).await.unwrap_err().code(), code);
        }
    }
}
