//! The stream of one subscription.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use streamgate_protocol::message::{Item, Subscription};
use streamgate_protocol::{CacheError, CacheResult};
use tokio::sync::mpsc;

use super::cancel_guard::CancelGuard;
use super::driver_handle::DriverHandle;
use crate::command::Command;

/// Subscribes in its first poll. Ends after its first error, or when the client is closed; ends at
/// the server when it is dropped.
pub(super) struct SubscriptionStream(SubscriptionStage);

enum SubscriptionStage {
    Unsent(Arc<DriverHandle>, Subscription<'static>),
    Active(ActiveSubscription),
    Finished,
}

struct ActiveSubscription {
    cancel_guard: CancelGuard<Arc<DriverHandle>>,
    driver: Arc<DriverHandle>,
    id: u64,
    is_read_only: bool,
    items: mpsc::UnboundedReceiver<CacheResult<Option<Item>>>,
    /// What a consumer took out of `items` already.
    arrived: VecDeque<CacheResult<Option<Item>>>,
}

impl SubscriptionStream {
    pub(super) const fn new(
        driver: Arc<DriverHandle>,
        subscription: Subscription<'static>,
    ) -> Self {
        Self(SubscriptionStage::Unsent(driver, subscription))
    }
}

impl Stream for SubscriptionStream {
    type Item = CacheResult<Item>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let stage = &mut self.0;
        let mut active = match std::mem::replace(stage, SubscriptionStage::Finished) {
            SubscriptionStage::Unsent(driver, subscription) => {
                match ActiveSubscription::send(driver, subscription) {
                    Ok(active) => active,
                    Err(error) => return Poll::Ready(Some(Err(error))),
                }
            }
            SubscriptionStage::Active(active) => active,
            SubscriptionStage::Finished => return Poll::Ready(None),
        };
        let next = active.poll_next(cx);
        if matches!(next, Poll::Pending | Poll::Ready(Ok(Some(_)))) {
            *stage = SubscriptionStage::Active(active);
        }
        next.map(Result::transpose)
    }
}

impl ActiveSubscription {
    fn send(driver: Arc<DriverHandle>, subscription: Subscription<'static>) -> CacheResult<Self> {
        subscription.validate()?;
        let permit = driver.permits.acquire()?;
        let id = driver.new_id();
        let is_read_only = subscription.is_read_only();
        let (sender, items) = mpsc::unbounded_channel();
        driver.send(Command::Subscribe {
            id,
            subscription: Box::new(subscription),
            items: sender,
            permit,
        })?;
        Ok(Self {
            cancel_guard: CancelGuard::new(Arc::clone(&driver), id),
            driver,
            id,
            is_read_only,
            items,
            arrived: VecDeque::new(),
        })
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<CacheResult<Option<Item>>> {
        let next = ready!(self.poll_item(cx));
        // Without an item the driver was dropped, as with its runtime.
        let dropped = || {
            Err(CacheError::lost(
                self.is_read_only,
                "the driver was dropped",
            ))
        };
        let next = next.unwrap_or_else(dropped);
        match &next {
            Ok(Some(item)) => self.report_consumed(item),
            // A client that closes waits until its consumers have ended here.
            Ok(None) => {}
            Err(_) => self.cancel_guard.disarm(),
        }
        Poll::Ready(next)
    }

    /// A consumer whose owner closes the client drops the entries that it did not show: they stay
    /// pending.
    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<CacheResult<Option<Item>>>> {
        let is_consumer = !self.is_read_only;
        while is_consumer && let Poll::Ready(Some(item)) = self.items.poll_recv(cx) {
            if matches!(item, Ok(None)) {
                self.arrived.clear();
            }
            self.arrived.push_back(item);
        }
        match self.arrived.pop_front() {
            None => self.items.poll_recv(cx),
            item => Poll::Ready(item),
        }
    }

    fn report_consumed(&self, item: &Item) {
        let taken = item.cost();
        // Without a driver nothing more is granted; the next poll reports that.
        let _ = self.driver.send(Command::Consumed { id: self.id, taken });
    }
}
