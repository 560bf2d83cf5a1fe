//! Splits large frames of a client into fragments while they arrive.
//!
//! The WebSocket library reserves the length that a frame's header announces. So it gets no header
//! of more than [`FRAGMENT_BYTES`]: a larger frame becomes fragments of that size. What a client
//! only announces takes no memory.
//!
//! The library would put fragments together in a buffer that doubles. So each fragment, the client's
//! own too, reaches it as a complete binary message, and [`Fragment`] says what it was.
//!
//! A masked payload is masked by a key that repeats every four bytes, and the size of a fragment is
//! a multiple of four: so all fragments have the key of their frame.

use std::collections::VecDeque;

/// Largest payload of a fragment, in bytes.
pub(super) const FRAGMENT_BYTES: u64 = 32 * 1024;

/// Longest header of a frame, in bytes.
pub(super) const MAX_HEADER_BYTES: usize = 14;

/// Header of a fragment of [`FRAGMENT_BYTES`], in bytes, with and without a mask.
const MASKED_HEADER_BYTES: usize = 8;
const UNMASKED_HEADER_BYTES: usize = 4;

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;

const CONTROL: u8 = 0x08;
const LENGTH_OF_16_BITS: u8 = 126;
const LENGTH_OF_64_BITS: u8 = 127;

const OPCODE: u8 = 0x0f;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;

/// What a message that the library yields was in what the client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fragment {
    /// A whole message.
    Whole,
    /// A fragment of a message of text, or of a binary one.
    Part { is_text: bool, is_last: bool },
}

/// Follows the frames in what a client sends.
pub(super) struct FrameSplitter {
    /// Larger frames stay as they are: the library refuses them by their headers.
    max_frame_bytes: u64,
    /// Bytes that come before what is read next: a part of a header, or the header of a fragment.
    prefix: [u8; MAX_HEADER_BYTES],
    prefix_bytes: usize,
    /// Payload of the current frame or fragment that has yet to come.
    payload_left: u64,
    /// What follows the current fragment, if it is not the last one of its frame.
    fragments_left: Option<FragmentsLeft>,
    /// Whether the current frame is data, and the last one of its message.
    is_control: bool,
    is_final: bool,
    message: Option<IncomingMessage>,
    messages: u64,
    /// Whether the message consists of text.
    is_text: bool,
    /// Of the data frames that the library has and has not yielded yet.
    fragments: VecDeque<Fragment>,
    /// Headers so far. Wraps around.
    headers: usize,
    largest_payload: u64,
}

#[derive(Clone, Copy)]
struct FragmentsLeft {
    bytes: u64,
    is_final: bool,
    mask: Option<[u8; 4]>,
}

/// A message that is incomplete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IncomingMessage {
    /// Its number: greater than that of the message before.
    pub(super) number: u64,
    /// Bytes that have arrived.
    pub(super) bytes: u64,
}

struct Header {
    bytes: usize,
    first: u8,
    length: u64,
    mask: Option<[u8; 4]>,
}

impl FrameSplitter {
    pub(super) fn new(max_frame_bytes: u64) -> Self {
        Self {
            max_frame_bytes,
            prefix: [0; MAX_HEADER_BYTES],
            prefix_bytes: 0,
            payload_left: 0,
            fragments_left: None,
            is_control: false,
            is_final: false,
            message: None,
            messages: 0,
            is_text: false,
            fragments: VecDeque::new(),
            headers: 0,
            largest_payload: 0,
        }
    }

    /// Returns the largest payload of a frame or fragment that the library got a header of.
    pub(super) fn largest_payload(&self) -> u64 {
        self.largest_payload
    }

    /// Counts the headers of frames. Wraps around.
    pub(super) fn headers(&self) -> usize {
        self.headers
    }

    /// Returns the message that is incomplete.
    pub(super) fn incoming(&self) -> Option<IncomingMessage> {
        self.message
    }

    /// Returns what the library's next message of data is.
    pub(super) fn next_fragment(&mut self) -> Option<Fragment> {
        self.fragments.pop_front()
    }

    /// Returns the bytes to put before what is read next. They are part of what
    /// [`pass`](Self::pass) gets.
    pub(super) fn prefix(&self) -> &[u8] {
        &self.prefix[..self.prefix_bytes]
    }

    /// Returns how many bytes may be read next, of as many as there is room for.
    pub(super) fn max_read(&self, room: usize) -> usize {
        match &self.fragments_left {
            // Up to the end of the fragment, where a header has to come in.
            Some(left) if self.payload_left == 0 => room.min(as_usize(left.next_bytes())),
            Some(_) => room.min(as_usize(self.payload_left)),
            // So that what is read after the header of a large frame is no more than a fragment.
            None => room.min(as_usize(FRAGMENT_BYTES)),
        }
    }

