//! Creates the group of a consumer where it is missing
//! ([`create_from`](streamgate_protocol::ConsumeOptions::create_from)).
//!
//! `$` stands for the end of the stream when the consumer began. If the group is destroyed later, it
//! is created after the last entry that the consumer received from it, so that nothing is skipped
//! that was added meanwhile. A stream that ends before that entry is another one, and is read from
//! its beginning. That position outlives a connection: the consumer learns it, and resumes with it.
//! An id always stands for itself.

use std::time::Duration;

use streamgate_protocol::error::code;
use streamgate_protocol::message::Subscription;
use streamgate_protocol::{
    ByteString, Bytes, CacheError, CacheResult, Entry, EntryId, Operation, StartId,
};
use tokio::time::sleep;

use crate::progress::perform_one;
use crate::{Backend, Cancellation};

/// The pause before a group is created again that was destroyed before it was read.
const PAUSE: Duration = Duration::from_millis(100);

/// Creates the group of one consumer, at the start and whenever it is destroyed.
#[derive(Debug, Clone)]
pub struct MissingGroup {
    stream: ByteString,
    group: ByteString,
    create_from: StartId,
    /// Where the group was created, or the last new entry that the consumer received since.
    last: Option<EntryId>,
    /// Whether the group was created and not read since.
    is_unread: bool,
}

impl MissingGroup {
    /// Returns what creates the group of a subscription, or `None` if the subscription ends where
    /// its group is missing.
    ///
    /// The caller has validated the subscription.
    pub fn of(subscription: &Subscription<'_>) -> Option<Self> {
        let Subscription::Consume {
            stream,
            group,
            create_from: Some(create_from),
            position,
            ..
        } = subscription
        else {
            return None;
        };
        Some(Self {
            stream: stream.clone().into(),
            group: group.clone().into(),
            create_from: StartId::parse(create_from).ok()?,
            last: position.as_ref().and_then(|id| EntryId::parse(id).ok()),
            is_unread: false,
        })
    }

    /// Returns what `$` stands for, once the group was created. An id stands for itself.
    pub fn position(&self) -> Option<String> {
        match self.create_from {
            StartId::After(_) => None,
            _ => self.last.map(String::from),
        }
    }

    /// Creates the group, unless it exists. Returns what to use from then on.
    ///
    /// The first poll sends a command, so the group starts where the stream ends at this moment.
    ///
    /// # Errors
    ///
    /// Those of [`stream_create_group`](streamgate_protocol::StreamingBackend::stream_create_group),
    /// except `BUSYGROUP`.
    pub async fn create<B: Backend + ?Sized>(self, backend: &B) -> CacheResult<Self> {
        self.create_unless(backend, Cancellation::default()).await
    }

    /// Does the same. Once it is cancelled, it sends nothing more.
    ///
    /// # Errors
    ///
    /// Those of [`create`](Self::create).
    pub async fn create_unless<B: Backend + ?Sized>(
        mut self,
        backend: &B,
        cancellation: Cancellation,
    ) -> CacheResult<Self> {
        if self.is_unread {
            sleep(PAUSE).await;
            if cancellation.is_cancelled() {
                return Ok(self);
            }
        }
        let start = self.start(backend).await?;
        if cancellation.is_cancelled() {
            return Ok(self);
        }
        let operation = Operation::CreateGroup {
            stream: Bytes::from(&self.stream),
            group: Bytes::from(&self.group),
            id: String::from(start).into(),
        };
        match perform_one(backend, operation).await {
            Err(error) if error.code() != code::BUSYGROUP => return Err(error),
            _ => {}
        }
        self.last = Some(start);
        self.is_unread = true;
        Ok(self)
    }

    /// Records the result of a read of the group.
    pub fn record(&mut self, entries: &[Entry]) {
        self.is_unread = false;
        let last = entries.last().map(|last| EntryId::parse(&last.id));
        if let Some(Ok(last)) = last {
            self.last = Some(last);
        }
    }

    /// Returns whether an error means that the group has to be created.
    pub fn is_missing(error: &CacheError) -> bool {
        error.code() == code::NOGROUP
    }

