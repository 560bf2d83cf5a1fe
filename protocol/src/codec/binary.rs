//! The binary encoding of numbers, records, lists and text.

use std::borrow::Cow;

use super::wire::{Decode, Encode, ReadError};
use crate::text::Text;

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

/// Appends a record: its length, then what `write_fields` appends.
pub(super) fn write_record(out: &mut Vec<u8>, write_fields: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.push(0);
    write_fields(out);
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
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// Returns what is not read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn uint(&mut self) -> Result<u64, ReadError> {
        let mut number = 0;
        for (index, byte) in self.rest.iter().take(10).enumerate() {
            number |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                // The tenth byte holds the last of 64 bits.
                if index == 9 && *byte > 1 {
                    break;
                }
                self.rest = &self.rest[index + 1..];
                return Ok(number);
            }
        }
        Err(MALFORMED)
    }

    fn byte(&mut self) -> Result<u8, ReadError> {
        let (byte, rest) = self.rest.split_first().ok_or(MALFORMED)?;
        self.rest = rest;
        Ok(*byte)
    }

    /// Reads a length and as many bytes.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], ReadError> {
        let length = usize::try_from(self.uint()?).map_err(|_| MALFORMED)?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(MALFORMED)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn text(&mut self) -> Result<&'a str, ReadError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| MALFORMED)
    }

    /// Reads the length of a record, and returns a reader of its fields.
    pub(super) fn record(&mut self) -> Result<Self, ReadError> {
        Ok(Self::new(self.bytes()?))
    }

    /// Reads a field of a record, which may end before an optional one.
    pub(super) fn field<T: Decode<'a>>(&mut self) -> Result<T, ReadError> {
        if self.rest.is_empty() {
            return T::absent().ok_or(MALFORMED);
        }
        T::read_binary(self)
    }

    pub(super) fn list<T: Decode<'a>>(&mut self) -> Result<Vec<T>, ReadError> {
        let count = self.uint()?;
        let most = MAX_RESERVED_BYTES / size_of::<T>().max(1);
        let reserved = most.min(self.rest.len());
        let reserved = usize::try_from(count).map_or(reserved, |count| count.min(reserved));
        let mut list = Vec::with_capacity(reserved);
        for _ in 0..count {
            list.push(T::read_binary(self)?);
        }
        Ok(list)
    }

    pub(super) fn optional<T: Decode<'a>>(&mut self) -> Result<Option<T>, ReadError> {
        match self.byte()? {
            0 => Ok(None),
            1 => T::read_binary(self).map(Some),
            _ => Err(MALFORMED),
        }
    }

    pub(super) fn boolean(&mut self) -> Result<bool, ReadError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(MALFORMED),
        }
    }

    pub(super) fn string(&mut self) -> Result<String, ReadError> {
        self.text().map(str::to_owned)
    }

    pub(super) fn borrowed(&mut self) -> Result<Text<'a>, ReadError> {
        self.text().map(|text| Text(Cow::Borrowed(text)))
    }
}

// One for all: a browser downloads it.
const MALFORMED: ReadError = ReadError::malformed("not a message of streamgate.v1.bin");

pub(super) fn write_text(out: &mut Vec<u8>, text: &str) {
    write_uint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

pub(super) fn write_list<T: Encode>(out: &mut Vec<u8>, list: &[T]) {
    write_uint(out, list.len() as u64);
    for item in list {
        item.write_binary(out);
    }
}