    /// Follows the prefix and the bytes that were read after it, rewrites headers in place, and
    /// returns how many of the bytes are for the library now. There are no more than before.
    pub(super) fn pass(&mut self, bytes: &mut [u8]) -> usize {
        let (mut at, mut end) = (0, bytes.len());
        self.prefix_bytes = 0;
        if self.payload_left == 0
            && let Some(left) = self.fragments_left
        {
            at = left.header_bytes();
            self.begin_fragment(left);
        }
        loop {
            let payload = as_usize(self.payload_left).min(end - at);
            at += payload;
            self.payload_left -= payload as u64;
            if !self.is_control
                && let Some(message) = &mut self.message
            {
                message.bytes += payload as u64;
            }
            if self.payload_left == 0 {
                if let Some(left) = &self.fragments_left {
                    let (header, length) = left.header();
                    self.prefix[..length].copy_from_slice(&header[..length]);
                    self.prefix_bytes = length;
                } else if self.is_final && !self.is_control {
                    self.message = None;
                }
            }
            if at == end {
                return end;
            }
            let Some(header) = Header::parse(&bytes[at..end]) else {
                let rest = &bytes[at..end];
                self.prefix[..rest.len()].copy_from_slice(rest);
                self.prefix_bytes = rest.len();
                return at;
            };
            let removed = self.begin_frame(&header, &mut bytes[at..end]);
            at += header.bytes - removed;
            end -= removed;
        }
    }

    /// Begins a frame, whose header is the first of these bytes. Returns how many bytes fewer they
    /// are now.
    fn begin_frame(&mut self, header: &Header, bytes: &mut [u8]) -> usize {
        let is_final = header.first & FIN != 0;
        self.headers = self.headers.wrapping_add(1);
        self.is_control = header.first & CONTROL != 0;
        self.is_final = is_final;
        self.payload_left = header.length;
        let opcode = header.first & OPCODE;
        let continues = self.message.is_some();
        if !self.is_control && !continues {
            self.messages += 1;
            self.is_text = opcode == TEXT;
            self.message = Some(IncomingMessage {
                number: self.messages,
                bytes: 0,
            });
        }
        if header.length > self.max_frame_bytes {
            return 0;
        }
        self.largest_payload = self.largest_payload.max(header.length.min(FRAGMENT_BYTES));
        let is_split = header.length > FRAGMENT_BYTES;
        let is_whole = is_final && !continues && !is_split;
        // The reserved bits stay as they are: the library refuses them.
        if self.is_control {
            if is_split {
                // The library refuses this at once, and does not wait for all of it.
                bytes[0] &= !FIN;
            }
        } else if (opcode == CONTINUATION) != continues {
            // For the library no message is under way, so it refuses a continuation.
            bytes[0] &= !OPCODE;
        } else if opcode <= BINARY && !is_whole {
            bytes[0] = bytes[0] & !OPCODE | FIN | BINARY;
        }
        if !is_split {
            match (self.is_control, is_whole) {
                (true, _) => {}
                (false, true) => self.fragments.push_back(Fragment::Whole),
                (false, false) => self.push_part(),
            }
            return 0;
        }
        let first = FragmentsLeft {
            bytes: header.length,
            is_final,
            mask: header.mask,
        };
        let (mut fragment, length) = first.header();
        fragment[0] = bytes[0];
        bytes[..length].copy_from_slice(&fragment[..length]);
        bytes.copy_within(header.bytes.., length);
        self.begin_fragment(first);
        header.bytes - length
    }

    fn begin_fragment(&mut self, mut left: FragmentsLeft) {
        self.payload_left = left.next_bytes();
        left.bytes -= self.payload_left;
        self.is_final = left.is_final && left.bytes == 0;
        self.fragments_left = (left.bytes > 0).then_some(left);
        self.push_part();
    }

    fn push_part(&mut self) {
        self.fragments.push_back(Fragment::Part {
            is_text: self.is_text,
            is_last: self.is_final,
        });
    }
}

impl FragmentsLeft {
    fn next_bytes(&self) -> u64 {
        self.bytes.min(FRAGMENT_BYTES)
    }

    fn header_bytes(&self) -> usize {
        if self.mask.is_some() {
            MASKED_HEADER_BYTES
        } else {
            UNMASKED_HEADER_BYTES
        }
    }