    async fn start<B: Backend + ?Sized>(&self, backend: &B) -> CacheResult<EntryId> {
        if let StartId::After(id) = self.create_from {
            return Ok(id);
        }
        let operation = Operation::ReadLatest {
            stream: Bytes::from(&self.stream),
            count: 1,
        };
        let latest = perform_one(backend, operation).await?.into_entries()?;
        let end = latest.first().map(|end| EntryId::parse(&end.id));
        let end = end.transpose()?.unwrap_or_default();
        Ok(match self.last {
            None => end,
            Some(last) if end < last => EntryId::ZERO,
            Some(last) => last,
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use streamgate_memory::MemoryStreams;
    use streamgate_protocol::{ConsumeOptions, EntryOperations, PerformOperation, Reply};
    use tokio::time::Instant;

    use super::*;

    /// A backend in memory that has only the defaults of [`Backend`].
    #[derive(Default)]
    struct Streams(MemoryStreams);

    impl PerformOperation for Streams {
        async fn perform_operation<'a>(&'a self, operation: Operation<'a>) -> CacheResult<Reply> {
            self.0.perform_operation(operation).await
        }
    }

    impl Backend for Streams {}

    fn of(options: ConsumeOptions) -> Option<MissingGroup> {
        MissingGroup::of(&Subscription::consume("s", "g", "c", options))
    }

    fn from_dollar() -> MissingGroup {
        of(ConsumeOptions::default().create_from("$")).unwrap()
    }

    async fn add(streams: &Streams) -> Entry {
        let fields = [("f", "v")];
        let id = streams.add_entry("s", fields, None).await;
        Entry::new(id.unwrap(), fields)
    }

    async fn read_group(streams: &Streams) -> Vec<Entry> {
        let read = streams.read_group_entries("s", "g", "c", 0, None);
        read.await.unwrap()
    }

    #[test]
    fn only_a_subscription_with_the_option_creates_its_group() {
        assert!(of(ConsumeOptions::default()).is_none());
    }

    #[tokio::test]
    async fn dollar_is_the_end_of_the_stream_at_first_and_the_last_entry_later() {
        let (first, second) = (Streams::default(), Streams::default());
        add(&first).await;
        let mut group = from_dollar().create(&first).await.unwrap();
        let new = [add(&first).await, add(&first).await];
        assert_eq!(read_group(&first).await, new);
        group.record(&new[..1]);
        // The same entries in a backend without the group.
        for _ in 0..2 {
            add(&second).await;
        }
        let end = add(&second).await;
        let group = group.create(&second).await.unwrap();
        assert!(read_group(&second).await.contains(&end));
        assert_eq!(group.last.map(String::from).as_ref(), Some(&new[0].id));
    }

    #[tokio::test]
    async fn a_stream_that_ends_before_the_last_entry_is_read_from_its_beginning() {
        let streams = Streams::default();
        let mut group = from_dollar();
        group.last = Some(EntryId::MAX);
        let old = add(&streams).await;
        group.create(&streams).await.unwrap();
        assert_eq!(read_group(&streams).await, [old]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_that_goes_away_unread_is_created_again_after_a_pause() {
        let streams = Streams::default();
        let start = Instant::now();
        let mut group = from_dollar()
            .create(&streams)
            .now_or_never()
            .unwrap()
            .unwrap();
        group = group.create(&streams).await.unwrap();
        assert_eq!(start.elapsed(), PAUSE);
        group.record(&[]);
        assert!(group.create(&streams).now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_creation_that_was_cancelled_sends_nothing_more() {
        let streams = Streams::default();
        let group = from_dollar().create(&streams).await.unwrap();
        let again = Streams::default();
        let (still_wanted, cancellation) = Cancellation::new();
        let mut creating = std::pin::pin!(group.create_unless(&again, cancellation));
        assert!(creating.as_mut().now_or_never().is_none(), "it pauses");
        drop(still_wanted);
        creating.await.unwrap();
        let read = again.read_group_entries("s", "g", "c", 0, None).await;
        assert_eq!(read.unwrap_err().code(), code::NOGROUP);
    }
}
