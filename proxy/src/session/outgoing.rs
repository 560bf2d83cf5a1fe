//! Messages on their way out, gathered into frames.
//!
//! Replies and pushes that are ready together share a frame: a frame costs little, a system call
//! much.

use std::collections::VecDeque;

use streamgate_backend::{Segment, TailEvent};
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::error::code;
use streamgate_protocol::limits::MAX_REPLY_BYTES;
use streamgate_protocol::message::{Credit, Item, Outcome};
use streamgate_protocol::{CacheError, CacheResult, Claimed, Gap, Reply, ServerMessage};

use crate::session::limits::MAX_UNSENT_BYTES;

/// Bytes up to which messages share a frame: a client can work on the first replies while the rest
/// are under way. A larger message has a frame of its own.
const FRAME_BYTES: usize = 256 * 1024;

/// Largest envelope of a push, in bytes.
const PUSH_ENVELOPE_BYTES: usize = 64;

/// The frames that a session has yet to send.
pub(super) struct Outgoing {
    encoding: Encoding,
    full: VecDeque<Vec<u8>>,
    last: Vec<u8>,
    bytes: usize,
}

impl Outgoing {
    pub(super) fn new(encoding: Encoding) -> Self {
        Self {
            encoding,
            full: VecDeque::new(),
            last: Vec::new(),
            bytes: 0,
        }
    }

    /// Returns whether the session may gather more.
    pub(super) fn has_room(&self) -> bool {
        self.bytes < MAX_UNSENT_BYTES
    }

    /// Gathers the reply to a request; one that is too large becomes the error `LIMIT`.
    pub(super) fn reply(&mut self, id: u64, result: CacheResult<Reply>) {
        let result = match result {
            Ok(reply) if min_bytes(&reply) > MAX_REPLY_BYTES => Err(too_large()),
            result => result,
        };
        let message = ServerMessage::Reply {
            id,
            outcome: Outcome::from(result),
        };
        if self.append(&message) > MAX_REPLY_BYTES {
            self.withdraw();
            self.append(&ServerMessage::Reply {
                id,
                outcome: Outcome::from(Err(too_large())),
            });
        }
    }

    /// Gathers another message.
    pub(super) fn push(&mut self, message: &ServerMessage) {
        self.append(message);
    }

    /// Gathers a push. Entries that are too large together become several pushes.
    ///
    /// # Errors
    ///
    /// `LIMIT` for an entry that is too large by itself; the entries before it are gathered.
    pub(super) fn push_item(&mut self, id: u64, item: &TailEvent) -> CacheResult<()> {
        match item {
            TailEvent::Segment(segment) => self.push_segment(id, segment),
            TailEvent::Gap(gap) => {
                self.append(&ServerMessage::Push {
                    id,
                    item: Item::Gap(Gap::clone(gap)),
                });
                Ok(())
            }
        }
    }

    fn push_segment(&mut self, id: u64, segment: &Segment) -> CacheResult<()> {
        let entries = segment.entries();
        // Every encoding takes at least what the entries cost, so far too many are not encoded.
        if segment.cost().bytes <= MAX_REPLY_BYTES as u64 {
            let encoded = segment.encoded(self.encoding);
            if encoded.len() <= MAX_REPLY_BYTES {
                self.last.reserve(encoded.len() + PUSH_ENVELOPE_BYTES);
                self.append_with(|encoding, frame| encoding.append_push(frame, id, encoded));
                return Ok(());
            }
        }
        if entries.len() < 2 {
            return Err(too_large());
        }
        let (first, rest) = entries.split_at(entries.len() / 2);
        self.push_segment(id, &Segment::new(first.to_vec()))?;
        self.push_segment(id, &Segment::new(rest.to_vec()))
    }

    /// Removes and returns the next frame to send.
    pub(super) fn next_frame(&mut self) -> Option<Vec<u8>> {
        let frame = match self.full.pop_front() {
            Some(frame) => frame,
            None if self.last.is_empty() => return None,
            None => std::mem::take(&mut self.last),
        };
        self.bytes -= frame.len();
        Some(frame)
    }

    /// Appends a message to the last frame, or starts a new one with it, and returns its size.
    fn append(&mut self, message: &ServerMessage) -> usize {
        self.append_with(|encoding, frame| encoding.append(frame, message))
    }

    fn append_with(&mut self, append: impl FnOnce(Encoding, &mut Vec<u8>)) -> usize {
        let start = self.last.len();
        append(self.encoding, &mut self.last);
        let size = self.last.len() - start;
        self.bytes += size;
        if start > 0 && self.last.len() > FRAME_BYTES {
            let mut new = self.last.split_off(start);
            if self.encoding.is_text() {
                // The line break between two messages of a frame.
                new.remove(0);
                self.bytes -= 1;
            }
            self.full.push_back(std::mem::replace(&mut self.last, new));
        }
        size
    }

    /// Removes the message appended last, which is large and so has a frame of its own.
    fn withdraw(&mut self) {
        self.bytes -= self.last.len();
        self.last = Vec::new();
    }
}

