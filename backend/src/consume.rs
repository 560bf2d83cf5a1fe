//! A group's entries as they come, in this process.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{Stream, StreamExt};
use streamgate_protocol::message::Subscription;
use streamgate_protocol::{CacheResult, ConsumeOptions, Deliveries, StreamEntry};

use crate::Backend;
use crate::reclaim::schedule::ReclaimSchedule;
use crate::reclaim::step::ReclaimStep;

/// Reads of a group that wait without a limit, one after the other, and beside them rounds over
/// what is pending.
pub fn consume<B: Backend + Clone + Unpin + 'static>(
    backend: &B,
    stream_key: &str,
    group_name: &str,
    consumer_name: &str,
    options: ConsumeOptions,
) -> Deliveries {
    let batch = options.batch;
    let subscription = Subscription::consume(stream_key, group_name, consumer_name, options);
    let rounds = ReclaimStep::first(&subscription).map(|first| {
        let backend = backend.clone();
        ReclaimSchedule::new(first, move |step| {
            let backend = backend.clone();
            async move { backend.reclaim(step).await }.boxed()
        })
    });
    let consuming = Consuming {
        backend: backend.clone(),
        names: [stream_key, group_name, consumer_name].map(str::to_owned),
        batch,
        valid: subscription.validate(),
        rounds,
        reading: None,
        over: false,
    };
    consuming.boxed()
}

struct Consuming<B> {
    backend: B,
    names: [String; 3],
    batch: usize,
    valid: CacheResult<()>,
    rounds: Option<ReclaimSchedule<'static>>,
    /// The read under way; it waits in the group's line.
    reading: Option<BoxFuture<'static, CacheResult<Vec<StreamEntry>>>>,
    over: bool,
}

impl<B: Backend + Clone + Unpin + 'static> Consuming<B> {
    fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<CacheResult<Vec<StreamEntry>>> {
        self.valid.clone()?;
        // First, because a round is over some time, and what is added may never be.
        if let Some(rounds) = &mut self.rounds
            && let Poll::Ready(taken) = rounds.poll_next(cx, self.batch as u64)
        {
            return Poll::Ready(taken);
        }
        let reading = self.reading.get_or_insert_with(|| {
            let (backend, batch) = (self.backend.clone(), self.batch);
            let [stream, group, consumer] = self.names.clone();
            async move {
                let read = backend.stream_read_group(&stream, &group, &consumer, batch, Some(0));
                read.await
            }
            .boxed()
        });
        let read = ready!(reading.poll_unpin(cx));
        self.reading = None;
        Poll::Ready(read)
    }
}

impl<B: Backend + Clone + Unpin + 'static> Stream for Consuming<B> {
    type Item = CacheResult<Vec<StreamEntry>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        let batch = ready!(self.poll_batch(cx));
        if batch.is_err() {
            self.over = true;
            (self.reading, self.rounds) = (None, None);
        }
        Poll::Ready(Some(batch))
    }
}
