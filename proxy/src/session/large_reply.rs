//! A reply with entries that is encoded piece by piece, as the client takes it.
//!
//! So a large reply needs no second buffer of its size, and takes no long turn. A reply that is too
//! large for the client is cut to as many of its entries as fit.

use std::vec::IntoIter;

use streamgate_backend::entry_memory::held_bytes;
use streamgate_backend::error_details;
use streamgate_protocol::codec::{EntriesSize, binary_entry_len};
use streamgate_protocol::error::code;
use streamgate_protocol::message::entry_bytes;
use streamgate_protocol::{CacheError, Claimed, Entry, Reply};

use crate::session::message_size::MessageBound;
use crate::session::outgoing::PieceSource;
use crate::socket::Piece;

/// Bytes after which a piece ends. An entry is in one piece.
const PIECE_BYTES: usize = 64 * 1024;

/// Bytes by which the rest of a reply grows with its entries: its lengths, their number, and the id
/// of the last one, if that becomes a longer one.
const MAX_GROWTH_BYTES: usize = 16 + 41;

/// A reply that is being encoded.
pub(super) struct LargeReply {
    bound: MessageBound,
    id: u64,
    /// The reply without its entries.
    reply: Reply,
    entries: IntoIter<Entry>,
    /// Memory of the entries that are not encoded yet, and of their list.
    entries_memory: usize,
    list_memory: usize,
    /// Ids of a claim's deleted entries. They come last, because nothing but their names is lost:
    /// they are not pending any more, and the cursor is after them.
    deleted: Vec<String>,
    /// The begin of the next piece.
    piece: Vec<u8>,
    /// Room for entries that are not encoded yet.
    room: usize,
    last_id: Option<String>,
    is_first: bool,
    /// Whether the entries were delivered to a consumer: those that do not fit stay pending for it.
    is_delivery: bool,
    is_done: bool,
}

impl LargeReply {
    /// Begins to encode a reply.
    ///
    /// # Errors
    ///
    /// `LIMIT`, if the first entry does not fit, or if the reply has no entries.
    pub(super) fn new(
        bound: MessageBound,
        id: u64,
        mut reply: Reply,
        is_delivery: bool,
    ) -> Result<Self, CacheError> {
        let (entries, deleted) = match &mut reply {
            Reply::Entries { entries, .. } => (std::mem::take(entries), Vec::new()),
            Reply::Claimed(Claimed {
                entries, deleted, ..
            }) => (std::mem::take(entries), std::mem::take(deleted)),
            _ => return Err(too_large(bound)),
        };
        let mut without_entries = Vec::new();
        let encoding = bound.encoding;
        encoding.begin_entries_reply(&mut without_entries, id, &reply, EntriesSize::default());
        encoding.end_entries_reply(&mut without_entries, &reply);
        let room = bound
            .max_bytes
            .checked_sub(without_entries.len() + MAX_GROWTH_BYTES);
        let room = room.ok_or_else(|| too_large(bound))?;
        let mut large = Self {
            bound,
            id,
            reply,
            entries_memory: entries.iter().map(held_bytes).sum(),
            list_memory: entries.capacity() * size_of::<Entry>(),
            entries: entries.into_iter(),
            deleted,
            piece: Vec::new(),
            room,
            last_id: None,
            is_first: true,
            is_delivery,
            is_done: false,
        };
        if encoding.is_text() {
            large.begin(EntriesSize::default());
        } else {
            large.begin_binary()?;
        }
        large.append_first()?;
        Ok(large)
    }

    fn begin(&mut self, size: EntriesSize) {
        let encoding = self.bound.encoding;
        encoding.begin_entries_reply(&mut self.piece, self.id, &self.reply, size);
    }

    /// Begins with the lengths, so what fits has to be known.
    fn begin_binary(&mut self) -> Result<(), CacheError> {
        let mut size = EntriesSize::default();
        let entries = self.entries.as_slice();
        for entry in entries {
            let bytes = binary_entry_len(entry);
            if size.binary_bytes + bytes > self.room {
                break;
            }
            size.count += 1;
            size.binary_bytes += bytes;
        }
        let is_cut = size.count < entries.len();
        if let (true, Some(first)) = (size.count == 0, entries.first()) {
            return Err(entry_too_large(self.bound, first));
        }
        if is_cut {
            let mut fitting = std::mem::take(&mut self.entries).collect::<Vec<_>>();
            fitting.truncate(size.count);
            self.entries_memory = fitting.iter().map(held_bytes).sum();
            self.entries = fitting.into_iter();
        }
        self.last_id = self.entries.as_slice().last().map(|last| last.id.clone());
        self.room -= size.binary_bytes;
        self.complete(is_cut);
        // From here on the room is that of the entries alone.
        self.room = size.binary_bytes;
        self.begin(size);
        Ok(())
    }

