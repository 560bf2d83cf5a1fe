//! A tail of a stream in memory.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use streamgate_protocol::message::Credit;
use streamgate_protocol::{CacheResult, TailFrom};

use crate::memory_streams::lock;
use crate::store::{Engine, Pulled, Stand};
use streamgate_backend::tail::segment::Segment;
use streamgate_backend::tail::source::{TailEvent, TailSource};

/// A follower. It holds where it stands, and no entries. Dropped, it is forgotten.
pub(crate) struct Follower {
    engine: Arc<Mutex<Engine>>,
    stream: String,
    from: TailFrom,
    /// Once it was polled.
    stand: Option<Stand>,
}

impl Follower {
    pub(crate) fn new(engine: &Arc<Mutex<Engine>>, stream: &str, from: TailFrom) -> Self {
        Self {
            engine: Arc::clone(engine),
            stream: stream.to_owned(),
            from,
            stand: None,
        }
    }
}

impl TailSource for Follower {
    fn poll_next(&mut self, cx: &mut Context<'_>, room: Credit) -> Poll<CacheResult<TailEvent>> {
        let mut engine = lock(&self.engine);
        let first = self.stand.is_none();
        let stand = match &mut self.stand {
            Some(stand) => stand,
            none => none.insert(engine.tail_source(&self.stream, &self.from)?),
        };
        // Nothing wakes it without room: whoever gives it some polls it.
        let pulled = if room.is_used_up() {
            Pulled::Nothing
        } else {
            engine.pull(&self.stream, stand, room, cx.waker())
        };
        // Before a segment copies its entries.
        drop(engine);
        Poll::Ready(Ok(match pulled {
            Pulled::Batch(batch) => TailEvent::Segment(batch.segment()),
            Pulled::Gap(gap) => TailEvent::Gap(Box::new(gap)),
            Pulled::Nothing if first => {
                TailEvent::Segment(Segment::standing_at(stand.position.to_string()))
            }
            Pulled::Nothing => return Poll::Pending,
        }))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        if let Some(stand) = &self.stand {
            lock(&self.engine).unfollow(&self.stream, stand);
        }
    }
}
