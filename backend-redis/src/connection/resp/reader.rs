//! Parses answers from bytes as they arrive.
//!
//! RESP2 (<https://redis.io/docs/latest/develop/reference/protocol-spec/>) has five kinds of value,
//! and a value's first byte names its kind.

use std::ops::Range;

use redis::Value;

/// Bytes that are read at once, and kept while nothing is read.
const BUFFER_BYTES: usize = 64 * 1024;

/// Longest text in an answer: Redis's own bound (`proto-max-bulk-len`), 512 MiB.
const MAX_TEXT_BYTES: usize = 512 * 1024 * 1024;

/// Longest line, in bytes: a length, a number, an error or a status.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// Deepest nesting of arrays. The fields of an entry of a stream, read in a transaction, are at
/// level six.
const MAX_DEPTH: usize = 16;

/// Values of an array for which memory is reserved before they arrive: the length is only a claim.
const MAX_RESERVED_VALUES: usize = 4096;

/// The bytes are not RESP2, or they exceed a bound.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MalformedAnswer;

/// Assembles values from bytes, and reads each byte once.
pub(super) struct AnswerReader {
    buffer: Vec<u8>,
    unread: Range<usize>,
    /// Arrays that are incomplete, the innermost last.
    open: Vec<OpenArray>,
}

struct OpenArray {
    values: Vec<Value>,
    missing: usize,
}

/// The next piece of an answer.
enum AnswerToken {
    Value(Value),
    /// The start of an array of that length.
    Array(usize),
    /// At least so many more bytes are needed.
    Incomplete(usize),
}

impl AnswerReader {
    pub(super) fn new() -> Self {
        Self {
            buffer: vec![0; BUFFER_BYTES],
            unread: 0..0,
            open: Vec::new(),
        }
    }

    /// Returns the space for the next bytes, which is never empty. Call [`filled`](Self::filled)
    /// with the number of bytes that were put there.
    pub(super) fn space(&mut self) -> &mut [u8] {
        &mut self.buffer[self.unread.end..]
    }

    pub(super) fn filled(&mut self, bytes: usize) {
        self.unread.end += bytes;
    }

    /// Returns the next complete value, if there is one. If not, there is space for more bytes.
    pub(super) fn next(&mut self) -> Result<Option<Value>, MalformedAnswer> {
        loop {
            let mut value = match self.token()? {
                AnswerToken::Incomplete(more) => {
                    self.make_space(more);
                    return Ok(None);
                }
                AnswerToken::Array(length) if length > 0 => {
                    if self.open.len() == MAX_DEPTH {
                        return Err(MalformedAnswer);
                    }
                    self.open.push(OpenArray {
                        values: Vec::with_capacity(length.min(MAX_RESERVED_VALUES)),
                        missing: length,
                    });
                    continue;
                }
                AnswerToken::Array(_) => Value::Array(Vec::new()),
                AnswerToken::Value(value) => value,
            };
            loop {
                let Some(array) = self.open.last_mut() else {
                    return Ok(Some(value));
                };
                array.values.push(value);
                array.missing -= 1;
                if array.missing > 0 {
                    break;
                }
                value = Value::Array(std::mem::take(&mut array.values));
                self.open.pop();
            }
        }
    }

    fn token(&mut self) -> Result<AnswerToken, MalformedAnswer> {
        let unread = &self.buffer[self.unread.clone()];
        let Some(line) = line(unread)? else {
            return Ok(AnswerToken::Incomplete(1));
        };
        let (text, mut taken) = (&unread[1..line], line + 2);
        let token = match unread[0] {
            b'$' => match length(text)? {
                None => AnswerToken::Value(Value::Nil),
                Some(length) if length > MAX_TEXT_BYTES => return Err(MalformedAnswer),
                Some(length) => {
                    let end = taken + length;
                    let Some(ending) = unread.get(end..end + 2) else {
                        return Ok(AnswerToken::Incomplete(end + 2 - unread.len()));
                    };
                    if ending != b"\r\n" {
                        return Err(MalformedAnswer);
                    }
                    let text = unread[taken..end].to_vec();
                    taken = end + 2;
                    AnswerToken::Value(Value::BulkString(text))
                }
            },
            b'*' => match length(text)? {
                None => AnswerToken::Value(Value::Nil),
                Some(length) => AnswerToken::Array(length),
            },
            b':' => {
                let number = std::str::from_utf8(text).ok().and_then(|t| t.parse().ok());
                AnswerToken::Value(Value::Int(number.ok_or(MalformedAnswer)?))
            }
            b'+' if text == b"OK" => AnswerToken::Value(Value::Okay),
            b'+' => AnswerToken::Value(Value::SimpleString(
                String::from_utf8_lossy(text).into_owned(),
            )),
            // Errors are rare, so redis-rs parses them.
            b'-' => {
                let error = redis::parse_redis_value(&unread[..taken]);
                AnswerToken::Value(error.map_err(|_| MalformedAnswer)?)
            }
            _ => return Err(MalformedAnswer),
        };
        self.unread.start += taken;
        Ok(token)
    }

    /// Makes room for `more` bytes after the unread ones.
    fn make_space(&mut self, more: usize) {
        if self.unread.is_empty() {
            self.unread = 0..0;
            if self.buffer.len() > BUFFER_BYTES {
                self.buffer = vec![0; BUFFER_BYTES];
            }
        }
        if self.buffer.len() - self.unread.end >= more {
            return;
        }
        self.buffer.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        let needed = self.unread.end + more;
        if self.buffer.len() < needed {
            self.buffer.resize(needed.next_multiple_of(BUFFER_BYTES), 0);
        }
    }
}

