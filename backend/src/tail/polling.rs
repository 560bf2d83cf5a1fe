//! A tail that polls: the default of [`Backend::tail_source`](crate::Backend::tail_source).

mod read;

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use streamgate_protocol::message::Credit;
use streamgate_protocol::{Bytes, CacheResult, EntryId, StreamingBackend, TailFrom};

use crate::default_perform::text;
use crate::tail::polling::read::{ReadOutcome, parse_id, read_after, resolve_start};
use crate::tail::segment::Segment;
use crate::tail::source::{TailEvent, TailSource};

/// The most entries that a polling tail reads at once; few, because their size is unknown before.
pub const MAX_READ_ENTRIES: u64 = 64;

/// A tail that needs no more than the six operations. It waits with reads that have no time limit.
///
/// It reports a gap if the entry at its position is gone and none before it is left. The six
/// operations do not tell an empty stream from a missing one, nor what was trimmed before the
/// tail's first entry. So it misses a gap before the first entry, and a stream that was deleted and
/// recreated with greater ids.
pub(crate) struct PollingTail<'a, B: ?Sized> {
    backend: &'a B,
    /// The key, or an error if it is not text.
    stream: CacheResult<Arc<str>>,
    from: TailFrom,
    /// `None` until the start is resolved.
    position: Option<EntryId>,
    /// Whether the first item was returned.
    started: bool,
    read: Option<BoxFuture<'a, CacheResult<ReadOutcome>>>,
}

impl<'a, B: StreamingBackend + ?Sized> PollingTail<'a, B> {
    pub(crate) fn new(backend: &'a B, stream: Bytes<'_>, from: TailFrom) -> Self {
        Self {
            backend,
            stream: text(&stream).map(Arc::from),
            from,
            position: None,
            started: false,
            read: None,
        }
    }

    fn position_event(&mut self, position: EntryId) -> TailEvent {
        self.started = true;
        TailEvent::Segment(Segment::position_only(position.to_string()))
    }

    fn start_read(&self, room: Credit) -> BoxFuture<'a, CacheResult<ReadOutcome>> {
        let (backend, stream) = (self.backend, self.stream.clone());
        let Some(position) = self.position else {
            let from = self.from.clone();
            let start = async move { resolve_start(backend, &stream?, from).await };
            return start.map(|start| start.map(ReadOutcome::Start)).boxed();
        };
        let count = room.entries.min(MAX_READ_ENTRIES) as usize;
        let wait = self.started;
        async move {
            let stream = stream?;
            loop {
                match read_after(backend, &stream, position, count).await? {
                    ReadOutcome::Nothing if wait => {}
                    outcome => return Ok(outcome),
                }
                // Only the wait counts: the entry that ends it may come after a gap.
                let position = position.to_string();
                backend.stream_read(&stream, &position, 1, Some(0)).await?;
            }
        }
        .boxed()
    }
}

impl<B: StreamingBackend + ?Sized> TailSource for PollingTail<'_, B> {
    fn poll_next(&mut self, cx: &mut Context<'_>, room: Credit) -> Poll<CacheResult<TailEvent>> {
        loop {
            if let Some(position) = self.position
                && room.is_used_up()
            {
                self.read = None;
                return match self.started {
                    true => Poll::Pending,
                    false => Poll::Ready(Ok(self.position_event(position))),
                };
            }
            if self.read.is_none() {
                self.read = Some(self.start_read(room));
            }
            let Some(read) = &mut self.read else {
                return Poll::Pending;
            };
            let outcome = ready!(read.poll_unpin(cx));
            self.read = None;
            return Poll::Ready(Ok(match (outcome?, self.position) {
                (ReadOutcome::Start(position), _) => {
                    self.position = Some(position);
                    continue;
                }
                (ReadOutcome::Nothing, position) => {
                    self.position_event(position.unwrap_or_default())
                }
                (ReadOutcome::Gap(found), position) => {
                    self.started = true;
                    self.position = Some(found.position);
                    TailEvent::Gap(Box::new(found.gap(position.unwrap_or_default())))
                }
                (ReadOutcome::Entries(mut entries), position) => {
                    self.started = true;
                    // The room may have shrunk since the read began.
                    entries.truncate(room.fitting(&entries));
                    let last = entries.last().map(|last| parse_id(&last.id)).transpose()?;
                    self.position = last.or(position);
                    TailEvent::Segment(Segment::new(entries))
                }
            }));
        }
    }
}
