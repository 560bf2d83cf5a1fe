//! What a client is told of its server's backend.

use std::future::poll_fn;

use futures_util::future::{BoxFuture, FutureExt};
use streamgate_protocol::CacheError;
use streamgate_protocol::message::Fault;
use tokio::sync::watch;

use super::called::Called;
use crate::Backend;

/// What there is to tell, as it changes. On the heap, and nothing for a backend that is always there:
/// every socket has one.
pub(super) struct Availability(Option<Told>);

struct Told {
    next: BoxFuture<'static, Change>,
    /// A look at it takes a lock that all sockets share.
    called: Called,
}

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
        let Some(receiver) = backend.availability() else {
            return (Self(None), None);
        };
        let mut watch = Watch {
            receiver,
            told: None,
        };
        let away = watch.news().flatten();
        (Self(Some(Told::next(watch))), away)
    }

    /// Waits for the next change: why it is away, or nothing when it is there again.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub(super) async fn changed(&mut self) -> Option<Fault> {
        let Some(Told { next, called }) = &mut self.0 else {
            return std::future::pending().await;
        };
        let change = poll_fn(|cx| called.poll(cx, false, |cx| next.poll_unpin(cx)));
        let Change { watch, away } = change.await;
        self.0 = Some(Told::next(watch));
        away
    }
}

impl Told {
    fn next(watch: Watch) -> Self {
        Self {
            next: watch.next().boxed(),
            called: Called::new(),
        }
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
