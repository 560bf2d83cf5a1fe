//! Following a stream.

use std::sync::Arc;
use std::task::Waker;

use streamgate_protocol::message::{Credit, Subscription};
use streamgate_protocol::{CacheResult, Gap, TailFrom};

use crate::budget::waiting_bytes;
use crate::errors;
use crate::store::Engine;
use crate::stream::Stream;
use crate::tail_queues::{Batch, take};
use streamgate_backend::tail::gap::Discontinuity;
use streamgate_protocol::EntryId;

/// Where a follower stands.
pub(crate) struct Stand {
    pub(crate) position: EntryId,
    number: u64,
    /// Whether the position came from outside, and was not looked at yet.
    foreign: bool,
}

/// What there is for a follower.
pub(crate) enum Pulled {
    Batch(Arc<Batch>),
    Gap(Gap),
    /// Nothing; the next add wakes it.
    Nothing,
}

impl Engine {
    /// Notes a follower, which is kept until it is [forgotten](Self::unfollow).
    pub(crate) fn tail_source(&mut self, key: &str, from: &TailFrom) -> CacheResult<Stand> {
        let subscription = Subscription::Tail {
            stream: key.into(),
            from: from.clone().into(),
        };
        subscription.validate()?;
        let foreign = match from {
            TailFrom::After(id) => Some(EntryId::parse(id)?),
            _ => None,
        };
        let bytes = waiting_bytes(key, "");
        if !self.waiting.fits(bytes) {
            return Err(errors::overloaded());
        }

        self.waiting.take(bytes);
        self.calls += 1;
        let stream = self.streams.entry(key.to_owned()).or_default();
        stream.followers.enter();
        let own = || match from {
            TailFrom::Beginning => stream.start(),
            TailFrom::Last(count) => stream.before_last(*count),
            TailFrom::Now | TailFrom::After(_) => stream.last_id,
        };
        Ok(Stand {
            position: foreign.unwrap_or_else(own),
            number: self.calls,
            foreign: foreign.is_some(),
        })
    }

    /// What comes next, as far as there is `room`, which must be some.
    pub(crate) fn pull(
        &mut self,
        key: &str,
        stand: &mut Stand,
        room: Credit,
        waker: &Waker,
    ) -> Pulled {
        // Always there: a stream that is followed is kept.
        let Some(stream) = self.streams.get_mut(key) else {
            return Pulled::Nothing;
        };
        if let Some(found) = missing(stream, stand) {
            let gap = found.gap(stand.position);
            stand.position = found.position;
            return Pulled::Gap(gap);
        }
        let entries = take(stream.all_after(stand.position), room);
        let Some(last) = entries.last().map(|entry| entry.id) else {
            stream.followers.park(stand.number, waker);
            return Pulled::Nothing;
        };
        stand.position = last;
        if let Some(shared) = stream.followers.shared(&entries) {
            return Pulled::Batch(shared);
        }
        let batch = Batch::new(entries);
        // Only the newest: those who read a backlog stand each at another place.
        if last == stream.last_id && self.shared.fits(batch.bytes()) {
            self.shared.take(batch.bytes());
            self.shared.give_back(stream.followers.share(&batch));
        }
        Pulled::Batch(batch)
    }

    /// Forgets a follower.
    pub(crate) fn unfollow(&mut self, key: &str, stand: &Stand) {
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        self.waiting.give_back(waiting_bytes(key, ""));
        self.shared.give_back(stream.followers.leave(stand.number));
        if stream.is_unused() {
            self.streams.remove(key);
        }
    }
}

/// What is missing where a follower stands.
fn missing(stream: &Stream, stand: &mut Stand) -> Option<Discontinuity> {
    let after = stand.position;
    let (gone, recreated) = if std::mem::take(&mut stand.foreign) {
        // It may be of an earlier life of this stream, so what was trimmed in this one does not
        // say everything.
        let known = after == stream.trimmed || stream.contains(after) || stream.start() <= after;
        (!known, after > stream.last_id)
    } else {
        (after < stream.trimmed, false)
    };
    (gone || recreated).then(|| Discontinuity::new(stream.first(), stream.last_id, recreated))
}
