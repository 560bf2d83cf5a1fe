//! Replies and pushes that fit into the frames that a client takes.
//!
//! A reply has as many of its entries as fit, and a claim as many ids of deleted ones as fit beside
//! them. Entries of a push that are too large together become
//! several pushes. An entry that does not fit by itself ends a request with `LIMIT`, which names the
//! entry; a subscription skips it.

use std::sync::Arc;

use streamgate_backend::{PerformOptions, Segment, TailEvent, error_details};
use streamgate_protocol::codec::{Encode, Encoding};
use streamgate_protocol::error::code;
use streamgate_protocol::limits::MAX_REPLY_BYTES;
use streamgate_protocol::message::{Fault, Outcome, entry_bytes};
use streamgate_protocol::{CacheError, Claimed, Entry, Reply, ServerMessage, Skipped};

/// Bytes that a reply's entries add beside themselves: lengths of lists and records, and the id to
/// read after next.
const ENTRIES_ENVELOPE_BYTES: usize = 128;

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

    /// Cuts a reply that is too large to as many entries as fit.
    ///
    /// `is_delivery` says that the entries were delivered to a consumer: then those that do not fit
    /// stay pending for it. A claim's ids of deleted entries come last, because nothing but their
    /// names is lost: they are not pending any more, and the cursor is after them.
    pub(super) fn cut(self, id: u64, mut reply: Reply, is_delivery: bool) -> Outcome {
        let (entries, mut deleted) = match &mut reply {
            Reply::Entries { entries, .. } => (std::mem::take(entries), Vec::new()),
            Reply::Claimed(Claimed {
                entries, deleted, ..
            }) => (std::mem::take(entries), std::mem::take(deleted)),
            _ => return Outcome::Error(fault(&self.too_large())),
        };
        let without_entries = ServerMessage::Reply {
            id,
            outcome: Outcome::Ok(reply),
        };
        let rest = self.bytes_of(&without_entries) + ENTRIES_ENVELOPE_BYTES;
        let ServerMessage::Reply {
            outcome: Outcome::Ok(mut reply),
            ..
        } = without_entries
        else {
            return Outcome::Error(fault(&self.too_large()));
        };
        let Some(mut room) = self.max_bytes.checked_sub(rest) else {
            return Outcome::Error(fault(&self.too_large()));
        };
        let fitting = self.fitting(&entries, &mut room);
        if fitting == 0
            && let Some(first) = entries.first()
        {
            return Outcome::Error(self.entry_too_large(first));
        }
        deleted.truncate(self.fitting(&deleted, &mut room));
        put_back(&mut reply, entries, fitting, deleted, is_delivery);
        Outcome::Ok(reply)
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

    /// Returns how many of the items fit into the room, and takes theirs off it.
    fn fitting<T: Encode>(self, items: &[T], room: &mut usize) -> usize {
        let mut encoded = Vec::new();
        let fits = |item: &&T| {
            encoded.clear();
            self.encoding.append(&mut encoded, *item);
            // And a separator.
            let left = room.checked_sub(encoded.len() + 1);
            *room = left.unwrap_or(*room);
            left.is_some()
        };
        items.iter().take_while(fits).count()
    }

    fn bytes_of(self, message: &ServerMessage) -> usize {
        let mut encoded = Vec::new();
        self.encoding.append(&mut encoded, message);
        encoded.len()
    }

    fn too_large(self) -> CacheError {
        CacheError::backend(
            code::LIMIT,
            format_args!(
                "the reply is larger than {} bytes; ask for fewer at once",
                self.max_bytes
            ),
        )
    }

    fn entry_too_large(self, entry: &Entry) -> Fault {
        let entry = error_details::too_large_entry(&entry.id, entry_bytes(entry));
        fault(&CacheError::backend(
            code::LIMIT,
            format_args!(
                "{entry} does not fit into a reply of {} bytes; read on after its id",
                self.max_bytes
            ),
        ))
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

/// Puts the first entries, and the ids of deleted ones that fit, back into a reply that was cut.
fn put_back(
    reply: &mut Reply,
    mut all: Vec<Entry>,
    fitting: usize,
    deleted: Vec<String>,
    is_delivery: bool,
) {
    let is_cut = fitting < all.len();
    all.truncate(fitting);
    match reply {
        Reply::Entries {
            entries,
            last_id,
            more,
        } => {
            if let (Some(last_id), Some(last)) = (last_id, all.last()) {
                last_id.clone_from(&last.id);
            }
            *more |= is_cut && is_delivery;
            *entries = all;
        }
        Reply::Claimed(claimed) => {
            claimed.more |= is_cut;
            claimed.entries = all;
            claimed.deleted = deleted;
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
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

    fn fault_of(outcome: Outcome) -> Fault {
        match outcome {
            Outcome::Error(fault) => fault,
            Outcome::Ok(reply) => panic!("{reply:?}"),
        }
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

    #[test]
    fn a_cut_reply_has_as_many_entries_as_fit_and_tells_where_to_go_on() {
        for &encoding in Encoding::ALL {
            let bound = MessageBound::new(encoding).within(MIB as u32);
            let entries: Vec<_> = (1..=9).map(|n| entry(n, "x", MIB / 4)).collect();
            let mut reply = Reply::entries(entries.clone());
            if let Reply::Entries { last_id, .. } = &mut reply {
                *last_id = Some("9-0".to_owned());
            }
            let Outcome::Ok(Reply::Entries {
                entries: fitting,
                last_id,
                more,
            }) = bound.cut(7, reply, false)
            else {
                panic!("no entries")
            };
            assert_eq!(fitting, entries[..3]);
            assert_eq!((last_id.as_deref(), more), (Some("3-0"), false));
        }
    }

    fn claimed(entries: Vec<Entry>, deleted: usize) -> Reply {
        let deleted = (1..=deleted).map(|n| format!("1700000000000-{n}"));
        Reply::Claimed(Claimed::new("1700000000001-0", entries, deleted.collect()))
    }

    #[test]
    fn a_claims_ids_of_deleted_entries_take_the_room_that_its_entries_leave() {
        const MAX_BYTES: u32 = 64 << 10;
        for &encoding in Encoding::ALL {
            let bound = MessageBound::new(encoding).within(MAX_BYTES);
            let small = entry(2, "x", 20);
            let large = entry(3, "x", 40_000);
            for (entries, expected) in [
                (vec![], vec![]),
                (vec![small.clone()], vec![small.clone()]),
                (
                    vec![large.clone(), small.clone(), large.clone()],
                    vec![large, small],
                ),
            ] {
                let is_cut = entries.len() > expected.len();
                let outcome = bound.cut(7, claimed(entries, 6_000), true);
                let message = ServerMessage::Reply { id: 7, outcome };
                let bytes = bound.bytes_of(&message);
                assert!(bytes <= MAX_BYTES as usize, "{bytes} bytes");
                assert!(bytes > MAX_BYTES as usize * 9 / 10, "{bytes} bytes");
                let ServerMessage::Reply {
                    outcome: Outcome::Ok(Reply::Claimed(found)),
                    ..
                } = message
                else {
                    panic!("{message:?}")
                };
                assert_eq!(found.entries, expected);
                assert_eq!(found.more, is_cut, "nothing else is pending");
                assert_eq!(found.cursor, "1700000000001-0");
                assert!((1..6_000).contains(&found.deleted.len()));
            }
        }
    }

    #[test]
    fn the_fault_of_an_entry_that_does_not_fit_names_it() {
        for &encoding in Encoding::ALL {
            let bound = MessageBound::new(encoding).within(MIB as u32);
            let all = vec![entry(1, "x", MIB), entry(2, "x", 1)];
            let fault = fault_of(bound.cut(7, Reply::entries(all), true));
            assert_eq!((&*fault.code, &*fault.retry), ("LIMIT", "never"));
            assert_eq!(fault.entry.as_deref(), Some("1-0"));
            assert!(fault.message.contains("1048580 bytes"), "{}", fault.message);
            let id = "x".repeat(MIB);
            assert_eq!(
                fault_of(bound.cut(7, Reply::Added { id }, false)).entry,
                None
            );
        }
    }
}
