//! The binary encoding of numbers, records, lists and text.

use super::wire::{Decode, Encode, ReadError};

/// Memory that a list reserves by its count alone. Longer lists grow as their items arrive, so that
/// a count that was only read reserves next to nothing.
const MAX_RESERVED_BYTES: usize = 2_048;

/// Appends a number: seven bits a byte, lowest first.
pub(super) fn write_uint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Returns the bytes of a number as [`write_uint`] writes them.
pub(super) fn uint_bytes(bytes: &mut [u8; 10], mut number: u64) -> &[u8] {
    let mut size = 0;
    while number >= 0x80 {
        bytes[size] = number as u8 | 0x80;
        number >>= 7;
        size += 1;
    }
    bytes[size] = number as u8;
    &bytes[..=size]
}

/// Returns how many bytes the number of a length takes.
pub(super) fn uint_len(length: usize) -> usize {
    let bits = usize::BITS - (length | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// Appends a message of this number, with the fields that `write_fields` appends.
pub fn write_message(out: &mut Vec<u8>, number: u64, write_fields: impl FnOnce(&mut Vec<u8>)) {
    write_uint(out, number);
    write_record(out, write_fields);
}

/// Appends a record: its length, then what `write_fields` appends.
pub fn write_record(out: &mut Vec<u8>, write_fields: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.push(0);
    write_fields(out);
    write_length(out, start);
}

/// Writes the length of a record whose length byte is at `start`.
// Inlined into each record it would be a larger download for browsers.
#[cfg_attr(target_arch = "wasm32", inline(never))]
fn write_length(out: &mut Vec<u8>, start: usize) {
    let length = out.len() - start - 1;
    if length < 0x80 {
        out[start] = length as u8;
    } else {
        write_long_length(out, start, length);
    }
}

/// Writes the length of a record whose length byte is at `start`, and moves its fields, because
/// their length needs more than that byte.
#[inline(never)]
fn write_long_length(out: &mut Vec<u8>, start: usize, length: usize) {
    let mut bytes = [0; 10];
    let bytes = uint_bytes(&mut bytes, length as u64);
    let (fields, end) = (start + 1, out.len());
    out.resize(end + bytes.len() - 1, 0);
    out.copy_within(fields..end, start + bytes.len());
    out[start..start + bytes.len()].copy_from_slice(bytes);
}

/// Reads values from a frame, or from a record.
///
/// It remembers its first failure. From then on there is nothing left to read, and values mean
/// nothing: whoever reads a message checks once, at its end. That is a smaller download for a
/// browser than a check for each value.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    failure: Option<ReadError>,
}

impl<'a> Reader<'a> {
    /// Returns a reader of values in the binary encoding.
    pub fn new(rest: &'a [u8]) -> Self {
        Self {
            rest,
            failure: None,
        }
    }

    /// Returns what is not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Returns the first failure.
    pub(super) fn failure(&self) -> Option<ReadError> {
        self.failure
    }

    pub(super) fn fail(&mut self, failure: ReadError) {
        self.rest = &[];
        self.failure.get_or_insert(failure);
    }

    /// Reads a number.
    pub fn uint(&mut self) -> u64 {
        let mut number = 0;
        for (index, byte) in self.rest.iter().take(10).enumerate() {
            number |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                // The tenth byte holds the last of 64 bits.
                if index == 9 && *byte > 1 {
                    break;
                }
                self.rest = &self.rest[index + 1..];
                return number;
            }
        }
        self.fail(MALFORMED);
        0
    }

    /// Reads a byte below `limit`.
    fn byte_below(&mut self, limit: u8) -> u8 {
        match self.rest.split_first() {
            Some((byte, rest)) if *byte < limit => {
                self.rest = rest;
                *byte
            }
            _ => {
                self.fail(MALFORMED);
                0
            }
        }
    }

    /// Reads a length and as many bytes.
    pub fn bytes(&mut self) -> &'a [u8] {
        let length = usize::try_from(self.uint()).unwrap_or(usize::MAX);
        match self.rest.split_at_checked(length) {
            Some((bytes, rest)) => {
                self.rest = rest;
                bytes
            }
            None => {
                self.fail(MALFORMED);
                &[]
            }
        }
    }

    /// Reads a record: its length, then what `read_fields` reads of it. The rest is skipped.
    pub(super) fn record<T>(&mut self, read_fields: impl FnOnce(&mut Self) -> T) -> T {
        let fields = self.bytes();
        let after = std::mem::replace(&mut self.rest, fields);
        let record = read_fields(self);
        if self.failure.is_none() {
            self.rest = after;
        }
        record
    }

    /// Reads a field of a record, which may end before an optional one.
    pub fn field<T: Decode<'a>>(&mut self) -> T {
        if self.rest.is_empty() {
            if let Some(absent) = T::absent() {
                return absent;
            }
            self.fail(MALFORMED);
        }
        T::read_binary(self)
    }

    /// Reads a list.
    pub fn list<T: Decode<'a>>(&mut self) -> Vec<T> {
        let count = self.uint();
        if let Some(bound) = T::BOUND
            && count > bound.max_items as u64
        {
            self.fail(bound.exceeded);
            return Vec::new();
        }
        let most = MAX_RESERVED_BYTES / size_of::<T>().max(1);
        let reserved = most.min(self.rest.len());
        let reserved = usize::try_from(count).map_or(reserved, |count| count.min(reserved));
        let mut list = Vec::with_capacity(reserved);
        for _ in 0..count {
            let item = T::read_binary(self);
            if self.failure.is_some() {
                break;
            }
            list.push(item);
        }
        list
    }

    pub(super) fn optional<T: Decode<'a>>(&mut self) -> Option<T> {
        self.boolean().then(|| T::read_binary(self))
    }

    pub(super) fn boolean(&mut self) -> bool {
        self.byte_below(2) == 1
    }

    pub(super) fn text(&mut self) -> &'a str {
        match std::str::from_utf8(self.bytes()) {
            Ok(text) => text,
            Err(_) => {
                self.fail(MALFORMED);
                ""
            }
        }
    }
}

// One for all: a browser downloads it.
pub(super) const MALFORMED: ReadError = ReadError::malformed("not a message of streamgate.v1.bin");

pub(super) fn write_text(out: &mut Vec<u8>, text: &str) {
    write_bytes(out, text.as_bytes());
}

pub(super) fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_uint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(super) fn write_list<T: Encode>(out: &mut Vec<u8>, list: &[T]) {
    write_uint(out, list.len() as u64);
    for item in list {
        item.write_binary(out);
    }
}
