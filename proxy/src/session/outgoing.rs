//! Messages on their way out, gathered into frames.
//!
//! Replies and pushes that are ready together share a frame: a frame costs little, a system call
//! much.

use std::collections::VecDeque;

use streamgate_backend::TailEvent;
use streamgate_protocol::codec::{EncodedItem, Encoding, ItemRef};
use streamgate_protocol::message::{Credit, Fault, Outcome};
use streamgate_protocol::{CacheError, CacheResult, Claimed, Reply, ServerMessage};

use crate::session::backend_errors::conceal;
use crate::session::large_reply::LargeReply;
use crate::session::limits::MAX_UNSENT_BYTES;
use crate::session::message_size::{MessageBound, PUSH_ENVELOPE_BYTES, fault};
use crate::session::shared_push::{SHARED_BYTES, SharedPush};
use crate::socket::Piece;

/// Bytes up to which messages share a frame: a client can work on the first replies while the rest
/// are under way. A larger message has a frame of its own.
const FRAME_BYTES: usize = 256 * 1024;

/// The frames that a session has yet to send.
pub(super) struct Outgoing {
    bound: MessageBound,
    conceals_texts: bool,
    full: VecDeque<OutgoingFrame>,
    last: Vec<u8>,
    /// Bytes of all frames, and the memory of those that are not encoded yet.
    bytes: usize,
}

enum OutgoingFrame {
    Encoded(Vec<u8>),
    InPieces(Box<dyn PieceSource>),
}

/// A large message, whose pieces follow one another as the client takes them.
pub(super) trait PieceSource: Send {
    /// Returns the bytes of memory that it takes, beside the pieces that it has returned.
    fn held_bytes(&self) -> usize;

    /// Returns the next piece, up to the one that ends the frame.
    fn next_piece(&mut self) -> Piece;
}

impl Outgoing {
    /// If it conceals texts, those of the backend's errors do not reach the client.
    pub(super) fn new(encoding: Encoding, conceals_texts: bool) -> Self {
        Self {
            bound: MessageBound::new(encoding),
            conceals_texts,
            full: VecDeque::new(),
            last: Vec::new(),
            bytes: 0,
        }
    }

    /// Drops what has been gathered.
    pub(super) fn discard(&mut self) {
        (self.full, self.last, self.bytes) = Default::default();
    }

    /// Bounds all further messages and frames. The client takes frames of this size.
    pub(super) fn set_max_frame_bytes(&mut self, max_frame_bytes: u32) {
        self.bound = self.bound.within(max_frame_bytes);
    }

    pub(super) fn bound(&self) -> MessageBound {
        self.bound
    }

    /// Returns the encoding of the socket.
    pub(super) fn encoding(&self) -> Encoding {
        self.bound.encoding
    }

    /// Returns whether the session may gather more.
    pub(super) fn has_room(&self) -> bool {
        self.bytes < MAX_UNSENT_BYTES
    }

