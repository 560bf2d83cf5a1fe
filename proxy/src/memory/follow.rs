//! A tail of a stream in memory.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use streamgate_protocol::message::Credit;
use streamgate_protocol::{CacheResult, TailFrom};

use super::engine::{Engine, Pulled, Stand};
use super::lock;
use crate::follow::{Follow, Followed};
use crate::segment::Segment;

/// A follower. It holds where it stands, and no entries. Dropped, it is forgotten.
pub(super) struct Follower {
    engine: Arc<Mutex<Engine>>,
    stream: String,
    from: TailFrom,
    /// Once it was polled.
    stand: Option<Stand>,
}

impl Follower {
    pub(super) fn new(engine: &Arc<Mutex<Engine>>, stream: &str, from: TailFrom) -> Self {
        Self {
            engine: Arc::clone(engine),
            stream: stream.to_owned(),
            from,
            stand: None,
        }
    }
}

impl Follow for Follower {
    fn poll_next(&mut self, cx: &mut Context<'_>, room: Credit) -> Poll<CacheResult<Followed>> {
        let mut engine = lock(&self.engine);
        let first = self.stand.is_none();
        let stand = match &mut self.stand {
            Some(stand) => stand,
            none => none.insert(engine.follow(&self.stream, &self.from)?),
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
            Pulled::Batch(batch) => Followed::Segment(batch.segment()),
            Pulled::Gap(gap) => Followed::Gap(Box::new(gap)),
            Pulled::Nothing if first => {
                Followed::Segment(Segment::standing_at(stand.position.to_string()))
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
