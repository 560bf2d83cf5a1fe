//! Tails: registering them, and reading what comes after their cursors.

use std::sync::Arc;
use std::task::Waker;

use streamgate_backend::tail::gap::Discontinuity;
use streamgate_protocol::message::{Credit, Subscription};
use streamgate_protocol::{CacheError, CacheResult, EntryId, Gap, GapReason, TailFrom};

use crate::batch::{Batch, take};
use crate::budget::waiting_bytes;
use crate::errors;
use crate::store::Store;
use crate::stream::Stream;

/// The cursor of a tail.
pub(crate) struct TailCursor {
    /// The id of the last entry that the tail read.
    pub(crate) position: EntryId,
    number: u64,
    /// Whether the position came from the caller and was not checked yet.
    unchecked: bool,
}

/// What a tail reads.
pub(crate) enum TailRead {
    Batch(Arc<Batch>),
    Gap(Gap),
    /// Nothing yet. The next add wakes the tail.
    Nothing,
}

impl Store {
    /// Registers a tail. Its stream is kept until the tail is
    /// [unregistered](Self::unregister_tail).
    pub(crate) fn register_tail(&mut self, key: &[u8], from: &TailFrom) -> CacheResult<TailCursor> {
        let subscription = Subscription::Tail {
            stream: key.into(),
            from: from.clone().into(),
        };
        subscription.validate()?;
        let given = match from {
            TailFrom::After(id) => Some(EntryId::parse(id)?),
            TailFrom::Beginning | TailFrom::Last(_) | TailFrom::Now => None,
            _ => return Err(CacheError::unsupported("this start of a tail")),
        };
        let bytes = waiting_bytes(key, b"");
        if !self.waiting.fits(bytes) {
            return Err(errors::overloaded());
        }

        self.waiting.take(bytes);
        let number = self.next_number();
        let stream = self.streams.entry(key.into()).or_default();
        stream.tails.register();
        let resolved = || match from {
            TailFrom::Beginning => stream.start(),
            TailFrom::Last(count) => stream.before_last(*count),
            _ => stream.last_id,
        };
        Ok(TailCursor {
            position: given.unwrap_or_else(resolved),
            number,
            unchecked: given.is_some(),
        })
    }

    /// Reads what comes after the cursor, within `room`, which is not used up.
    pub(crate) fn read_tail(
        &mut self,
        key: &[u8],
        cursor: &mut TailCursor,
        room: Credit,
        waker: &Waker,
    ) -> TailRead {
        // Always present: a stream that has a tail is kept.
        let Some(stream) = self.streams.get_mut(key) else {
            return TailRead::Nothing;
        };
        if let Some(found) = detect_gap(stream, cursor) {
            let gap = found.gap(cursor.position);
            cursor.position = found.position;
            return TailRead::Gap(gap);
        }
        let entries = take(stream.all_after(cursor.position), room);
        let Some(last) = entries.last().map(|entry| entry.id) else {
            stream.tails.park(cursor.number, waker);
            return TailRead::Nothing;
        };
        cursor.position = last;
        if let Some(shared) = stream.tails.shared(&entries) {
            return TailRead::Batch(shared);
        }
        let batch = Batch::new(entries);
        // Only the newest batch is kept: tails that read a backlog are all at different positions.
        if last == stream.last_id && self.shared.fits(batch.bytes()) {
            self.shared.take(batch.bytes());
            self.shared.give_back(stream.tails.share(&batch));
        }
        TailRead::Batch(batch)
    }

    /// Removes a tail.
    pub(crate) fn unregister_tail(&mut self, key: &[u8], cursor: &TailCursor) {
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        self.waiting.give_back(waiting_bytes(key, b""));
        self.shared
            .give_back(stream.tails.unregister(cursor.number));
        if stream.is_unused() {
            self.streams.remove(key);
        }
    }
}

/// Detects whether entries are missing after the cursor.
fn detect_gap(stream: &Stream, cursor: &mut TailCursor) -> Option<Discontinuity> {
    let after = cursor.position;
    let (missing, recreated) = if std::mem::take(&mut cursor.unchecked) {
        // The position may be of an earlier stream with this key, of which `trimmed` tells nothing.
        let known = after == stream.trimmed || stream.contains(after) || stream.start() <= after;
        (!known, after > stream.last_id)
    } else {
        (after < stream.trimmed, false)
    };
    let reason = match recreated {
        true => GapReason::Recreated,
        false => GapReason::Trimmed,
    };
    (missing || recreated).then(|| Discontinuity::new(stream.first(), stream.last_id, reason))
}
