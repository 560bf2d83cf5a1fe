//! A group's entries as a stream, for consumers in this process.

pub mod missing_group;

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{Stream, StreamExt};
use streamgate_protocol::message::{Credit, Subscription};
use streamgate_protocol::{
    ByteString, Bytes, CacheError, CacheResult, ConsumeOptions, Deliveries, Entry, Operation,
};

use crate::Backend;
use crate::consume::missing_group::MissingGroup;
use crate::progress::perform_one;
use crate::reclaim::schedule::ReclaimSchedule;
use crate::reclaim::step::ReclaimStep;

/// Returns the entries that a consumer of a group gets, as
/// [`SubscribingBackend::consume_group`](streamgate_protocol::SubscribingBackend::consume_group) defines them.
///
/// For backends that implement that trait: it reads the group without a time limit, again and
/// again, and reclaims pending entries on a [`ReclaimSchedule`] meanwhile.
pub fn consume<B: Backend + Clone + Unpin + 'static>(
    backend: &B,
    stream_key: Bytes<'_>,
    group_name: Bytes<'_>,
    consumer_name: Bytes<'_>,
    options: ConsumeOptions,
) -> Deliveries {
    let batch = options.batch;
    let names = [&stream_key, &group_name, &consumer_name].map(|name| name.clone().into());
    let subscription = Subscription::consume(stream_key, group_name, consumer_name, options);
    let reclaim = ReclaimStep::first(&subscription).map(|first| {
        let backend = backend.clone();
        ReclaimSchedule::new(first, move |step| {
            let backend = backend.clone();
            async move { backend.reclaim(step).await }.boxed()
        })
    });
    let mut consumer = GroupConsumer {
        backend: backend.clone(),
        names,
        batch,
        valid: subscription.validate(),
        creating: None,
        missing_group: None,
        reclaim,
        read: None,
        ended: false,
    };
    if let Some(missing_group) = MissingGroup::of(&subscription) {
        consumer.create_group(missing_group);
    }
    consumer.boxed()
}

struct GroupConsumer<B> {
    backend: B,
    /// Of the stream, the group and the consumer.
    names: [ByteString; 3],
    batch: usize,
    valid: CacheResult<()>,
    /// The creation of the group in flight.
    creating: Option<BoxFuture<'static, CacheResult<MissingGroup>>>,
    missing_group: Option<MissingGroup>,
    reclaim: Option<ReclaimSchedule<'static>>,
    /// The group read in flight.
    read: Option<BoxFuture<'static, CacheResult<Vec<Entry>>>>,
    ended: bool,
}

impl<B: Backend + Clone + Unpin + 'static> GroupConsumer<B> {
    fn create_group(&mut self, missing_group: MissingGroup) {
        let backend = self.backend.clone();
        self.creating = Some(async move { missing_group.create(&backend).await }.boxed());
    }

    /// Starts to create the group if an error says that it is missing. Returns any other error.
    fn recreate_group(&mut self, error: CacheError) -> CacheResult<()> {
        match self.missing_group.take() {
            Some(missing_group) if MissingGroup::is_missing(&error) => {
                self.create_group(missing_group);
                Ok(())
            }
            _ => Err(error),
        }
    }

    fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<CacheResult<Vec<Entry>>> {
        self.valid.clone()?;
        loop {
            if let Some(creating) = &mut self.creating {
                self.missing_group = Some(ready!(creating.poll_unpin(cx))?);
                self.creating = None;
            }
            match ready!(self.poll_group(cx)) {
                Ok(entries) => return Poll::Ready(Ok(entries)),
                Err(error) => self.recreate_group(error)?,
            }
        }
    }

    fn poll_group(&mut self, cx: &mut Context<'_>) -> Poll<CacheResult<Vec<Entry>>> {
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
            let backend = self.backend.clone();
            let [stream, group, consumer] = self.names.clone().map(Bytes::from);
            let operation = Operation::ReadGroup {
                stream,
                group,
                consumer,
                count: self.batch as u64,
                block_ms: Some(0),
            };
            async move { perform_one(&backend, operation).await?.into_entries() }.boxed()
        });
        let entries = ready!(read.poll_unpin(cx));
        self.read = None;
        if let (Some(missing_group), Ok(entries)) = (&mut self.missing_group, &entries) {
            missing_group.record(entries);
        }
        Poll::Ready(entries)
    }
}

impl<B: Backend + Clone + Unpin + 'static> Stream for GroupConsumer<B> {
    type Item = CacheResult<Vec<Entry>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let batch = ready!(self.poll_batch(cx));
        if batch.is_err() {
            self.ended = true;
            (self.creating, self.read, self.reclaim) = (None, None, None);
        }
        Poll::Ready(Some(batch))
    }
}
