//! Following by reading again and again: for a backend that has nothing better.

mod look;

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use streamgate_protocol::message::Credit;
use streamgate_protocol::{CacheResult, StreamingBackend, TailFrom};

use crate::tail::segment::Segment;
use crate::tail::source::{TailEvent, TailSource};
use streamgate_protocol::EntryId;

use crate::tail::polling::look::{Read, id, look, start};

/// Entries that are read at once. How long they are nobody knows before, so not many.
pub const MAX_READ_ENTRIES: u64 = 64;

/// A follower that needs no more than the six operations. It waits by reads without a limit, and
/// sees a gap where the entry it stood at is gone and nothing before it is left.
///
/// Six operations do not tell an empty stream from a missing one, nor what was trimmed of a
/// stream that it has not read from yet: a gap in front of the first entry is not seen, nor that
/// a stream was deleted before it goes on with greater ids.
pub(crate) struct Polling<'a, B: ?Sized> {
    backend: &'a B,
    stream: Arc<str>,
    from: TailFrom,
    position: Option<EntryId>,
    /// Whether an item was given.
    begun: bool,
    reading: Option<BoxFuture<'a, CacheResult<Read>>>,
}

impl<'a, B: StreamingBackend + ?Sized> Polling<'a, B> {
    pub(crate) fn new(backend: &'a B, stream: &str, from: TailFrom) -> Self {
        Self {
            backend,
            stream: stream.into(),
            from,
            position: None,
            begun: false,
            reading: None,
        }
    }

    fn stands(&mut self, position: EntryId) -> TailEvent {
        self.begun = true;
        TailEvent::Segment(Segment::standing_at(position.to_string()))
    }

    fn read(&self, room: Credit) -> BoxFuture<'a, CacheResult<Read>> {
        let (backend, stream) = (self.backend, Arc::clone(&self.stream));
        let Some(position) = self.position else {
            let from = self.from.clone();
            return async move { start(backend, &stream, from).await.map(Read::Start) }.boxed();
        };
        let count = room.entries.min(MAX_READ_ENTRIES) as usize;
        let wait = self.begun;
        async move {
            loop {
                match look(backend, &stream, position, count).await? {
                    Read::Nothing if wait => {}
                    read => return Ok(read),
                }
                // Not what it gives: that may be behind a gap.
                let position = position.to_string();
                backend.stream_read(&stream, &position, 1, Some(0)).await?;
            }
        }
        .boxed()
    }
}

impl<B: StreamingBackend + ?Sized> TailSource for Polling<'_, B> {
    fn poll_next(&mut self, cx: &mut Context<'_>, room: Credit) -> Poll<CacheResult<TailEvent>> {
        loop {
            if let Some(position) = self.position
                && room.is_used_up()
            {
                self.reading = None;
                return match self.begun {
                    true => Poll::Pending,
                    false => Poll::Ready(Ok(self.stands(position))),
                };
            }
            if self.reading.is_none() {
                self.reading = Some(self.read(room));
            }
            let Some(reading) = &mut self.reading else {
                return Poll::Pending;
            };
            let read = ready!(reading.poll_unpin(cx));
            self.reading = None;
            return Poll::Ready(Ok(match (read?, self.position) {
                (Read::Start(position), _) => {
                    self.position = Some(position);
                    continue;
                }
                (Read::Nothing, position) => self.stands(position.unwrap_or_default()),
                (Read::Gap(found), position) => {
                    self.begun = true;
                    self.position = Some(found.position);
                    TailEvent::Gap(Box::new(found.gap(position.unwrap_or_default())))
                }
                (Read::Entries(mut entries), position) => {
                    self.begun = true;
                    // Which may be less than there was when they were asked for.
                    entries.truncate(room.fitting(&entries));
                    let last = entries.last().map(|(last, _)| id(last)).transpose()?;
                    self.position = last.or(position);
                    TailEvent::Segment(Segment::new(entries))
                }
            }));
        }
    }
}
