//! One subscription: its source, its credit, and the future that moves its items to the queue.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use streamgate_backend::TailEvent;
use streamgate_protocol::CacheResult;
use streamgate_protocol::message::{Account, Credit};

use super::push_source::PushSource;
use super::ready_queue::{ReadyItem, ReadyQueue};
use crate::rights::Terms;
use crate::session::message_size::MessageBound;
use crate::session::request_ticket::RequestTicket;

/// Grants credit to a subscription, or ends it.
#[derive(Clone)]
pub(in crate::session) struct SubscriptionHandle<'b> {
    ticket: RequestTicket,
    state: Arc<Mutex<SubscriptionState<'b>>>,
    ready: ReadyQueue,
    bound: MessageBound,
}

/// A subscription until its end. It moves the items of its source to the queue.
pub(super) struct RunningSubscription<'b>(SubscriptionHandle<'b>);

struct SubscriptionState<'b> {
    /// Absent after the end.
    source: Option<PushSource<'b>>,
    /// The source was stopped: it is here only until the backend has answered what it was asked.
    is_stopped: bool,
    account: Account,
    /// The wake-up that the subscription is registered for while it is starved.
    starved_for: Option<u64>,
    waker: Option<Waker>,
}

impl<'b> RunningSubscription<'b> {
    pub(super) fn new(
        ticket: RequestTicket,
        source: PushSource<'b>,
        credit: Credit,
        ready: ReadyQueue,
        bound: MessageBound,
    ) -> (SubscriptionHandle<'b>, Self) {
        let state = SubscriptionState {
            source: Some(source),
            is_stopped: false,
            account: Account::new(credit),
            starved_for: None,
            waker: None,
        };
        let handle = SubscriptionHandle {
            ticket,
            state: Arc::new(Mutex::new(state)),
            ready,
            bound,
        };
        (handle.clone(), Self(handle))
    }
}

impl<'b> SubscriptionHandle<'b> {
    /// Polls the source for the first time: when this returns, it has asked the backend.
    pub(in crate::session) fn begin(&self, cx: &mut Context<'_>) {
        let mut state = self.lock();
        // Whatever room the queue has: otherwise an operation after the subscription could come
        // before it.
        let room = state.account.left();
        if let Poll::Ready(Some(item)) = state.poll(cx, room) {
            self.push(&mut state.account, item);
        }
    }

    /// Adds to the credit.
    pub(in crate::session) fn grant(&self, more: Credit) {
        let mut state = self.lock();
        let was_used_up = state.account.left().is_used_up();
        state.account.grant(more);
        if was_used_up {
            state.wake();
        }
    }

    /// Sets the terms of the rights by which it goes on.
    pub(in crate::session) fn set_terms(&self, terms: &Terms) {
        if let Some(source) = &mut self.lock().source {
            source.set_terms(terms);
        }
    }

    /// Ends the subscription before this returns: the backend sees nobody wait when it performs the
    /// next operation, and none of the items is pushed any more.
    ///
    /// What the backend was asked counts until it is answered. Otherwise a client that subscribes
    /// and cancels without pause could ask for any amount.
    pub(in crate::session) fn end(&self) {
        let mut state = self.lock();
        state.is_stopped = true;
        if let Some(source) = &mut state.source
            && !source.stop()
        {
            state.source = None;
        }
        state.wake();
        self.ready.lock().remove_items_of(self.ticket);
    }

    /// Queues an item, in pieces that fit, and takes their cost from the account.
    fn push(&self, account: &mut Account, item: CacheResult<TailEvent>) {
        let ticket = self.ticket;
        let mut ready = self.ready.lock();
        let mut queue = |item: TailEvent| {
            account.use_up(item.cost());
            ready.push(ReadyItem {
                ticket,
                item: Ok(item),
            });
        };
        match item {
            Ok(TailEvent::Segment(segment)) => self.bound.split(segment, &mut queue),
            Ok(item) => queue(item),
            Err(error) => ready.push(ReadyItem {
                ticket,
                item: Err(error),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, SubscriptionState<'b>> {
        // One task owns the subscription and its handle; a panic ends it with both.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SubscriptionState<'_> {
    /// Polls for the next item within the room; `None` after the end.
    fn poll(&mut self, cx: &mut Context<'_>, room: Credit) -> Poll<Option<CacheResult<TailEvent>>> {
        let Some(source) = &mut self.source else {
            return Poll::Ready(None);
        };
        if self.is_stopped {
            ready!(source.poll_stopped(cx));
            self.source = None;
            return Poll::Ready(None);
        }
        let item = source.poll_next(cx, room);
        match &item {
            Poll::Pending => match &mut self.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                waker => *waker = Some(cx.waker().clone()),
            },
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(_)) => self.source = None,
        }
        item.map(Some)
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Future for RunningSubscription<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let subscription = &self.0;
        let mut state = subscription.lock();
        loop {
            let room = {
                let mut ready = subscription.ready.lock();
                if ready.has_room() {
                    state.account.left()
                } else {
                    ready.register_starved(&mut state.starved_for, cx.waker());
                    Credit::default()
                }
            };
            match ready!(state.poll(cx, room)) {
                Some(item) => subscription.push(&mut state.account, item),
                None => return Poll::Ready(()),
            }
        }
    }
}
