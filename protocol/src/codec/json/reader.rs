//! Reading JSON values from a line.

use std::borrow::Cow;

use super::{base64, string};
use crate::codec::wire::{Decode, ReadError};
use crate::limits::MAX_UNKNOWN_KEYS;

/// Objects and lists within each other, at most: those of unknown fields too.
const MAX_DEPTH: usize = 64;

/// Reads JSON values from one line.
#[derive(Debug)]
pub struct JsonReader<'a> {
    line: &'a [u8],
    at: usize,
    depth: usize,
}

/// An object that is being read.
#[derive(Debug)]
pub(in crate::codec) struct Object<'a> {
    has_keys: bool,
    /// Keys that this version does not know. A repeated one is malformed too, and so are more than
    /// [`MAX_UNKNOWN_KEYS`].
    unknown: Vec<Cow<'a, str>>,
}

const NOT_JSON: ReadError = ReadError::malformed("not JSON");

impl<'a> JsonReader<'a> {
    pub(in crate::codec) fn new(line: &'a [u8]) -> Self {
        Self {
            line,
            at: 0,
            depth: 0,
        }
    }

    /// Returns how many bytes were read.
    pub(in crate::codec) fn position(&self) -> usize {
        self.at
    }

    /// Skips white space and returns the next byte.
    fn peek(&mut self) -> Result<u8, ReadError> {
        while let Some(byte) = self.line.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return Ok(*byte);
            }
            self.at += 1;
        }
        Err(NOT_JSON)
    }

    fn expect(&mut self, byte: u8, reason: &'static str) -> Result<(), ReadError> {
        if self.peek()? != byte {
            return Err(ReadError::malformed(reason));
        }
        self.at += 1;
        Ok(())
    }

    fn literal(&mut self, word: &[u8]) -> bool {
        let is_next = self.peek().is_ok() && self.line[self.at..].starts_with(word);
        if is_next {
            self.at += word.len();
        }
        is_next
    }

    /// Checks that only white space is left.
    pub(in crate::codec) fn end(&mut self) -> Result<(), ReadError> {
        match self.peek() {
            Ok(_) => Err(ReadError::malformed("more than one value in a line")),
            Err(_) => Ok(()),
        }
    }

    fn enter(&mut self) -> Result<(), ReadError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ReadError::malformed("nested too deep"));
        }
        Ok(())
    }

    pub(in crate::codec) fn object(&mut self) -> Result<Object<'a>, ReadError> {
        self.expect(b'{', "expected an object")?;
        self.enter()?;
        Ok(Object {
            has_keys: false,
            unknown: Vec::new(),
        })
    }

    /// Reads the next key and its colon. `None` at the end of the object.
    pub(in crate::codec) fn key(
        &mut self,
        object: &mut Object<'a>,
    ) -> Result<Option<Cow<'a, str>>, ReadError> {
        if self.peek()? == b'}' {
            self.at += 1;
            self.depth -= 1;
            return Ok(None);
        }
        if object.has_keys {
            self.expect(b',', "expected `,` or `}`")?;
        }
        object.has_keys = true;
        let key = self.string()?;
        self.expect(b':', "expected `:`")?;
        Ok(Some(key))
    }

    /// Ends an object that has exactly one key.
    pub(in crate::codec) fn end_choice(
        &mut self,
        object: &mut Object<'a>,
    ) -> Result<(), ReadError> {
        match self.key(object)? {
            None => Ok(()),
            Some(_) => Err(ReadError::malformed("more than one key in a choice")),
        }
    }

    /// Reads the value of a known field.
    pub(in crate::codec) fn field<T: Decode<'a>>(
        &mut self,
        field: &mut Option<T>,
    ) -> Result<(), ReadError> {
        if field.is_some() {
            return Err(TWICE);
        }
        *field = Some(T::read_json(self)?);
        Ok(())
    }

    /// Skips the value of an unknown field.
    pub(in crate::codec) fn unknown_field(
        &mut self,
        object: &mut Object<'a>,
        key: Cow<'a, str>,
    ) -> Result<(), ReadError> {
        if object.unknown.len() == MAX_UNKNOWN_KEYS {
            return Err(ReadError::malformed("too many unknown keys in an object"));
        }
        object.unknown.push(key);
        self.skip()
    }

    pub(in crate::codec) fn string(&mut self) -> Result<Cow<'a, str>, ReadError> {
        self.expect(b'"', "expected text")?;
        let (text, length) = string::read(&self.line[self.at..])?;
        self.at += length;
        Ok(text)
    }

    /// Reads a string, or `{"base64": "…"}`.
    pub(in crate::codec) fn bytes(&mut self) -> Result<Cow<'a, [u8]>, ReadError> {
        if self.peek()? != b'{' {
            return Ok(match self.string()? {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            });
        }
        let mut object = self.object()?;
        let is_base64 = self.key(&mut object)?.as_deref() == Some("base64");
        if !is_base64 {
            return Err(ReadError::malformed("expected text or base64"));
        }
        let bytes = base64::decode(&self.string()?)?;
        self.end_choice(&mut object)?;
        Ok(Cow::Owned(bytes))
    }

    /// Reads a whole number: digits alone.
    pub(in crate::codec) fn uint(&mut self) -> Result<u64, ReadError> {
        const EXPECTED: ReadError = ReadError::malformed("expected a whole number up to 2^64 - 1");
        self.peek().map_err(|_| EXPECTED)?;
        let rest = &self.line[self.at..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let ends = !matches!(rest.get(digits), Some(b'.' | b'e' | b'E'));
        if digits == 0 || (rest[0] == b'0' && digits > 1) || !ends {
            return Err(EXPECTED);
        }
        let mut number = 0_u64;
        for digit in &rest[..digits] {
            number = number
                .checked_mul(10)
                .and_then(|number| number.checked_add(u64::from(digit - b'0')))
                .ok_or(EXPECTED)?;
        }
        self.at += digits;
        Ok(number)
    }

    pub(in crate::codec) fn boolean(&mut self) -> Result<bool, ReadError> {
        if self.literal(b"true") {
            Ok(true)
        } else if self.literal(b"false") {
            Ok(false)
        } else {
            Err(ReadError::malformed("expected true or false"))
        }
    }

    pub(in crate::codec) fn optional<T: Decode<'a>>(&mut self) -> Result<Option<T>, ReadError> {
        if self.literal(b"null") {
            return Ok(None);
        }
        T::read_json(self).map(Some)
    }

    pub(in crate::codec) fn list<T: Decode<'a>>(&mut self) -> Result<Vec<T>, ReadError> {
        let mut list = Vec::new();
        self.items(|reader| {
            if let Some(bound) = T::BOUND
                && list.len() == bound.max_items
            {
                return Err(bound.exceeded);
            }
            list.push(T::read_json(reader)?);
            Ok(())
        })?;
        Ok(list)
    }

    pub(in crate::codec) fn pair<A, B>(&mut self) -> Result<(A, B), ReadError>
    where
        A: Decode<'a>,
        B: Decode<'a>,
    {
        self.expect(b'[', "expected a pair")?;
        let first = A::read_json(self)?;
        self.expect(b',', "expected a pair")?;
        let second = B::read_json(self)?;
        self.expect(b']', "expected a pair")?;
        Ok((first, second))
    }

    fn items(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        self.expect(b'[', "expected a list")?;
        self.enter()?;
        if self.peek()? != b']' {
            loop {
                item(self)?;
                if self.peek()? == b']' {
                    break;
                }
                self.expect(b',', "expected `,` or `]`")?;
            }
        }
        self.at += 1;
        self.depth -= 1;
        Ok(())
    }

    /// Skips a value of any type.
    fn skip(&mut self) -> Result<(), ReadError> {
        match self.peek()? {
            b'{' => self.skip_object(),
            b'[' => self.items(Self::skip),
            b'"' => self.skip_string(),
            b'-' | b'0'..=b'9' => self.skip_number(),
            _ if self.literal(b"null") => Ok(()),
            _ => self.boolean().map(drop).map_err(|_| NOT_JSON),
        }
    }

    fn skip_object(&mut self) -> Result<(), ReadError> {
        self.enter()?;
        self.at += 1;
        if self.peek()? != b'}' {
            loop {
                self.skip_string()?;
                self.expect(b':', "expected `:`")?;
                self.skip()?;
                if self.peek()? == b'}' {
                    break;
                }
                self.expect(b',', "expected `,` or `}`")?;
            }
        }
        self.at += 1;
        self.depth -= 1;
        Ok(())
    }

    /// Skips a string, which need not be text: JSON allows unpaired surrogates.
    fn skip_string(&mut self) -> Result<(), ReadError> {
        self.expect(b'"', "expected text")?;
        self.at += string::skip(&self.line[self.at..])?;
        Ok(())
    }

    /// Skips a number of any kind.
    fn skip_number(&mut self) -> Result<(), ReadError> {
        if self.line[self.at] == b'-' {
            self.at += 1;
        }
        let start = self.at;
        if self.digits()? > 1 && self.line[start] == b'0' {
            return Err(NOT_JSON);
        }
        if self.line.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.line.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.line.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<usize, ReadError> {
        let rest = &self.line[self.at..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += digits;
        if digits == 0 {
            return Err(NOT_JSON);
        }
        Ok(digits)
    }
}

const TWICE: ReadError = ReadError::malformed("a key twice in an object");

impl Object<'_> {
    /// Checks the unknown keys, after the last one.
    pub(in crate::codec) fn end(mut self) -> Result<(), ReadError> {
        self.unknown.sort_unstable();
        if self.unknown.windows(2).any(|keys| keys[0] == keys[1]) {
            return Err(TWICE);
        }
        Ok(())
    }
}

/// Returns the value of a field after its object was read.
pub(in crate::codec) fn present<'a, T: Decode<'a>>(
    value: Option<T>,
    missing: &'static str,
) -> Result<T, ReadError> {
    let value = value.or_else(T::absent);
    value.ok_or(ReadError::malformed(missing))
}

/// Reads the name of a message that cannot be decoded, and the number of its field `id` if it has
/// one. Fails where the line is no JSON object with one key.
pub(in crate::codec) fn envelope(line: &[u8]) -> Result<(Cow<'_, str>, Option<u64>), ReadError> {
    let mut reader = JsonReader::new(line);
    let mut message = reader.object()?;
    let name = reader.key(&mut message)?.ok_or(NOT_JSON)?;
    let mut id = None;
    if reader.peek()? == b'{' {
        let mut record = reader.object()?;
        while let Some(key) = reader.key(&mut record)? {
            if key == "id" {
                reader.field(&mut id)?;
            } else {
                reader.skip()?;
            }
        }
    } else {
        reader.skip()?;
    }
    reader.end_choice(&mut message)?;
    reader.end()?;
    Ok((name, id))
}
