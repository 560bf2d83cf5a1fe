//! A tail of a stream in memory.
//!
//! A tail holds a position and no entries. So a slow tail holds nothing, and delays nobody: each
//! poll reads from the stream what the tail has room for.

use std::task::{Context, Poll};

use streamgate_backend::{Segment, TailEvent, TailSource};
use streamgate_protocol::message::Credit;
use streamgate_protocol::{ByteString, Bytes, CacheResult, TailFrom};

use crate::shared_store::SharedStore;
use crate::store::tails::{TailCursor, TailRead};

/// A tail of a stream. Dropping it removes it from the store.
pub(crate) struct MemoryTail {
    store: SharedStore,
    stream: ByteString,
    from: TailFrom,
    /// `None` before the first poll.
    cursor: Option<TailCursor>,
}

impl MemoryTail {
    pub(crate) fn new(store: &SharedStore, stream: Bytes<'_>, from: TailFrom) -> Self {
        Self {
            store: store.clone(),
            stream: stream.into(),
            from,
            cursor: None,
        }
    }
}

impl TailSource for MemoryTail {
    fn poll_next(&mut self, cx: &mut Context<'_>, room: Credit) -> Poll<CacheResult<TailEvent>> {
        let mut store = self.store.lock();
        let first = self.cursor.is_none();
        let cursor = match &mut self.cursor {
            Some(cursor) => cursor,
            none => none.insert(store.register_tail(&self.stream, &self.from)?),
        };
        // Without room no waker is kept: whoever makes room polls again.
        let read = if room.is_used_up() {
            TailRead::Nothing
        } else {
            store.read_tail(&self.stream, cursor, room, cx.waker())
        };
        // Before a segment copies its entries.
        drop(store);
        Poll::Ready(Ok(match read {
            TailRead::Batch(batch) => TailEvent::Segment(batch.segment()),
            TailRead::Gap(gap) => TailEvent::Gap(Box::new(gap)),
            TailRead::Nothing if first => {
                TailEvent::Segment(Segment::position_only(cursor.position.to_string()))
            }
            TailRead::Nothing => return Poll::Pending,
        }))
    }
}

impl Drop for MemoryTail {
    fn drop(&mut self) {
        if let Some(cursor) = &self.cursor {
            self.store.lock().unregister_tail(&self.stream, cursor);
        }
    }
}
