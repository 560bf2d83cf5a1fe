//! When the backend becomes unavailable or available again, as clients see it.
//!
//! A backend that is unavailable for a moment only, while a connection is replaced, is not reported.
//! While the backend flaps, reports become rarer: a client learns the latest state, and not each
//! state in between.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use streamgate_backend::Backend;
use streamgate_protocol::CacheError;
use streamgate_protocol::backoff::Backoff;
use streamgate_protocol::message::Fault;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

/// How long the backend must be unavailable before that is reported.
const SETTLE: Duration = Duration::from_millis(100);

/// Shortest time between two reports in milliseconds. It doubles while changes come sooner.
const MIN_INTERVAL_MS: u32 = 1_000;

/// Longest time for which a change is held back while the backend flaps, in milliseconds.
const MAX_INTERVAL_MS: u32 = 16_000;

/// The changes of a backend's availability.
///
/// Every socket has one: so the state is on the heap, and absent for a backend that is always
/// available.
pub(super) struct AvailabilityChanges(Option<BoxFuture<'static, AvailabilityChange>>);

/// A change, and the watch that yields the next one.
struct AvailabilityChange {
    watch: AvailabilityWatch,
    unavailable: Option<Fault>,
}

struct AvailabilityWatch {
    receiver: watch::Receiver<Option<CacheError>>,
    /// The code that was reported last.
    reported: Option<String>,
    /// When the next change may be reported; absent before the first report.
    not_before: Option<Instant>,
    intervals: Backoff,
}

impl AvailabilityChanges {
    /// Watches a backend. Returns also why it is unavailable now.
    pub(super) fn of(backend: &dyn Backend) -> (Self, Option<Fault>) {
        backend
            .availability()
            .map_or((Self(None), None), Self::watching)
    }

    /// Watches a receiver. Returns also why the backend is unavailable now.
    pub(super) fn watching(receiver: watch::Receiver<Option<CacheError>>) -> (Self, Option<Fault>) {
        let mut watch = AvailabilityWatch {
            receiver,
            reported: None,
            not_before: None,
            intervals: Backoff::new(MIN_INTERVAL_MS, MAX_INTERVAL_MS),
        };
        let unavailable = watch.unreported().flatten();
        (Self(Some(watch.next().boxed())), unavailable)
    }

    /// Polls for the next change: why the backend is unavailable, or `None` when it is available
    /// again. After a change, the waker is called for the next one only once this was polled again.
    pub(super) fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<Option<Fault>> {
        let Some(next) = &mut self.0 else {
            return Poll::Pending;
        };
        let AvailabilityChange { watch, unavailable } = ready!(next.poll_unpin(cx));
        self.0 = Some(watch.next().boxed());
        Poll::Ready(unavailable)
    }
}

impl AvailabilityWatch {
    async fn next(mut self) -> AvailabilityChange {
        loop {
            // A backend that has dropped its sender reports no further change.
            if self.receiver.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            match self.not_before {
                Some(at) if at > Instant::now() => {
                    // On the heap: otherwise every socket holds room for this timer.
                    Box::pin(sleep_until(at)).await;
                    // Back at the state reported last, the backend still flaps.
                    self.hold_back();
                }
                // The state reported last was not a short one.
                _ => self.intervals.reset(),
            }
            if self.reported.is_none() && self.receiver.borrow().is_some() {
                Box::pin(sleep(SETTLE)).await;
            }
            if let Some(unavailable) = self.unreported() {
                return AvailabilityChange {
                    watch: self,
                    unavailable,
                };
            }
        }
    }

    /// Returns the availability if its code differs from the one reported last.
    fn unreported(&mut self) -> Option<Option<Fault>> {
        let error = self.receiver.borrow_and_update();
        let code = error.as_ref().map(CacheError::code);
        if code == self.reported.as_deref() {
            return None;
        }
        self.reported = code.map(str::to_owned);
        let unavailable = error.as_ref().map(Fault::from);
        drop(error);
        if self.not_before.is_none_or(|at| at <= Instant::now()) {
            self.hold_back();
        }
        Some(unavailable)
    }

    /// Holds the next change back.
    fn hold_back(&mut self) {
        let interval = Duration::from_millis(self.intervals.next_pause_ms());
        self.not_before = Some(Instant::now() + interval);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use streamgate_protocol::error::code;
    use tokio::time::advance;

    use super::*;

    fn disconnected() -> Option<CacheError> {
        Some(CacheError::backend(code::DISCONNECTED, "no Redis"))
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_change_and_those_after_a_while_are_reported_soon() {
        let (sender, receiver) = watch::channel(None);
        let (mut changes, now) = AvailabilityChanges::watching(receiver);
        assert_eq!(now, None);
        let start = Instant::now();
        for state in [disconnected(), None, disconnected(), None] {
            sender.send(state.clone()).unwrap();
            let reported = poll_fn(|cx| changes.poll_changed(cx)).await;
            assert_eq!(reported.is_some(), state.is_some());
            advance(Duration::from_millis(MIN_INTERVAL_MS.into())).await;
        }
        let took = start.elapsed().saturating_sub(Duration::from_secs(4));
        assert!(took >= 2 * SETTLE && took < 3 * SETTLE, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_moment_of_unavailability_is_not_reported() {
        let (sender, receiver) = watch::channel(None);
        let (mut changes, _) = AvailabilityChanges::watching(receiver);
        for _ in 0..3 {
            sender.send(disconnected()).unwrap();
            let changed = poll_fn(|cx| changes.poll_changed(cx));
            assert!(tokio::time::timeout(SETTLE / 2, changed).await.is_err());
            sender.send(None).unwrap();
            let changed = poll_fn(|cx| changes.poll_changed(cx));
            assert!(tokio::time::timeout(SETTLE * 100, changed).await.is_err());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flapping_backend_is_reported_rarely_and_its_last_state_in_the_end() {
        let (sender, receiver) = watch::channel(None);
        let (mut changes, _) = AvailabilityChanges::watching(receiver);
        let mut reports = Vec::new();
        let flapping = async {
            for _ in 0..150 {
                sender.send(disconnected()).unwrap();
                sleep(Duration::from_millis(190)).await;
                sender.send(None).unwrap();
                sleep(Duration::from_millis(10)).await;
            }
            sleep(Duration::from_millis(2 * u64::from(MAX_INTERVAL_MS))).await;
        };
        let reporting = async {
            loop {
                reports.push(poll_fn(|cx| changes.poll_changed(cx)).await);
            }
        };
        tokio::select! {
            () = flapping => {}
            () = reporting => {}
        }
        // 300 changes in half a minute.
        assert!(reports.len() <= 6, "{} reports", reports.len());
        assert_eq!(reports.last(), Some(&None));
    }
}
