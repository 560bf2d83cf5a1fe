//! One subscription, from a handle's side.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use streamgate_protocol::message::{Credit, Item, Subscription};
use streamgate_protocol::{CacheError, CacheResult};
use tokio::sync::mpsc;

use super::DriverHandle;
use super::cancel_guard::{CancelGuard, Slot};
use crate::driver::Command;

/// Subscribes in its first poll. Ends behind its first error; ends at the server when dropped.
pub(super) struct Items(State);

enum State {
    Asked(Arc<DriverHandle>, Subscription<'static>),
    Live(Live),
    Over,
}

struct Live {
    _slot: Slot<Arc<DriverHandle>>,
    cancel: CancelGuard<Arc<DriverHandle>>,
    shared: Arc<DriverHandle>,
    id: u64,
    read_only: bool,
    items: mpsc::UnboundedReceiver<CacheResult<Item>>,
}

impl Items {
    pub(super) const fn new(
        shared: Arc<DriverHandle>,
        subscription: Subscription<'static>,
    ) -> Self {
        Self(State::Asked(shared, subscription))
    }
}

impl Stream for Items {
    type Item = CacheResult<Item>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let state = &mut self.0;
        let mut live = match std::mem::replace(state, State::Over) {
            State::Asked(shared, subscription) => match Live::begin(shared, subscription) {
                Ok(live) => live,
                Err(error) => return Poll::Ready(Some(Err(error))),
            },
            State::Live(live) => live,
            State::Over => return Poll::Ready(None),
        };
        let next = live.poll_next(cx);
        if !matches!(next, Poll::Ready(Err(_))) {
            *state = State::Live(live);
        }
        next.map(Some)
    }
}

impl Live {
    fn begin(shared: Arc<DriverHandle>, subscription: Subscription<'static>) -> CacheResult<Self> {
        let slot = Slot::take(Arc::clone(&shared))?;
        let id = shared.new_id();
        let read_only = subscription.is_read_only();
        let (sender, items) = mpsc::unbounded_channel();
        let command = Command::Subscribe {
            id,
            subscription: Box::new(subscription),
            items: sender,
        };
        shared.send(command)?;
        Ok(Self {
            _slot: slot,
            cancel: CancelGuard::new(Arc::clone(&shared), id),
            shared,
            id,
            read_only,
            items,
        })
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<CacheResult<Item>> {
        let next = ready!(self.items.poll_recv(cx));
        // The driver was dropped, as with its runtime, with the subscription inside.
        let gone = || Err(CacheError::lost(self.read_only, "the driver is gone"));
        let next = next.unwrap_or_else(gone);
        match &next {
            Ok(item) => self.taken(item),
            Err(_) => self.cancel.disarm(),
        }
        Poll::Ready(next)
    }

    fn taken(&self, item: &Item) {
        let taken = match item {
            Item::Entries { entries, .. } => Credit::of(entries),
            Item::Gap(_) => Credit::default(),
        };
        // Without a driver nothing more is granted; the next poll says so.
        let _ = self.shared.send(Command::Consumed { id: self.id, taken });
    }
}