    /// Returns the header of the next fragment as a binary message, and its length.
    fn header(&self) -> ([u8; MASKED_HEADER_BYTES], usize) {
        let length = u16::try_from(self.next_bytes()).unwrap_or(u16::MAX);
        let mut header = [0; MASKED_HEADER_BYTES];
        header[0] = FIN | BINARY;
        header[1] = LENGTH_OF_16_BITS;
        header[2..4].copy_from_slice(&length.to_be_bytes());
        if let Some(mask) = self.mask {
            header[1] |= MASKED;
            header[4..].copy_from_slice(&mask);
        }
        (header, self.header_bytes())
    }
}

impl Header {
    /// Parses a header; `None` if it is incomplete.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (&first, &second) = (bytes.first()?, bytes.get(1)?);
        let (length, mut end) = match second & !MASKED {
            LENGTH_OF_16_BITS => {
                let length = bytes.get(2..4)?.try_into().ok()?;
                (u64::from(u16::from_be_bytes(length)), 4)
            }
            LENGTH_OF_64_BITS => {
                let length = bytes.get(2..10)?.try_into().ok()?;
                (u64::from_be_bytes(length), 10)
            }
            length => (u64::from(length), 2),
        };
        let mask = if second & MASKED == 0 {
            None
        } else {
            let mask = bytes.get(end..end + 4)?.try_into().ok()?;
            end += 4;
            Some(mask)
        };
        Some(Self {
            bytes: end,
            first,
            length,
            mask,
        })
    }
}

