//! What a client is told of its server's backend.

use std::task::{Context, Poll, ready};

use futures_util::future::{BoxFuture, FutureExt};
use streamgate_protocol::CacheError;
use streamgate_protocol::message::Fault;
use tokio::sync::watch;

use streamgate_backend::Backend;

/// What there is to tell, as it changes. On the heap, and nothing for a backend that is always there:
/// every socket has one.
pub(super) struct Availability(Option<BoxFuture<'static, Change>>);

/// A change, and what to wait for the next one with.
struct Change {
    watch: Watch,
    away: Option<Fault>,
}

struct Watch {
    receiver: watch::Receiver<Option<CacheError>>,
    /// The code that was told last.
    told: Option<String>,
}

impl Availability {
    /// Of a backend, and why that is away now.
    pub(super) fn of(backend: &dyn Backend) -> (Self, Option<Fault>) {
        backend
            .availability()
            .map_or((Self(None), None), Self::watching)
    }

    /// As it is told.
    pub(super) fn watching(receiver: watch::Receiver<Option<CacheError>>) -> (Self, Option<Fault>) {
        let mut watch = Watch {
            receiver,
            told: None,
        };
        let away = watch.news().flatten();
        (Self(Some(watch.next().boxed())), away)
    }

    /// The next change: why it is away, or nothing when it is there again. Of another one it calls once
    /// it was polled again.
    pub(super) fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<Option<Fault>> {
        let Some(next) = &mut self.0 else {
            return Poll::Pending;
        };
        let Change { watch, away } = ready!(next.poll_unpin(cx));
        self.0 = Some(watch.next().boxed());
        Poll::Ready(away)
    }
}

impl Watch {
    async fn next(mut self) -> Change {
        loop {
            // Who does not tell any more is as it was.
            if self.receiver.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            if let Some(away) = self.news() {
                return Change { watch: self, away };
            }
        }
    }

    /// What is another code than that which was told last.
    fn news(&mut self) -> Option<Option<Fault>> {
        let away = self.receiver.borrow_and_update();
        let code = away.as_ref().map(CacheError::code);
        if code == self.told.as_deref() {
            return None;
        }
        self.told = code.map(str::to_owned);
        Some(away.as_ref().map(Fault::from))
    }
}
