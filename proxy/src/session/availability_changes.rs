//! When the backend becomes unavailable or available again, as clients see it.

use std::task::{Context, Poll, ready};

use futures_util::future::{BoxFuture, FutureExt};
use streamgate_backend::Backend;
use streamgate_protocol::CacheError;
use streamgate_protocol::message::Fault;
use tokio::sync::watch;

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
        Some(error.as_ref().map(Fault::from))
    }
}
