//! The subscriptions of one socket, and the items that they push.
//!
//! If a socket has no room, the session still polls its subscriptions, with no credit: what they
//! have asked of the backend goes on. Otherwise a client that does not read would keep its turn at
//! reading pages, and its place in a group's queue, from everybody else.

mod consumer_source;
mod group_reading;
mod push_source;
mod ready_queue;
mod subscription;

use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, StreamExt};
use streamgate_backend::Backend;
use streamgate_protocol::CacheResult;
use streamgate_protocol::message::{Credit, Subscription};

use self::push_source::PushSource;
use self::ready_queue::ReadyQueue;
use self::subscription::RunningSubscription;
use crate::rights::DeadLetterTerms;
use crate::session::backpressure::Backpressure;
use crate::session::message_size::MessageBound;
use crate::session::request_ticket::RequestTicket;

pub(super) use self::ready_queue::ReadyItem;
pub(super) use self::subscription::SubscriptionHandle;

/// The subscriptions of a socket.
pub(super) struct Subscriptions<'b> {
    bound: MessageBound,
    running: FuturesUnordered<RunningSubscription<'b>>,
    ready: ReadyQueue,
    backpressure: Backpressure,
}

impl<'b> Subscriptions<'b> {
    pub(super) fn new(bound: MessageBound) -> Self {
        Self {
            bound,
            running: FuturesUnordered::new(),
            ready: ReadyQueue::default(),
            backpressure: Backpressure::default(),
        }
    }

    /// Bounds the pushes of subscriptions that are opened later.
    pub(super) fn set_bound(&mut self, bound: MessageBound) {
        self.bound = bound;
    }

    /// Opens a subscription. It asks the backend for nothing before
    /// [`begin`](SubscriptionHandle::begin).
    ///
    /// # Errors
    ///
    /// Those of [`Subscription::validate`].
    pub(super) fn open(
        &mut self,
        ticket: RequestTicket,
        backend: &'b dyn Backend,
        subscription: Subscription<'_>,
        dead_letters: DeadLetterTerms,
        credit: Credit,
    ) -> CacheResult<SubscriptionHandle<'b>> {
        let backpressure = &self.backpressure;
        let source = PushSource::open(
            backend,
            subscription,
            dead_letters,
            backpressure,
            self.bound,
        )?;
        let ready = self.ready.clone();
        let (handle, running) = RunningSubscription::new(ticket, source, credit, ready, self.bound);
        self.running.push(running);
        Ok(handle)
    }

    /// Polls for the next item to push, if there is `room` for it.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>, room: bool) -> Poll<ReadyItem> {
        if let Some(item) = self.ready.pop_if(room) {
            return Poll::Ready(item);
        }
        // Subscriptions that end leave the set; the others call their wakers.
        while let Poll::Ready(Some(())) = self.running.poll_next_unpin(cx) {}
        match room.then(|| self.ready.lock().pop()).flatten() {
            Some(item) => Poll::Ready(item),
            None => Poll::Pending,
        }
    }

    /// Returns how many there are, with those that have ended since the last poll.
    pub(super) fn len(&self) -> usize {
        self.running.len()
    }

    /// Returns the bytes of entries that wait to be pushed.
    pub(super) fn held_bytes(&self) -> usize {
        if self.running.is_empty() {
            return 0;
        }
        let bytes = self.ready.lock().bytes() + self.backpressure.buffered_bytes();
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// Returns whether items wait to be pushed, or subscriptions for room to load some.
    pub(super) fn are_held_up(&self) -> bool {
        !self.running.is_empty() && self.ready.lock().is_held_up()
    }

    /// Returns how many replies the backend owes.
    pub(super) fn pending_replies(&self) -> usize {
        self.backpressure.pending_replies()
    }
}
