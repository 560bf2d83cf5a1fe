//! Where a subscription's items come from: a tail of the backend, or a group's entries.

use std::task::{Context, Poll, ready};

use streamgate_backend::consume::missing_group::MissingGroup;
use streamgate_backend::reclaim::step::ReclaimStep;
use streamgate_backend::{Backend, TailEvent, TailSource};
use streamgate_protocol::message::{Credit, Subscription};
use streamgate_protocol::{CacheError, CacheResult};

use super::consumer_source::{ConsumerSource, GroupRead};
use crate::rights::{DeadLetterTerms, Terms};
use crate::session::backpressure::{Backpressure, PendingReplyGuard};
use crate::session::message_size::MessageBound;

/// The source of a subscription's items.
pub(super) enum PushSource<'b> {
    Tail {
        tail: Box<dyn TailSource + 'b>,
        /// Held until the first item.
        first_reply: Option<PendingReplyGuard>,
    },
    Consumer(Box<ConsumerSource<'b>>),
}

impl<'b> PushSource<'b> {
    /// Opens the source of a subscription. It asks the backend for nothing before its first poll.
    ///
    /// # Errors
    ///
    /// Those of [`Subscription::validate`].
    pub(super) fn open(
        backend: &'b dyn Backend,
        subscription: Subscription<'_>,
        dead_letters: DeadLetterTerms,
        backpressure: &Backpressure,
        bound: MessageBound,
    ) -> CacheResult<Self> {
        subscription.validate()?;
        let mut first_reclaim = ReclaimStep::first(&subscription);
        if let Some(first) = &mut first_reclaim {
            first.max_entry_bytes = bound.max_entry_bytes();
            if let Some(policy) = &mut first.dead_letter {
                (policy.source, policy.maxlen) = (dead_letters.stream, dead_letters.maxlen);
            }
        }
        let missing_group = MissingGroup::of(&subscription);
        Ok(match subscription {
            Subscription::Tail { stream, from } => {
                let tail = backend.tail_source(stream, from.into());
                let first_reply = Some(backpressure.expect_reply());
                Self::Tail { tail, first_reply }
            }
            Subscription::Consume {
                stream,
                group,
                consumer,
                batch,
                ..
            } => {
                let read = GroupRead {
                    stream: stream.into_owned(),
                    group: group.into_owned(),
                    consumer: consumer.into_owned(),
                    batch,
                };
                let (options, backpressure) = (bound.perform_options(), backpressure.clone());
                let mut source =
                    ConsumerSource::new(backend, read, options, first_reclaim, backpressure);
                if let Some(missing_group) = missing_group {
                    source.create_group(missing_group);
                }
                Self::Consumer(Box::new(source))
            }
            _ => return Err(CacheError::unsupported("this subscription")),
        })
    }

    /// Sets the terms of the rights by which it goes on. A tail has none.
    pub(super) fn set_terms(&mut self, terms: &Terms) {
        if let Self::Consumer(consumer) = self {
            consumer.set_terms(terms);
        }
    }

    /// Polls for the next item, as [`TailSource::poll_next`].
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        room: Credit,
    ) -> Poll<CacheResult<TailEvent>> {
        match self {
            Self::Tail { tail, first_reply } => {
                let item = ready!(tail.poll_next(cx, room));
                *first_reply = None;
                Poll::Ready(item)
            }
            Self::Consumer(consumer) => consumer.poll_next(cx, room),
        }
    }

    /// Asks the backend for nothing more, and waits for no entry any more. Returns whether the
    /// backend owes a reply.
    pub(super) fn stop(&mut self) -> bool {
        match self {
            Self::Tail { first_reply, .. } => first_reply.is_some(),
            Self::Consumer(consumer) => consumer.stop(),
        }
    }

    /// Polls until the backend owes no reply. Call it only after [`stop`](Self::stop) returned
    /// `true`.
    pub(super) fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            // Without room a tail ends its start, with one entry more at most, and has a first item.
            Self::Tail { tail, .. } => tail.poll_next(cx, Credit::default()).map(drop),
            Self::Consumer(consumer) => consumer.poll_stopped(cx),
        }
    }
}