/// Returns the length of the first line without its end, once the line is complete.
fn line(unread: &[u8]) -> Result<Option<usize>, MalformedAnswer> {
    let known = &unread[..unread.len().min(MAX_LINE_BYTES)];
    match known.iter().position(|byte| *byte == b'\r') {
        None if unread.len() > MAX_LINE_BYTES => Err(MalformedAnswer),
        None => Ok(None),
        Some(0) => Err(MalformedAnswer),
        Some(end) => match unread.get(end + 1) {
            None => Ok(None),
            Some(b'\n') => Ok(Some(end)),
            Some(_) => Err(MalformedAnswer),
        },
    }
}

/// Parses a length. `None` stands for a null value.
fn length(digits: &[u8]) -> Result<Option<usize>, MalformedAnswer> {
    if digits == b"-1" {
        return Ok(None);
    }
    // No length within the bounds has more than nine digits.
    if digits.is_empty() || digits.len() > 9 {
        return Err(MalformedAnswer);
    }
    let mut length = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return Err(MalformedAnswer);
        }
        length = length * 10 + usize::from(digit - b'0');
    }
    Ok(Some(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads bytes that arrive in pieces of a length.
    fn read(bytes: &[u8], piece_length: usize) -> Result<Vec<Value>, MalformedAnswer> {
        let mut reader = AnswerReader::new();
        let mut values = Vec::new();
        for mut part in bytes.chunks(piece_length) {
            while !part.is_empty() {
                let space = reader.space();
                let taken = part.len().min(space.len());
                space[..taken].copy_from_slice(&part[..taken]);
                reader.filled(taken);
                part = &part[taken..];
                while let Some(value) = reader.next()? {
                    values.push(value);
                }
            }
        }
        Ok(values)
    }

    #[test]
    fn answers_equal_those_of_redis_rs_wherever_the_bytes_are_split() {
        let answers: [&[u8]; 12] = [
            b"$15\r\n1526919030474-0\r\n",
            b"$0\r\n\r\n",
            b"$-1\r\n",
            b"*-1\r\n",
            b"*0\r\n",
            b":-42\r\n",
            b"+OK\r\n",
            b"+QUEUED\r\n",
            b"-NOGROUP No such key 's'\r\n",
            b"-ERR\r\n",
            b"*2\r\n*1\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\nf\r\n$2\r\n\r\n\r\n:7\r\n",
            b"*2\r\n-WRONGTYPE no\r\n*2\r\n$3\r\n1-0\r\n*-1\r\n",
        ];
        let expected: Vec<_> = answers
            .iter()
            .map(|answer| redis::parse_redis_value(answer).unwrap())
            .collect();
        let bytes = answers.concat();
        for piece_length in 1..=bytes.len() {
            assert_eq!(
                read(&bytes, piece_length).unwrap(),
                expected,
                "{piece_length}"
            );
        }
    }

    #[test]
    fn a_long_text_grows_the_buffer_which_then_shrinks() {
        let text = vec![b'x'; 5 * BUFFER_BYTES];
        let mut bytes = format!("*2\r\n:1\r\n${}\r\n", text.len()).into_bytes();
        bytes.extend_from_slice(&text);
        bytes.extend_from_slice(b"\r\n:2\r\n");
        let values = read(&bytes, BUFFER_BYTES / 3).unwrap();
        let array = Value::Array(vec![Value::Int(1), Value::BulkString(text)]);
        assert_eq!(values, [array, Value::Int(2)]);

        let mut reader = AnswerReader::new();
        reader.make_space(3 * BUFFER_BYTES);
        assert_eq!(reader.space().len(), 3 * BUFFER_BYTES);
        assert_eq!(reader.next(), Ok(None));
        assert_eq!(reader.space().len(), BUFFER_BYTES);
    }

    #[test]
    fn malformed_bytes_are_an_error() {
        let deep = b"*1\r\n".repeat(MAX_DEPTH + 1);
        let endless = [b"+", [b'x'; MAX_LINE_BYTES].as_slice()].concat();
        let cases: [&[u8]; 12] = [
            b"HTTP/1.1 400 Bad Request\r\n",
            b"\r\n",
            b"$abc\r\n",
            b"$-2\r\n",
            b"$\r\n",
            b"$1234567890\r\n",
            b"$999999999\r\n",
            b"$1\r\nxyz\r\n",
            b":\r\n",
            b":1\rx",
            &deep,
            &endless,
        ];
        for bytes in cases {
            assert_eq!(
                read(bytes, BUFFER_BYTES),
                Err(MalformedAnswer),
                "{:?}",
                String::from_utf8_lossy(&bytes[..bytes.len().min(30)])
            );
        }
    }

    #[test]
    fn an_array_that_only_claims_to_be_long_takes_no_memory() {
        let mut reader = AnswerReader::new();
        let bytes = b"*999999999\r\n:1\r\n";
        reader.space()[..bytes.len()].copy_from_slice(bytes);
        reader.filled(bytes.len());
        assert_eq!(reader.next(), Ok(None));
        assert!(reader.open[0].values.capacity() <= MAX_RESERVED_VALUES);
    }
}