fn as_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_FRAME_BYTES: u64 = 1 << 20;
    const MASK: [u8; 4] = [1, 2, 3, 4];
    const OPCODE: u8 = 0x0f;

    fn frame(first: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
        let bit = if mask.is_some() { MASKED } else { 0 };
        let mut bytes = vec![first];
        match payload.len() {
            length @ ..126 => bytes.push(bit | length as u8),
            length @ 126..=0xffff => {
                bytes.push(bit | LENGTH_OF_16_BITS);
                bytes.extend((length as u16).to_be_bytes());
            }
            length => {
                bytes.push(bit | LENGTH_OF_64_BITS);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend(mask.iter().flatten());
        let key = mask.unwrap_or_default();
        bytes.extend(payload.iter().zip(key.iter().cycle()).map(|(b, k)| b ^ k));
        bytes
    }

    /// Passes a client's bytes in reads of these sizes.
    fn pass_all(
        splitter: &mut FrameSplitter,
        sent: &[u8],
        mut size: impl FnMut() -> usize,
    ) -> Vec<u8> {
        let (mut at, mut passed) = (0, Vec::new());
        while at < sent.len() {
            let prefix = splitter.prefix().to_vec();
            let room = size().max(MAX_HEADER_BYTES) - prefix.len();
            let read = splitter.max_read(room.max(1)).min(sent.len() - at);
            let mut buffer = [&prefix, &sent[at..at + read]].concat();
            at += read;
            let length = splitter.pass(&mut buffer);
            passed.extend(&buffer[..length]);
        }
        passed
    }

    /// Returns the opcode and the payload of each frame, and whether it is final.
    fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>, bool)> {
        let mut all = Vec::new();
        while let Some(header) = Header::parse(bytes) {
            let end = header.bytes + header.length as usize;
            let key = header.mask.unwrap_or_default();
            let payload = bytes[header.bytes..end].iter();
            let payload = payload.zip(key.iter().cycle()).map(|(b, k)| b ^ k);
            let is_final = header.first & FIN != 0;
            all.push((header.first & OPCODE, payload.collect(), is_final));
            bytes = &bytes[end..];
        }
        assert!(bytes.is_empty());
        all
    }

    /// Returns the opcode and the payload of each message that a client sent.
    fn sent_messages(sent: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let (mut all, mut incomplete) = (Vec::new(), None);
        for (opcode, payload, is_final) in frames(sent) {
            if opcode & CONTROL != 0 {
                all.push((opcode, payload));
                continue;
            }
            let (_, message) = incomplete.get_or_insert((opcode, Vec::new()));
            message.extend(payload);
            if is_final {
                all.extend(incomplete.take());
            }
        }
        assert_eq!(incomplete, None);
        all
    }

    /// Returns the same of what reached the library.
    fn passed_messages(splitter: &mut FrameSplitter, passed: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let (mut all, mut incomplete) = (Vec::new(), Vec::new());
        for (opcode, payload, is_final) in frames(passed) {
            assert!(is_final, "the library puts nothing together");
            assert!(payload.len() <= FRAGMENT_BYTES as usize);
            if opcode & CONTROL != 0 {
                all.push((opcode, payload));
                continue;
            }
            match splitter.next_fragment().unwrap() {
                Fragment::Whole => all.push((opcode, payload)),
                Fragment::Part { is_text, is_last } => {
                    assert_eq!(opcode, BINARY);
                    incomplete.extend(payload);
                    if is_last {
                        let opcode = if is_text { TEXT } else { BINARY };
                        all.push((opcode, std::mem::take(&mut incomplete)));
                    }
                }
            }
        }
        assert_eq!(splitter.next_fragment(), None);
        assert!(incomplete.is_empty());
        all
    }

    #[test]
    fn messages_stay_the_same_and_the_library_puts_nothing_together() {
        let payload = |n: usize| (0..n).map(|b| (b * 7 + n) as u8).collect::<Vec<u8>>();
        let sizes = [
            0, 1, 125, 126, 0x7fff, 0x8000, 0x8001, 0xffff, 0x1_0000, 300_001,
        ];
        let mut random = fastrand::Rng::with_seed(1);
        for round in 0..8 {
            let mask = Some(MASK).filter(|_| round % 3 != 0);
            let mut sent = Vec::new();
            for n in sizes {
                sent.extend(frame(FIN | 2, &payload(n), mask));
                sent.extend(frame(FIN | 9, &payload(n.min(125)), mask));
                // A message that its sender fragmented, with a ping between.
                sent.extend(frame(1, &payload(n), mask));
                sent.extend(frame(FIN | 10, &payload(3), mask));
                sent.extend(frame(FIN, &payload(n + 1), mask));
            }
            let most = [14, 50, 2_048, 5_000][round % 4];
            let mut splitter = FrameSplitter::new(MAX_FRAME_BYTES);
            let passed = pass_all(&mut splitter, &sent, || random.usize(1..=most));
            let passed = passed_messages(&mut splitter, &passed);
            assert!(passed == sent_messages(&sent), "round {round}");
            assert_eq!(splitter.incoming(), None);
        }
    }

    #[test]
    fn an_incomplete_message_is_known_by_its_bytes() {
        let mut splitter = FrameSplitter::new(MAX_FRAME_BYTES);
        let sent = frame(FIN | 2, &[0; 100_000], Some(MASK));
        assert_eq!(splitter.incoming(), None);
        pass_all(&mut splitter, &sent[..MAX_HEADER_BYTES + 40_000], || 2_048);
        let incoming = splitter.incoming().unwrap();
        assert_eq!((incoming.number, incoming.bytes), (1, 40_000));
        pass_all(&mut splitter, &sent[MAX_HEADER_BYTES + 40_000..], || 2_048);
        assert_eq!(splitter.incoming(), None);
        pass_all(&mut splitter, &sent[..20], || 2_048);
        let incoming = splitter.incoming().unwrap();
        assert_eq!((incoming.number, incoming.bytes), (2, 6));
    }

    #[test]
    fn the_library_gets_what_it_refuses() {
        const RESERVED_BIT: u8 = 0x40;
        for (before, bad, expected) in [
            // A continuation of nothing; a message within a message; an unknown type; a reserved
            // bit; a control frame that is too large.
            (&[][..], FIN, FIN),
            (&[BINARY], FIN | BINARY, FIN),
            (&[BINARY], FIN | 3, FIN),
            (&[], FIN | 3, FIN | 3),
            (&[BINARY], FIN | RESERVED_BIT, FIN | RESERVED_BIT | BINARY),
        ] {
            for length in [3, 100_000] {
                let mut splitter = FrameSplitter::new(MAX_FRAME_BYTES);
                for first in before {
                    pass_all(&mut splitter, &frame(*first, b"x", Some(MASK)), || 2_048);
                }
                let sent = frame(bad, &vec![0; length], Some(MASK));
                let passed = pass_all(&mut splitter, &sent, || 2_048);
                assert_eq!(passed[0], expected, "{before:?}, {bad:x} of {length}");
            }
        }
        let mut splitter = FrameSplitter::new(MAX_FRAME_BYTES);
        let large_ping = frame(FIN | 9, &[0; 100_000], Some(MASK));
        assert_eq!(pass_all(&mut splitter, &large_ping, || 2_048)[0], 9);
    }

    #[test]
    fn a_frame_beyond_the_limit_keeps_its_header() {
        let mut splitter = FrameSplitter::new(MAX_FRAME_BYTES);
        let sent = frame(FIN | 2, &vec![0; (1 << 20) + 1], Some(MASK));
        let passed = pass_all(&mut splitter, &sent[..100], || 2_048);
        assert_eq!(passed, sent[..100]);
    }
}