    /// Returns the bytes of memory that the frames take.
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes + (self.last.capacity() - self.last.len())
    }

    /// Gathers the reply to a request. A large one is encoded later, and one that is too large is
    /// cut: see [`LargeReply`].
    pub(super) fn reply(&mut self, id: u64, result: CacheResult<Reply>, is_delivery: bool) {
        let mut reply = match result {
            Ok(reply) => reply,
            Err(error) => return self.backend_error(id, &error),
        };
        let max_bytes = self.bound.max_bytes;
        if !is_large(&reply, self.bound) {
            let outcome = Outcome::Ok(reply);
            let message = ServerMessage::Reply { id, outcome };
            if self.append(&message) <= max_bytes {
                return;
            }
            self.withdraw();
            match message {
                ServerMessage::Reply {
                    outcome: Outcome::Ok(withdrawn),
                    ..
                } => reply = withdrawn,
                _ => return,
            }
        }
        match LargeReply::new(self.bound, id, reply, is_delivery) {
            Ok(reply) => self.push_in_pieces(reply),
            Err(error) => self.error(id, &error),
        }
    }

    /// Gathers an error of the backend: of a request, or the one that ends a subscription.
    pub(super) fn backend_error(&mut self, id: u64, error: &CacheError) {
        let outcome = Outcome::Error(self.concealed(fault(error)));
        self.append(&ServerMessage::Reply { id, outcome });
    }

    /// Gathers an error of the session's own.
    pub(super) fn error(&mut self, id: u64, error: &CacheError) {
        let outcome = Outcome::Error(fault(error));
        self.append(&ServerMessage::Reply { id, outcome });
    }

    /// Gathers why the backend is unavailable, or that it is available again.
    pub(super) fn availability(&mut self, unavailable: Option<Fault>) {
        let unavailable = unavailable.map(|fault| self.concealed(fault));
        self.append(&ServerMessage::Backend { unavailable });
    }

    fn concealed(&self, mut fault: Fault) -> Fault {
        if self.conceals_texts {
            conceal(&mut fault);
        }
        fault
    }

    /// Gathers another message.
    pub(super) fn push(&mut self, message: &ServerMessage) {
        self.append(message);
    }

    /// Gathers a push, which must fit: see [`MessageBound::split`].
    pub(super) fn push_item(&mut self, id: u64, item: &TailEvent) {
        let encoding = self.bound.encoding;
        match item {
            TailEvent::Segment(segment) if segment.encoded(encoding).len() >= SHARED_BYTES => {
                self.push_in_pieces(SharedPush::new(encoding, id, segment.encoded(encoding)));
            }
            TailEvent::Segment(segment) => self.push_encoded(id, segment.encoded(encoding)),
            TailEvent::Gap(gap) => {
                self.push_encoded(id, &encoding.encode_item(ItemRef::Gap(gap)));
            }
            TailEvent::Skipped(skipped) => {
                self.push_encoded(id, &encoding.encode_item(ItemRef::Skipped(skipped)));
            }
        }
    }

    fn push_in_pieces(&mut self, source: impl PieceSource + 'static) {
        self.end_frame();
        self.bytes += source.held_bytes();
        self.full
            .push_back(OutgoingFrame::InPieces(Box::new(source)));
    }

    fn push_encoded(&mut self, id: u64, item: &EncodedItem) {
        let bytes = item.len() + PUSH_ENVELOPE_BYTES;
        if !self.last.is_empty() && self.last.len() + bytes > self.max_shared_bytes() {
            self.end_frame();
        }
        let missing = (self.last.len() + bytes).saturating_sub(self.last.capacity());
        if missing > 0 {
            // Twice as much, as `Vec` does, but for no more than the frame will have.
            let room = (2 * self.last.capacity()).min(FRAME_BYTES);
            let room = room.max(self.last.len() + bytes);
            self.last.reserve_exact(room - self.last.len());
        }
        self.append_with(|encoding, frame| encoding.append_push(frame, id, item));
    }

    /// Removes and returns the next piece to send. The pieces of a frame follow each other.
    pub(super) fn next_piece(&mut self) -> Option<Piece> {
        let whole = |bytes| Piece::new(bytes, true);
        let piece = match self.full.front_mut() {
            Some(OutgoingFrame::InPieces(source)) => {
                let before = source.held_bytes();
                let piece = source.next_piece();
                self.bytes -= before - source.held_bytes();
                if piece.ends_frame {
                    self.full.pop_front();
                }
                return Some(piece);
            }
            Some(OutgoingFrame::Encoded(frame)) => {
                let frame = std::mem::take(frame);
                self.full.pop_front();
                whole(frame)
            }
            None if self.last.is_empty() => return None,
            None => whole(std::mem::take(&mut self.last)),
        };
        self.bytes -= piece.bytes.len();
        Some(piece)
    }

    /// Appends a message to the last frame, or starts a new one with it, and returns its size.
    fn append(&mut self, message: &ServerMessage) -> usize {
        self.append_with(|encoding, frame| encoding.append(frame, message))
    }

    fn append_with(&mut self, append: impl FnOnce(Encoding, &mut Vec<u8>)) -> usize {
        let start = self.last.len();
        append(self.bound.encoding, &mut self.last);
        let size = self.last.len() - start;
        self.bytes += size;
        if start > 0 && self.last.len() > self.max_shared_bytes() {
            let mut new = self.last.split_off(start);
            if self.bound.encoding.is_text() {
                // The line break between two messages of a frame.
                new.remove(0);
                self.bytes -= 1;
            }
            let rest = std::mem::replace(&mut self.last, new);
            self.push_full(rest);
        }
        size
    }

    fn max_shared_bytes(&self) -> usize {
        FRAME_BYTES.min(self.bound.max_bytes)
    }

    /// Lets the next message begin a frame.
    fn end_frame(&mut self) {
        if !self.last.is_empty() {
            let last = std::mem::take(&mut self.last);
            self.push_full(last);
        }
    }

    /// Queues a frame, which nothing is appended to, without much more room than it needs.
    fn push_full(&mut self, mut frame: Vec<u8>) {
        if frame.capacity() - frame.len() > frame.len() / 8 {
            frame.shrink_to_fit();
        }
        self.full.push_back(OutgoingFrame::Encoded(frame));
    }

    /// Removes the message appended last, which is large and so has a frame of its own.
    fn withdraw(&mut self) {
        self.bytes -= self.last.len();
        self.last = Vec::new();
    }
}