/// Returns a lower bound of the reply's size in every encoding, so that one that is far too large
/// is not encoded.
fn min_bytes(reply: &Reply) -> usize {
    match reply {
        Reply::Entries { entries, .. } | Reply::Claimed(Claimed { entries, .. }) => {
            let bytes = Credit::of(entries).bytes;
            usize::try_from(bytes).unwrap_or(usize::MAX)
        }
        Reply::Summary(summary) => {
            let names = summary.consumers.iter().map(|(name, _)| name.len());
            names.sum()
        }
        Reply::Pending { entries } => {
            let texts = entries.iter().map(|e| e.id.len() + e.consumer.len());
            texts.sum()
        }
        Reply::Consumers { consumers } => consumers.iter().map(|c| c.name.len()).sum(),
        _ => 0,
    }
}

fn too_large() -> CacheError {
    CacheError::backend(
        code::LIMIT,
        format_args!("the reply is larger than {MAX_REPLY_BYTES} bytes; ask for fewer entries"),
    )
}

#[cfg(test)]
mod tests {
    use streamgate_protocol::limits::MAX_SERVER_FRAME_BYTES;

    use super::*;

    fn entries_reply(value: &str, count: usize) -> CacheResult<Reply> {
        let entry = ("1-1".to_owned(), vec![("f".to_owned(), value.to_owned())]);
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

    #[test]
    fn replies_share_frames_up_to_the_soft_bound() {
        for &encoding in Encoding::ALL {
            let mut outgoing = Outgoing::new(encoding);
            for id in 0..1000 {
                outgoing.reply(id, entries_reply(&"x".repeat(1000), 1));
            }
            let (mut frames, mut ids) = (0, Vec::new());
            while let Some(frame) = outgoing.next_frame() {
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
            let mut outgoing = Outgoing::new(encoding);
            outgoing.reply(1, Ok(Reply::Done {}));
            outgoing.reply(2, entries_reply(&"x".repeat(4 * FRAME_BYTES), 1));
            outgoing.reply(3, Ok(Reply::Done {}));
            assert!(!outgoing.has_room());
            let mut ids: Vec<Vec<u64>> = Vec::new();
            while let Some(frame) = outgoing.next_frame() {
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
    fn a_reply_over_the_limit_is_refused() {
        let sizes = [
            // The content alone is too large.
            (Encoding::Binary, entries_reply(&"x".repeat(1 << 20), 17)),
            // JSON makes it too large: it takes six bytes for each byte of the value.
            (Encoding::Json, entries_reply(&"\u{1}".repeat(1 << 20), 3)),
        ];
        for (encoding, reply) in sizes {
            let mut outgoing = Outgoing::new(encoding);
            outgoing.reply(1, Ok(Reply::Done {}));
            outgoing.reply(2, reply);
            outgoing.reply(3, Ok(Reply::Done {}));
            let mut sent = Vec::new();
            while let Some(frame) = outgoing.next_frame() {
                sent.extend(replies(encoding, &frame));
            }
            assert_eq!(sent.len(), 3);
            assert_eq!(sent[0], (1, Ok(Reply::Done {})));
            assert_eq!(sent[1].1.as_ref().unwrap_err().code(), "LIMIT");
            assert_eq!(sent[2], (3, Ok(Reply::Done {})));
            assert_eq!(outgoing.bytes, 0);
        }
    }

    #[test]
    fn entries_that_are_too_large_together_become_several_pushes() {
        let entry = |n: usize, text: &str, bytes: usize| {
            let value = text.repeat(bytes);
            (format!("{n}-0"), vec![(String::new(), value)])
        };
        // Too large by their content alone, and too large as JSON, with six bytes for each.
        let sizes = [(Encoding::Binary, 20, "x"), (Encoding::Json, 3, "\u{1}")];
        for (encoding, count, text) in sizes {
            let mut outgoing = Outgoing::new(encoding);
            let all = (1..=count).map(|n| entry(n, text, 1 << 20));
            let item = TailEvent::Segment(Segment::new(all.collect()));
            outgoing.push_item(7, &item).unwrap();
            let (mut pushes, mut ids) = (0, Vec::new());
            while let Some(frame) = outgoing.next_frame() {
                assert!(frame.len() <= MAX_SERVER_FRAME_BYTES);
                for message in encoding.messages::<ServerMessage>(&frame) {
                    let ServerMessage::Push {
                        id: 7,
                        item: Item::Entries { entries, .. },
                    } = message.unwrap()
                    else {
                        panic!("no push of entries")
                    };
                    pushes += 1;
                    ids.extend(entries.into_iter().map(|(id, _)| id));
                }
            }
            assert!(pushes > 1);
            let expected: Vec<_> = (1..=count).map(|n| format!("{n}-0")).collect();
            assert_eq!(ids, expected);
            let huge = TailEvent::Segment(Segment::new(vec![entry(1, "x", MAX_REPLY_BYTES)]));
            assert_eq!(outgoing.push_item(7, &huge).unwrap_err().code(), "LIMIT");
        }
    }

    #[test]
    fn a_reply_at_the_limit_is_sent() {
        let mut outgoing = Outgoing::new(Encoding::Binary);
        outgoing.reply(1, entries_reply(&"x".repeat(1 << 20), 15));
        let frame = outgoing.next_frame().unwrap();
        assert!(replies(Encoding::Binary, &frame)[0].1.is_ok());
    }
}
