//! A group's entries as a stream, for consumers in this process.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{Stream, StreamExt};
use streamgate_protocol::message::{Credit, Subscription};
use streamgate_protocol::{CacheResult, ConsumeOptions, Deliveries, StreamEntry};

use crate::Backend;
use crate::reclaim::schedule::ReclaimSchedule;
use crate::reclaim::step::ReclaimStep;

/// Returns the entries that a consumer of a group gets, as
/// [`SubscribingBackend::consume`](streamgate_protocol::SubscribingBackend::consume) defines them.
///
/// For backends that implement that trait: it reads the group without a time limit, again and
/// again, and reclaims pending entries on a [`ReclaimSchedule`] meanwhile.
pub fn consume<B: Backend + Clone + Unpin + 'static>(
    backend: &B,
    stream_key: &str,
    group_name: &str,
    consumer_name: &str,
    options: ConsumeOptions,
) -> Deliveries {
    let batch = options.batch;
    let subscription = Subscription::consume(stream_key, group_name, consumer_name, options);
    let reclaim = ReclaimStep::first(&subscription).map(|first| {
        let backend = backend.clone();
        ReclaimSchedule::new(first, move |step| {
            let backend = backend.clone();
            async move { backend.reclaim(step).await }.boxed()
        })
    });
    let consumer = GroupConsumer {
        backend: backend.clone(),
        names: [stream_key, group_name, consumer_name].map(str::to_owned),
        batch,
        valid: subscription.validate(),
        reclaim,
        read: None,
        ended: false,
    };
    consumer.boxed()
}

struct GroupConsumer<B> {
    backend: B,
    /// Of the stream, the group and the consumer.
    names: [String; 3],
    batch: usize,
    valid: CacheResult<()>,
    reclaim: Option<ReclaimSchedule<'static>>,
    /// The group read in flight.
    read: Option<BoxFuture<'static, CacheResult<Vec<StreamEntry>>>>,
    ended: bool,
}

impl<B: Backend + Clone + Unpin + 'static> GroupConsumer<B> {
    fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<CacheResult<Vec<StreamEntry>>> {
        self.valid.clone()?;
        let room = Credit {
            entries: self.batch as u64,
            ..Credit::UNLIMITED
        };
        // Reclaimed entries come first: a scan ends, while a busy stream may never run dry.
        if let Some(reclaim) = &mut self.reclaim
            && let Poll::Ready(reclaimed) = reclaim.poll_next(cx, room)
        {
            // In process, no entry is too large.
            return Poll::Ready(reclaimed.map(|reclaimed| reclaimed.entries));
        }
        let read = self.read.get_or_insert_with(|| {
            let (backend, batch) = (self.backend.clone(), self.batch);
            let [stream, group, consumer] = self.names.clone();
            async move {
                let read = backend.stream_read_group(&stream, &group, &consumer, batch, Some(0));
                read.await
            }
            .boxed()
        });
        let entries = ready!(read.poll_unpin(cx));
        self.read = None;
        Poll::Ready(entries)
    }
}

impl<B: Backend + Clone + Unpin + 'static> Stream for GroupConsumer<B> {
    type Item = CacheResult<Vec<StreamEntry>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let batch = ready!(self.poll_batch(cx));
        if batch.is_err() {
            self.ended = true;
            (self.read, self.reclaim) = (None, None);
        }
        Poll::Ready(Some(batch))
    }
}