/// Returns whether a reply has to be encoded piece by piece, or is too large in every encoding.
fn is_large(reply: &Reply, bound: MessageBound) -> bool {
    let (bytes, max_bytes) = match reply {
        Reply::Entries { entries, .. } | Reply::Claimed(Claimed { entries, .. }) => {
            let bytes = Credit::of(entries).bytes;
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            (bytes, FRAME_BYTES.min(bound.max_bytes))
        }
        Reply::Summary(summary) => {
            let names = summary.consumers.iter().map(|(name, _)| name.len());
            (names.sum(), bound.max_bytes)
        }
        Reply::Pending { entries } => {
            let texts = entries.iter().map(|e| e.id.len() + e.consumer.len());
            (texts.sum(), bound.max_bytes)
        }
        Reply::Consumers { consumers } => {
            let names = consumers.iter().map(|c| c.name.len());
            (names.sum(), bound.max_bytes)
        }
        _ => return false,
    };
    bytes > max_bytes
}

#[cfg(test)]
mod tests {
    use streamgate_backend::Segment;
    use streamgate_protocol::Entry;

    use super::*;

    fn entries_reply(value: &str, count: usize) -> CacheResult<Reply> {
        let entry = Entry::new("1-1", [("f", value)]);
        Ok(Reply::entries(vec![entry; count]))
    }

