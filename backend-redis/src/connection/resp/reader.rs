//! Answers of Redis, from bytes as they come.
//!
//! RESP2 (<https://redis.io/docs/latest/develop/reference/protocol-spec/>) has five kinds of value,
//! each told by its first byte.

use std::ops::Range;

use redis::Value;

/// How much is read at once, in bytes, and kept while nothing is.
const BUFFER_BYTES: usize = 64 * 1024;

/// Longest text that an answer may hold: Redis's own bound (`proto-max-bulk-len`), 512 MiB.
const MAX_TEXT_BYTES: usize = 512 * 1024 * 1024;

/// Longest line, in bytes: a length, a number, an error or a status.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// Arrays within arrays. Fields of entries of a stream of many, within a transaction, are in the
/// sixth.
const MAX_DEPTH: usize = 16;

/// Places of an array for which there is room before there are values: its length is only what it
/// says.
const MAX_PLACES_AHEAD: usize = 4096;

/// What came is not RESP2, or is beyond a bound.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MalformedAnswer;

/// Puts values together from bytes, each byte looked at once.
pub(super) struct AnswerReader {
    buffer: Vec<u8>,
    unread: Range<usize>,
    /// Arrays that are not complete, the innermost last.
    open: Vec<OpenArray>,
}

struct OpenArray {
    values: Vec<Value>,
    missing: usize,
}

/// What is at one place of an answer.
enum AnswerToken {
    Value(Value),
    Array(usize),
    /// So many more bytes are needed, at least.
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

    /// Where to put what comes; never empty. Then tell [`filled`](Self::filled) how much it was.
    pub(super) fn space(&mut self) -> &mut [u8] {
        &mut self.buffer[self.unread.end..]
    }

    pub(super) fn filled(&mut self, bytes: usize) {
        self.unread.end += bytes;
    }

    /// The next complete value, if there is one. Without one there is space for more.
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
                        values: Vec::with_capacity(length.min(MAX_PLACES_AHEAD)),
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
            // Rare, so that it is left to redis-rs what an error is made of.
            b'-' => {
                let error = redis::parse_redis_value(&unread[..taken]);
                AnswerToken::Value(error.map_err(|_| MalformedAnswer)?)
            }
            _ => return Err(MalformedAnswer),
        };
        self.unread.start += taken;
        Ok(token)
    }

    /// Makes room for so many more bytes behind those that were not read yet.
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

/// How long the first line is, without its end.
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

/// A length; none for what is not there at all.
fn length(digits: &[u8]) -> Result<Option<usize>, MalformedAnswer> {
    if digits == b"-1" {
        return Ok(None);
    }
    // Nine digits are more than any answer has.
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

    /// Reads bytes that come so many at a time.
    fn read(bytes: &[u8], at_a_time: usize) -> Result<Vec<Value>, MalformedAnswer> {
        let mut reader = AnswerReader::new();
        let mut values = Vec::new();
        for mut part in bytes.chunks(at_a_time) {
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
    fn answers_are_those_that_redis_rs_reads_wherever_they_are_cut() {
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
        for at_a_time in 1..=bytes.len() {
            assert_eq!(read(&bytes, at_a_time).unwrap(), expected, "{at_a_time}");
        }
    }

    #[test]
    fn a_text_may_be_longer_than_the_buffer_which_shrinks_again() {
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
    fn what_is_not_the_protocol_is_noticed() {
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
    fn a_long_array_that_does_not_come_takes_no_memory() {
        let mut reader = AnswerReader::new();
        let bytes = b"*999999999\r\n:1\r\n";
        reader.space()[..bytes.len()].copy_from_slice(bytes);
        reader.filled(bytes.len());
        assert_eq!(reader.next(), Ok(None));
        assert!(reader.open[0].values.capacity() <= MAX_PLACES_AHEAD);
    }
}
