//! Splits large frames of a client into fragments while they arrive.
//!
//! The WebSocket library reserves the length that a frame's header announces. So it gets no header
//! of more than [`FRAGMENT_BYTES`]: a larger frame becomes fragments of that size, which the library
//! puts together as they arrive. What a client only announces takes no memory.
//!
//! A masked payload is masked by a key that repeats every four bytes, and the size of a fragment is
//! a multiple of four: so all fragments have the key of their frame.

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
        if !self.is_control && self.message.is_none() {
            self.messages += 1;
            self.message = Some(IncomingMessage {
                number: self.messages,
                bytes: 0,
            });
        }
        self.payload_left = header.length;
        if header.length > self.max_frame_bytes {
            return 0;
        }
        self.largest_payload = self.largest_payload.max(header.length.min(FRAGMENT_BYTES));
        if header.length <= FRAGMENT_BYTES {
            return 0;
        }
        let first = FragmentsLeft {
            bytes: header.length,
            is_final,
            mask: header.mask,
        };
        let (mut fragment, length) = first.header();
        fragment[0] = header.first & !FIN;
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

    /// Returns the header of the next fragment as a continuation, and its length.
    fn header(&self) -> ([u8; MASKED_HEADER_BYTES], usize) {
        let is_last = self.bytes <= FRAGMENT_BYTES;
        let length = u16::try_from(self.next_bytes()).unwrap_or(u16::MAX);
        let mut header = [0; MASKED_HEADER_BYTES];
        header[0] = if is_last && self.is_final { FIN } else { 0 };
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

    /// Returns the opcode and the payload of each message, and the longest payload of a frame.
    fn messages(mut bytes: &[u8]) -> (Vec<(u8, Vec<u8>)>, u64) {
        let (mut all, mut incomplete, mut longest) = (Vec::new(), None, 0);
        while let Some(header) = Header::parse(bytes) {
            longest = longest.max(header.length);
            let end = header.bytes + header.length as usize;
            let key = header.mask.unwrap_or_default();
            let payload = bytes[header.bytes..end].iter();
            let payload: Vec<u8> = payload
                .zip(key.iter().cycle())
                .map(|(b, k)| b ^ k)
                .collect();
            bytes = &bytes[end..];
            let opcode = header.first & OPCODE;
            if opcode & CONTROL != 0 {
                all.push((opcode, payload));
                continue;
            }
            let (_, message) = incomplete.get_or_insert((opcode, Vec::new()));
            message.extend(payload);
            if header.first & FIN != 0 {
                all.extend(incomplete.take());
            }
        }
        assert!(bytes.is_empty() && incomplete.is_none());
        (all, longest)
    }

    #[test]
    fn messages_stay_the_same_and_no_frame_is_larger_than_a_fragment() {
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
            let (got, longest) = messages(&passed);
            assert!(got == messages(&sent).0, "round {round}");
            assert_eq!(longest, FRAGMENT_BYTES);
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
    fn a_frame_beyond_the_limit_keeps_its_header() {
        let mut splitter = FrameSplitter::new(MAX_FRAME_BYTES);
        let sent = frame(FIN | 2, &vec![0; (1 << 20) + 1], Some(MASK));
        let passed = pass_all(&mut splitter, &sent[..100], || 2_048);
        assert_eq!(passed, sent[..100]);
    }
}
