//! The subscriptions of one socket.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_util::stream::{FuturesUnordered, StreamExt};
use streamgate_protocol::CacheResult;
use streamgate_protocol::message::Credit;

use super::requests::Ticket;
use super::source::Source;
use crate::Followed;

/// Whatever is to be pushed on a socket, of all its subscriptions.
#[derive(Default)]
pub(super) struct Subscriptions<'b> {
    running: FuturesUnordered<Next<'b>>,
}

/// The way to a subscription that runs.
#[derive(Clone)]
pub(super) struct Subscriber<'b>(Arc<Mutex<State<'b>>>);

struct State<'b> {
    /// Absent once it is over.
    source: Option<Source<'b>>,
    credit: Credit,
    /// The first item says where a tail stands, and is not held by the credit.
    begun: bool,
    waker: Option<Waker>,
}

/// A subscription's next item.
struct Next<'b> {
    ticket: Ticket,
    subscriber: Subscriber<'b>,
}

impl<'b> Subscriptions<'b> {
    /// Begins a subscription: what it asks of the backend is asked when this returns.
    pub(super) fn begin(
        &mut self,
        ticket: Ticket,
        source: Source<'b>,
        credit: Credit,
        cx: &mut Context<'_>,
    ) -> (Subscriber<'b>, Poll<CacheResult<Followed>>) {
        let subscriber = Subscriber(Arc::new(Mutex::new(State {
            source: Some(source),
            credit,
            begun: false,
            waker: None,
        })));
        let first = match subscriber.lock().poll(cx) {
            Poll::Ready(Some(item)) => Poll::Ready(item),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        };
        self.running.push(Next {
            ticket,
            subscriber: subscriber.clone(),
        });
        (subscriber, first)
    }

    /// What is to be pushed next. An error ends its subscription.
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<(Ticket, CacheResult<Followed>)> {
        loop {
            match self.running.poll_next_unpin(cx) {
                Poll::Ready(Some((next, Some(item)))) => {
                    let ticket = next.ticket;
                    if item.is_ok() {
                        self.running.push(next);
                    }
                    return Poll::Ready((ticket, item));
                }
                // It was cancelled.
                Poll::Ready(Some((_, None))) => {}
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Subscriber<'_> {
    /// Adds to what may be pushed.
    pub(super) fn grant(&self, more: Credit) {
        let mut state = self.lock();
        let was_used_up = state.credit.is_used_up();
        state.credit = state.credit.plus(more);
        if was_used_up {
            state.wake();
        }
    }

    /// Ends it before this returns: what is performed next finds nobody waiting.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.source = None;
        state.wake();
    }
}

impl<'b> Subscriber<'b> {
    fn lock(&self) -> MutexGuard<'_, State<'b>> {
        // One task has the subscription and its handle; a panic takes both with it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State<'_> {
    /// The next item; none once it is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<CacheResult<Followed>>> {
        let Some(source) = &mut self.source else {
            return Poll::Ready(None);
        };
        let may_push = !self.begun || !self.credit.is_used_up();
        let item = if may_push {
            source.poll_next(cx, self.credit)
        } else {
            Poll::Pending
        };
        match &item {
            Poll::Pending => self.waker = Some(cx.waker().clone()),
            Poll::Ready(Ok(followed)) => {
                self.begun = true;
                if let Followed::Segment(segment) = followed {
                    self.credit = self.credit.minus(segment.cost());
                }
            }
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

impl<'b> Future for Next<'b> {
    type Output = (Self, Option<CacheResult<Followed>>);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let item = std::task::ready!(self.subscriber.lock().poll(cx));
        let again = Next {
            ticket: self.ticket,
            subscriber: self.subscriber.clone(),
        };
        Poll::Ready((again, item))
    }
}