    fn replies(encoding: Encoding, frame: &[u8]) -> Vec<(u64, CacheResult<Reply>)> {
        encoding
            .messages::<ServerMessage>(frame)
            .map(|message| match message.unwrap() {
                ServerMessage::Reply { id, outcome } => (id, outcome.into()),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn next_frame(outgoing: &mut Outgoing) -> Option<Vec<u8>> {
        let mut piece = outgoing.next_piece()?;
        let mut frame = piece.bytes.to_vec();
        while !piece.ends_frame {
            piece = outgoing.next_piece().unwrap();
            frame.extend_from_slice(&piece.bytes);
        }
        Some(frame)
    }

    #[test]
    fn replies_share_frames_up_to_the_soft_bound() {
        for &encoding in Encoding::ALL {
            let mut outgoing = Outgoing::new(encoding, false);
            for id in 0..1000 {
                outgoing.reply(id, entries_reply(&"x".repeat(1000), 1), false);
            }
            let (mut frames, mut ids) = (0, Vec::new());
            while let Some(frame) = next_frame(&mut outgoing) {
                assert!(frame.len() <= FRAME_BYTES);
                frames += 1;
                ids.extend(replies(encoding, &frame).into_iter().map(|(id, _)| id));
            }
            assert!(
                (4..=5).contains(&frames),
                "{frames} frames of {FRAME_BYTES} for 1 MB"
            );
            assert_eq!(ids, (0..1000).collect::<Vec<_>>());
            assert_eq!(outgoing.bytes, 0);
        }
    }

    #[test]
    fn a_large_reply_has_a_frame_of_its_own() {
        for &encoding in Encoding::ALL {
            let mut outgoing = Outgoing::new(encoding, false);
            outgoing.reply(1, Ok(Reply::Done {}), false);
            outgoing.reply(2, entries_reply(&"x".repeat(4 * FRAME_BYTES), 1), false);
            outgoing.reply(3, Ok(Reply::Done {}), false);
            assert!(!outgoing.has_room());
            let mut ids: Vec<Vec<u64>> = Vec::new();
            while let Some(frame) = next_frame(&mut outgoing) {
                ids.push(
                    replies(encoding, &frame)
                        .into_iter()
                        .map(|(id, _)| id)
                        .collect(),
                );
            }
            assert_eq!(ids, vec![vec![1], vec![2], vec![3]]);
            assert_eq!(outgoing.bytes, 0);
        }
    }

    #[test]
    fn frames_take_little_more_memory_than_they_have_bytes() {
        for &encoding in Encoding::ALL {
            let entries = |length: usize| {
                let value = "x".repeat(length);
                Segment::new(vec![Entry::new("1-1", [("f", value)])])
            };
            for length in [10, 1_000, 100_000, 1_000_000] {
                let mut outgoing = Outgoing::new(encoding, false);
                while outgoing.has_room() {
                    outgoing.push_item(1, &TailEvent::Segment(entries(length)));
                }
                assert!(outgoing.held_bytes() < MAX_UNSENT_BYTES + 2 * FRAME_BYTES + length);
                while let Some(piece) = outgoing.next_piece() {
                    let (memory, bytes) = (piece.memory, piece.bytes.len());
                    let is_last = outgoing.bytes == 0;
                    // The last piece of a shared push stands for all of it.
                    let item = if piece.ends_frame { length + 100 } else { 0 };
                    assert!(
                        is_last || memory <= (bytes + bytes / 8).max(item),
                        "{memory} for {bytes}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_reply_over_the_limit_is_cut() {
        let sizes = [
            // The content alone is too large.
            (
                Encoding::Binary,
                entries_reply(&"x".repeat(1 << 20), 17),
                15,
            ),
            // JSON makes it too large.
            (Encoding::Json, entries_reply(&"\0".repeat(1 << 20), 13), 11),
        ];
        for (encoding, reply, fitting) in sizes {
            let mut outgoing = Outgoing::new(encoding, false);
            outgoing.reply(1, Ok(Reply::Done {}), false);
            outgoing.reply(2, reply, true);
            outgoing.reply(3, Ok(Reply::Done {}), false);
            let mut sent = Vec::new();
            while let Some(frame) = next_frame(&mut outgoing) {
                sent.extend(replies(encoding, &frame));
            }
            assert_eq!(sent.len(), 3);
            assert_eq!(sent[0], (1, Ok(Reply::Done {})));
            let (2, Ok(Reply::Entries { entries, more, .. })) = &sent[1] else {
                panic!("no entries")
            };
            assert_eq!((entries.len(), *more), (fitting, true), "{encoding:?}");
            assert_eq!(sent[2], (3, Ok(Reply::Done {})));
            assert_eq!(outgoing.bytes, 0);
        }
    }

    #[test]
    fn no_frame_is_larger_than_the_client_takes() {
        const MAX_FRAME_BYTES: usize = 64 * 1024;
        for &encoding in Encoding::ALL {
            let mut outgoing = Outgoing::new(encoding, false);
            outgoing.set_max_frame_bytes(MAX_FRAME_BYTES as u32);
            for id in 0..100 {
                outgoing.reply(id, entries_reply(&"x".repeat(900), 100), false);
                outgoing.reply(id, entries_reply("x", 3), false);
                let long = CacheError::from_code("ERR", &"\u{1}".repeat(MAX_FRAME_BYTES));
                outgoing.error(id, &long);
            }
            let mut count = 0;
            while let Some(frame) = next_frame(&mut outgoing) {
                assert!(frame.len() <= MAX_FRAME_BYTES, "{} bytes", frame.len());
                count += replies(encoding, &frame).len();
            }
            assert_eq!(count, 300);
        }
    }

    #[test]
    fn a_reply_at_the_limit_is_sent() {
        let mut outgoing = Outgoing::new(Encoding::Binary, false);
        outgoing.reply(1, entries_reply(&"x".repeat(1 << 20), 15), false);
        let frame = next_frame(&mut outgoing).unwrap();
        assert!(replies(Encoding::Binary, &frame)[0].1.is_ok());
    }
}