    /// Appends the first entry, which has to fit.
    fn append_first(&mut self) -> Result<(), CacheError> {
        let Some(first) = self.entries.next() else {
            return Ok(());
        };
        self.append(&first);
        if self.is_done {
            return Err(entry_too_large(self.bound, &first));
        }
        Ok(())
    }

    /// Appends an entry, or ends the reply before it if it does not fit.
    fn append(&mut self, entry: &Entry) {
        let start = self.piece.len();
        let entry_bytes = entry_bytes(entry) as usize;
        self.piece.reserve(entry_bytes + entry_bytes / 8);
        let encoding = self.bound.encoding;
        encoding.append_reply_entry(&mut self.piece, entry, self.is_first);
        let Some(room) = self.room.checked_sub(self.piece.len() - start) else {
            self.piece.truncate(start);
            return self.end(true);
        };
        self.room = room;
        self.entries_memory = self.entries_memory.saturating_sub(held_bytes(entry));
        self.is_first = false;
        if encoding.is_text() {
            self.last_id = Some(entry.id.clone());
        }
    }

    /// Ends the reply, before entries that do not fit if it `is_cut`.
    fn end(&mut self, is_cut: bool) {
        if self.bound.encoding.is_text() {
            self.complete(is_cut);
        }
        let encoding = self.bound.encoding;
        encoding.end_entries_reply(&mut self.piece, &self.reply);
        self.entries = IntoIter::default();
        (self.entries_memory, self.list_memory) = (0, 0);
        self.is_done = true;
    }

    /// Sets what the reply says beside its entries, once it is known which of them it has.
    fn complete(&mut self, is_cut: bool) {
        match &mut self.reply {
            Reply::Entries { last_id, more, .. } => {
                if let (true, Some(last_id), Some(last)) = (is_cut, last_id, self.last_id.take()) {
                    *last_id = last;
                }
                *more |= is_cut && self.is_delivery;
            }
            Reply::Claimed(claimed) => {
                claimed.more |= is_cut;
                let fitting = self.bound.fitting(&self.deleted, self.room);
                self.deleted.truncate(fitting);
                claimed.deleted = std::mem::take(&mut self.deleted);
            }
            _ => {}
        }
    }
}

impl PieceSource for LargeReply {
    fn held_bytes(&self) -> usize {
        self.piece.capacity() + self.entries_memory + self.list_memory
    }

    fn next_piece(&mut self) -> Piece {
        while !self.is_done && (self.piece.len() < PIECE_BYTES || self.entries.len() == 0) {
            match self.entries.next() {
                Some(entry) => self.append(&entry),
                None => self.end(false),
            }
        }
        Piece::new(std::mem::take(&mut self.piece), self.is_done)
    }
}

fn too_large(bound: MessageBound) -> CacheError {
    CacheError::backend(
        code::LIMIT,
        format_args!(
            "the reply is larger than {} bytes; ask for fewer at once",
            bound.max_bytes
        ),
    )
}

fn entry_too_large(bound: MessageBound, entry: &Entry) -> CacheError {
    let entry = error_details::too_large_entry(&entry.id, entry_bytes(entry));
    CacheError::backend(
        code::LIMIT,
        format_args!(
            "{entry} does not fit into a reply of {} bytes; read on after its id",
            bound.max_bytes
        ),
    )
}

#[cfg(test)]
mod tests {
    use streamgate_protocol::ServerMessage;
    use streamgate_protocol::codec::Encoding;
    use streamgate_protocol::message::{Fault, Outcome};

    use super::*;
    use crate::session::message_size::fault;

    const MIB: usize = 1 << 20;

    fn entry(n: usize, text: &str, length: usize) -> Entry {
        let value = text.repeat(length);
        Entry::new(format!("{n}-0"), [("f", value)])
    }

