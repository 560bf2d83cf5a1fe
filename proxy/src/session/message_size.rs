//! Replies and pushes that fit into the frames that a client takes.
//!
//! A reply has as many of its entries as fit, and a claim as many ids of deleted ones as fit beside
//! them: see `large_reply.rs`. Entries of a push that are too large together become several pushes.
//! An entry that does not fit by itself ends a request with `LIMIT`, which names the entry; a
//! subscription skips it.

use std::sync::Arc;

use streamgate_backend::{PerformOptions, Segment, TailEvent, error_details};
use streamgate_protocol::codec::{Encode, Encoding};
use streamgate_protocol::limits::MAX_REPLY_BYTES;
use streamgate_protocol::message::{Fault, entry_bytes};
use streamgate_protocol::{CacheError, Skipped};

/// Largest envelope of a push, in bytes.
pub(super) const PUSH_ENVELOPE_BYTES: usize = 64;

/// Longest message of a fault, in bytes. It may quote names, and fits into the smallest frame in
/// every encoding.
const MAX_FAULT_MESSAGE_BYTES: usize = 4 * 1024;

/// How large a message to one client may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct MessageBound {
    pub(super) encoding: Encoding,
    pub(super) max_bytes: usize,
}

impl MessageBound {
    /// Returns the bound for a client that takes frames of any size.
    pub(super) fn new(encoding: Encoding) -> Self {
        Self {
            encoding,
            max_bytes: MAX_REPLY_BYTES,
        }
    }

    /// Returns the bound for a client that takes frames of this size.
    pub(super) fn within(self, max_frame_bytes: u32) -> Self {
        Self {
            max_bytes: MAX_REPLY_BYTES.min(max_frame_bytes as usize),
            ..self
        }
    }

    /// Returns the options of operations, with the largest reply. A reply within it may be too large
    /// all the same: that depends on its encoding.
    pub(super) fn perform_options(self) -> PerformOptions {
        PerformOptions::new(self.max_bytes)
    }

    /// Returns the most bytes of an entry that may fit. One of fewer bytes may not fit either: that
    /// depends on its encoding.
    pub(super) fn max_entry_bytes(self) -> u64 {
        self.max_push_bytes() as u64
    }

    fn max_push_bytes(self) -> usize {
        self.max_bytes - PUSH_ENVELOPE_BYTES
    }

    /// Passes on a segment in pieces that fit. Entries that do not fit by themselves are skipped.
    pub(super) fn split(self, segment: Arc<Segment>, pass_on: &mut impl FnMut(TailEvent)) {
        let max_bytes = self.max_push_bytes();
        // Every encoding takes at least what the entries cost, so far too many are not encoded.
        let is_small = segment.cost().bytes <= max_bytes as u64;
        if is_small && segment.encoded(self.encoding).len() <= max_bytes {
            return pass_on(TailEvent::Segment(segment));
        }
        match segment.entries() {
            [] => {}
            [entry] => {
                let skipped = Skipped::new(&*entry.id, entry_bytes(entry));
                pass_on(TailEvent::Skipped(Box::new(skipped)));
            }
            entries => {
                let (first, rest) = entries.split_at(entries.len() / 2);
                self.split(segment.part(first), pass_on);
                self.split(segment.part(rest), pass_on);
            }
        }
    }

    /// Returns how many of the items fit into the room.
    pub(super) fn fitting<T: Encode>(self, items: &[T], mut room: usize) -> usize {
        let mut encoded = Vec::new();
        let fits = |item: &&T| {
            encoded.clear();
            self.encoding.append(&mut encoded, *item);
            // And a separator.
            let left = room.checked_sub(encoded.len() + 1);
            room = left.unwrap_or(room);
            left.is_some()
        };
        items.iter().take_while(fits).count()
    }
}

/// Returns the fault of an error, with a message of bounded length.
pub(super) fn fault(error: &CacheError) -> Fault {
    let mut fault = Fault::from(error);
    fault.entry = error_details::entry_of(error);
    fault.last_number = error_details::last_number_of(error);
    let end = fault.message.floor_char_boundary(MAX_FAULT_MESSAGE_BYTES);
    fault.message.truncate(end);
    fault
}

#[cfg(test)]
mod tests {
    use streamgate_protocol::Entry;

    use super::*;

    const MIB: usize = 1 << 20;

    fn entry(n: usize, text: &str, length: usize) -> Entry {
        let value = text.repeat(length);
        Entry::new(format!("{n}-0"), [("f", value)])
    }

    fn split(bound: MessageBound, entries: Vec<Entry>) -> Vec<TailEvent> {
        let mut events = Vec::new();
        bound.split(Segment::new(entries), &mut |event| events.push(event));
        events
    }

    #[test]
    fn entries_that_are_too_large_together_become_several_pushes() {
        // Too large by their content alone, and too large as JSON.
        for (encoding, count, text) in [(Encoding::Binary, 20, "x"), (Encoding::Json, 13, "\0")] {
            let bound = MessageBound::new(encoding);
            let all = (1..=count).map(|n| entry(n, text, MIB)).collect();
            let mut ids = Vec::new();
            let events = split(bound, all);
            assert!(events.len() > 1);
            for event in events {
                let TailEvent::Segment(segment) = event else {
                    panic!("no entries: {event:?}")
                };
                assert!(segment.encoded(encoding).len() < bound.max_bytes);
                ids.extend(segment.entries().iter().map(|entry| entry.id.clone()));
            }
            let expected: Vec<_> = (1..=count).map(|n| format!("{n}-0")).collect();
            assert_eq!(ids, expected);
        }
    }

    #[test]
    fn an_entry_that_does_not_fit_by_itself_is_skipped() {
        for &encoding in Encoding::ALL {
            let bound = MessageBound::new(encoding).within(MIB as u32);
            let all = vec![entry(1, "x", 1), entry(2, "x", MIB), entry(3, "x", 1)];
            let events = split(bound, all);
            let [
                TailEvent::Segment(first),
                TailEvent::Skipped(second),
                TailEvent::Segment(third),
            ] = &events[..]
            else {
                panic!("{events:?}")
            };
            assert_eq!((first.position(), third.position()), ("1-0", "3-0"));
            assert_eq!(**second, Skipped::new("2-0", MIB as u64 + 4));
            assert_eq!((events[1].cost().entries, events[1].cost().bytes), (1, 0));
        }
    }
}
