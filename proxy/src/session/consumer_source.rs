//! Where a subscription's pushes come from.

use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use streamgate_protocol::message::{Credit, Subscription};
use streamgate_protocol::text::Text;
use streamgate_protocol::{CacheError, CacheResult, Operation, StreamEntry};

use crate::session::backpressure::{Held, Load};
use streamgate_backend::reclaim::schedule::ReclaimSchedule;
use streamgate_backend::reclaim::step::ReclaimStep;
use streamgate_backend::tail::page_size::PageSize;
use streamgate_backend::{Backend, Segment, TailEvent, TailSource};

/// What a subscription is pushed from.
pub(super) enum Source<'b> {
    Tail(Box<dyn TailSource + 'b>),
    Consumer(Consumer<'b>),
}

/// A consumer of a group, for whom the group is read again and again, as far as there is credit.
pub(super) struct Consumer<'b> {
    backend: &'b dyn Backend,
    stream: Text<'static>,
    group: Text<'static>,
    consumer: Text<'static>,
    batch: u64,
    /// The read under way; it waits in the group's line.
    reading: Option<BoxFuture<'b, CacheResult<Vec<StreamEntry>>>>,
    /// Beside the reads. A read that waits keeps its place while these use up the credit it was
    /// asked with, so that what it gives then is held.
    rounds: Option<Box<ReclaimSchedule<'b>>>,
    /// Entries that are the consumer's and that there was no credit for: how large entries are is
    /// known only once they are read.
    held: Vec<StreamEntry>,
    _holds: Option<Held>,
    load: Load,
    /// What is read has to be held until it is sent, so no more than a page is read at once,
    /// however large a batch may be.
    page_size: PageSize,
}

impl<'b> Source<'b> {
    /// Nothing is asked before the first poll.
    pub(super) fn open(
        backend: &'b dyn Backend,
        subscription: Subscription<'_>,
        load: &Load,
    ) -> CacheResult<Self> {
        subscription.validate()?;
        let first = ReclaimStep::first(&subscription);
        Ok(match subscription {
            Subscription::Tail { stream, from } => {
                Self::Tail(backend.tail_source(&stream, from.into()))
            }
            Subscription::Consume {
                stream,
                group,
                consumer,
                batch,
                ..
            } => Self::Consumer(Consumer {
                backend,
                stream: stream.into_owned(),
                group: group.into_owned(),
                consumer: consumer.into_owned(),
                batch,
                reading: None,
                rounds: first.map(|first| Box::new(rounds(backend, first, load))),
                held: Vec::new(),
                _holds: None,
                page_size: PageSize::new(),
                load: load.clone(),
            }),
        })
    }

    /// As [`Follow::poll_next`].
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        room: Credit,
    ) -> Poll<CacheResult<TailEvent>> {
        match self {
            Self::Tail(follow) => follow.poll_next(cx, room),
            Self::Consumer(consumer) => consumer.poll_next(cx, room),
        }
    }
}

impl Consumer<'_> {
    fn poll_next(&mut self, cx: &mut Context<'_>, room: Credit) -> Poll<CacheResult<TailEvent>> {
        while self.held.is_empty() {
            // First, because a round is over some time, and what is added may never be.
            let wanted = self.wanted(room);
            if let Some(rounds) = &mut self.rounds
                && let Poll::Ready(taken) = rounds.poll_next(cx, wanted)
            {
                self.held = taken?;
                self.page_size.observe(&self.held);
                continue;
            }
            if self.reading.is_none() {
                if room.is_used_up() {
                    // Whoever grants more polls again.
                    return Poll::Pending;
                }
                self.read(wanted);
            }
            let Some(reading) = &mut self.reading else {
                return Poll::Pending;
            };
            let read = std::task::ready!(reading.poll_unpin(cx));
            self.reading = None;
            self.held = read?;
            self.page_size.observe(&self.held);
        }
        let fitting = room.fitting(&self.held);
        if fitting == 0 {
            return Poll::Pending;
        }
        let rest = self.held.split_off(fitting);
        let bytes = Credit::of(&rest).bytes;
        self._holds = (bytes > 0).then(|| self.load.hold(bytes));
        let entries = std::mem::replace(&mut self.held, rest);
        Poll::Ready(Ok(TailEvent::Segment(Segment::new(entries))))
    }

    /// How many entries to ask for: no more than there seems to be room for, and none without any.
    fn wanted(&self, room: Credit) -> u64 {
        if room.is_used_up() {
            return 0;
        }
        if self.load.is_full() {
            return 1;
        }
        self.page_size.within(Credit {
            entries: room.entries.min(self.batch),
            ..room
        })
    }

    fn read(&mut self, count: u64) {
        let operation = Operation::ReadGroup {
            stream: self.stream.clone(),
            group: self.group.clone(),
            consumer: self.consumer.clone(),
            count,
            block_ms: Some(0),
        };
        let performing = self.backend.perform(vec![operation]);
        let asking = self.load.ask();
        self.reading = Some(
            async move {
                let mut progress = performing.await;
                // A wait loads nothing.
                drop(asking);
                match progress.pop() {
                    Some(progress) => progress.finish().await?.into_entries(),
                    None => Err(CacheError::InternalError(
                        "the backend did not answer a read of a group".to_owned(),
                    )),
                }
            }
            .boxed(),
        );
    }
}

fn rounds<'b>(backend: &'b dyn Backend, first: ReclaimStep, load: &Load) -> ReclaimSchedule<'b> {
    let load = load.clone();
    ReclaimSchedule::new(first, move |step| {
        let (taking, asking) = (backend.reclaim(step), load.ask());
        async move {
            let taken = taking.await;
            drop(asking);
            taken
        }
        .boxed()
    })
}