    fn frame(mut reply: LargeReply) -> Vec<u8> {
        let mut frame = Vec::new();
        loop {
            let piece = reply.next_piece();
            assert!(!piece.bytes.is_empty());
            frame.extend(piece.bytes);
            if piece.ends_frame {
                assert_eq!(reply.held_bytes(), 0);
                return frame;
            }
            assert!(reply.held_bytes() > 0);
        }
    }

    fn decoded(encoding: Encoding, frame: &[u8]) -> Outcome {
        let mut messages = encoding.messages::<ServerMessage>(frame);
        match messages.next() {
            Some(Ok(ServerMessage::Reply { id: 7, outcome })) if messages.next().is_none() => {
                outcome
            }
            other => panic!("{other:?}"),
        }
    }

    fn outcome(bound: MessageBound, reply: Reply, is_delivery: bool) -> Outcome {
        match LargeReply::new(bound, 7, reply, is_delivery) {
            Ok(reply) => decoded(bound.encoding, &frame(reply)),
            Err(error) => Outcome::Error(fault(&error)),
        }
    }

    fn fault_of(outcome: Outcome) -> Fault {
        match outcome {
            Outcome::Error(fault) => fault,
            Outcome::Ok(reply) => panic!("{reply:?}"),
        }
    }

    #[test]
    fn the_pieces_of_a_reply_are_the_reply() {
        for &encoding in Encoding::ALL {
            let bound = MessageBound::new(encoding);
            for sizes in [&[0, 1, 70_000, 3, 200_000][..], &[10; 50_000]] {
                let entries = sizes.iter().enumerate();
                let entries = entries.map(|(n, length)| entry(n, "\u{1}x", *length));
                let reply = Reply::Entries {
                    entries: entries.collect(),
                    last_id: Some("0-0".to_owned()),
                    more: true,
                };
                let message = ServerMessage::Reply {
                    id: 7,
                    outcome: Outcome::Ok(reply.clone()),
                };
                let mut whole = Vec::new();
                encoding.append(&mut whole, &message);
                let pieces = frame(LargeReply::new(bound, 7, reply, true).unwrap());
                assert!(pieces == whole, "{encoding:?}");
            }
        }
    }

    #[test]
    fn a_reply_counts_for_the_memory_of_its_entries() {
        for &encoding in Encoding::ALL {
            let entries: Vec<_> = (0..10_000).map(|n| entry(n, "v", 1)).collect();
            let memory: usize = entries.iter().map(held_bytes).sum();
            let reply = Reply::entries(entries);
            let reply = LargeReply::new(MessageBound::new(encoding), 7, reply, false).unwrap();
            let held = reply.held_bytes();
            assert!(held > memory * 9 / 10 && held < memory * 2, "{held}");
        }
    }

    #[test]
    fn a_large_reply_is_given_back_as_it_is_encoded() {
        for &encoding in Encoding::ALL {
            let entries = (0..100).map(|n| entry(n, "x", 100_000)).collect();
            let reply = Reply::entries(entries);
            let mut reply = LargeReply::new(MessageBound::new(encoding), 7, reply, false).unwrap();
            for sent in 1..100 {
                let before = reply.held_bytes();
                let piece = reply.next_piece();
                assert!(piece.bytes.len() < 2 * PIECE_BYTES + 100_000);
                assert!(reply.held_bytes() < before, "after {sent} pieces");
            }
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
            }) = outcome(bound, reply, false)
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
                let frame =
                    frame(LargeReply::new(bound, 7, claimed(entries, 6_000), true).unwrap());
                let bytes = frame.len();
                assert!(bytes <= MAX_BYTES as usize, "{bytes} bytes");
                assert!(bytes > MAX_BYTES as usize * 9 / 10, "{bytes} bytes");
                let Outcome::Ok(Reply::Claimed(found)) = decoded(encoding, &frame) else {
                    panic!("no entries")
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
            let fault = fault_of(outcome(bound, Reply::entries(all), true));
            assert_eq!((&*fault.code, &*fault.retry), ("LIMIT", "never"));
            assert_eq!(fault.entry.as_deref(), Some("1-0"));
            assert!(fault.message.contains("1048580 bytes"), "{}", fault.message);
            let id = "x".repeat(MIB);
            assert_eq!(
                fault_of(outcome(bound, Reply::Added { id }, false)).entry,
                None
            );
        }
    }
}
