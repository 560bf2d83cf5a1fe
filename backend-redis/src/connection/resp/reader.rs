//! Parses answers and pushes from bytes as they arrive, in RESP3 and in RESP2.
//!
//! A value's first byte names its kind
//! (<https://redis.io/docs/latest/develop/reference/protocol-spec/>). RESP2 has five of the kinds
//! of RESP3.
//!
//! A push is returned by itself, also where Redis sends it in the middle of an answer. Attributes
//! are skipped: they only describe the value that follows them.

use std::ops::Range;

use redis::{PushKind, Value};

/// Bytes that are read at once, and kept while nothing is read.
const BUFFER_BYTES: usize = 64 * 1024;

/// Longest text in an answer: Redis's own bound (`proto-max-bulk-len`), 512 MiB.
const MAX_TEXT_BYTES: usize = 512 * 1024 * 1024;

/// A text of at least this length is gathered as it arrives, so that it is copied once.
const LARGE_TEXT_BYTES: usize = BUFFER_BYTES;

/// Bytes that are reserved at once for a text, whose length is only a claim. The system gives memory
/// only for bytes that arrive.
const MAX_RESERVED_TEXT: usize = 16 * 1024 * 1024;

/// Longest line, in bytes: a length, a number, an error or a status.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// Deepest nesting of values. The fields of an entry of a stream, read in a transaction, are at
/// level six.
const MAX_DEPTH: usize = 16;

/// Values for which memory is reserved before they arrive: the length is only a claim.
const MAX_RESERVED_VALUES: usize = 4096;

/// The bytes are not RESP, or they exceed a bound.
#[derive(Debug, PartialEq, Eq)]
pub struct MalformedAnswer;

/// Assembles values from bytes, and reads each byte once.
#[derive(Debug)]
pub struct AnswerReader {
    buffer: Vec<u8>,
    unread: Range<usize>,
    /// A text that is arriving. Nothing after it is in the buffer.
    large_text: Option<LargeText>,
    /// Values that are incomplete, the innermost last.
    open: Vec<OpenAggregate>,
}

/// A large text, as far as it has arrived.
#[derive(Debug)]
struct LargeText {
    bytes: Vec<u8>,
    length: usize,
}

/// A value that is made of others.
#[derive(Debug)]
struct OpenAggregate {
    kind: AggregateKind,
    values: Vec<Value>,
    missing: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AggregateKind {
    Array,
    Set,
    /// Its values are keys and values in turn.
    Map,
    Push,
    /// Its values are names and values in turn, and at last the value that they describe.
    Attribute,
}

/// The next piece of an answer.
enum AnswerToken {
    Value(Value),
    /// The start of an aggregate of that many values.
    Aggregate(AggregateKind, usize),
    /// At least so many more bytes are needed.
    Incomplete(usize),
}

impl AnswerReader {
    /// Creates a reader that has read nothing.
    pub fn new() -> Self {
        Self {
            buffer: vec![0; BUFFER_BYTES],
            unread: 0..0,
            large_text: None,
            open: Vec::new(),
        }
    }

    /// Returns the space for the next bytes, which is never empty. Call [`filled`](Self::filled)
    /// with the number of bytes that were put there.
    pub fn space(&mut self) -> &mut [u8] {
        &mut self.buffer[self.unread.end..]
    }

    /// Takes bytes that were put into the [`space`](Self::space), as many as it has at most.
    pub fn filled(&mut self, bytes: usize) {
        self.unread.end = (self.unread.end + bytes).min(self.buffer.len());
    }

    /// Returns the next complete answer or push, if there is one. If not, there is space for more
    /// bytes.
    ///
    /// # Errors
    ///
    /// The bytes are malformed. Nothing more can be read from them.
    pub fn next_value(&mut self) -> Result<Option<Value>, MalformedAnswer> {
        loop {
            let mut value = match self.token()? {
                AnswerToken::Incomplete(more) => {
                    self.make_space(more);
                    return Ok(None);
                }
                AnswerToken::Aggregate(kind, length) if length > 0 => {
                    if self.open.len() == MAX_DEPTH {
                        return Err(MalformedAnswer);
                    }
                    self.open.push(OpenAggregate {
                        kind,
                        values: Vec::with_capacity(length.min(MAX_RESERVED_VALUES)),
                        missing: length,
                    });
                    continue;
                }
                AnswerToken::Aggregate(kind, _) => kind.complete(Vec::new())?,
                AnswerToken::Value(value) => value,
            };
            loop {
                // A push is no part of the answer in whose middle it arrives.
                if matches!(value, Value::Push { .. }) {
                    return Ok(Some(value));
                }
                let Some(aggregate) = self.open.last_mut() else {
                    return Ok(Some(value));
                };
                aggregate.values.push(value);
                aggregate.missing -= 1;
                if aggregate.missing > 0 {
                    break;
                }
                value = aggregate
                    .kind
                    .complete(std::mem::take(&mut aggregate.values))?;
                self.open.pop();
            }
        }
    }

    fn token(&mut self) -> Result<AnswerToken, MalformedAnswer> {
        if let Some(text) = self.large_text.take() {
            return self.gather(text);
        }
        let unread = &self.buffer[self.unread.clone()];
        let Some(line) = line(unread)? else {
            return Ok(AnswerToken::Incomplete(1));
        };
        let (text, mut taken) = (&unread[1..line], line + 2);
        let aggregate = |kind, values: Result<usize, _>| {
            values.map(|length| AnswerToken::Aggregate(kind, length))
        };
        let token = match unread[0] {
            b'$' => match length(text)? {
                None => AnswerToken::Value(Value::Nil),
                Some(length) => {
                    let Some(text) = bulk(unread, taken, length)? else {
                        if length < LARGE_TEXT_BYTES {
                            return Ok(incomplete_bulk(unread, taken, length));
                        }
                        self.unread.start += taken;
                        let bytes = Vec::with_capacity((length + 2).min(MAX_RESERVED_TEXT));
                        return self.gather(LargeText { bytes, length });
                    };
                    let text = text.to_vec();
                    taken += length + 2;
                    AnswerToken::Value(Value::BulkString(text))
                }
            },
            b'*' => match length(text)? {
                None => AnswerToken::Value(Value::Nil),
                Some(length) => AnswerToken::Aggregate(AggregateKind::Array, length),
            },
            b':' => {
                let number = std::str::from_utf8(text).ok().and_then(|t| t.parse().ok());
                AnswerToken::Value(Value::Int(number.ok_or(MalformedAnswer)?))
            }
            b'+' if text == b"OK" => AnswerToken::Value(Value::Okay),
            b'+' => AnswerToken::Value(Value::SimpleString(
                String::from_utf8_lossy(text).into_owned(),
            )),
            b'%' => aggregate(AggregateKind::Map, pairs(text))?,
            b'~' => aggregate(AggregateKind::Set, some_length(text))?,
            b'>' => aggregate(AggregateKind::Push, some_length(text))?,
            b'|' => aggregate(
                AggregateKind::Attribute,
                pairs(text).map(|length| length + 1),
            )?,
            b'_' if text.is_empty() => AnswerToken::Value(Value::Nil),
            b'#' => AnswerToken::Value(Value::Boolean(match text {
                b"t" => true,
                b"f" => false,
                _ => return Err(MalformedAnswer),
            })),
            b',' => {
                let number = std::str::from_utf8(text).ok().and_then(|t| t.parse().ok());
                AnswerToken::Value(Value::Double(number.ok_or(MalformedAnswer)?))
            }
            // These are rare, so redis-rs parses them.
            b'-' => {
                // Redis quotes names, which may be any bytes. redis-rs takes text alone.
                let text = String::from_utf8_lossy(&unread[..taken]);
                AnswerToken::Value(by_redis_rs(text.as_bytes())?)
            }
            b'(' if is_big_number(text) => AnswerToken::Value(by_redis_rs(&unread[..taken])?),
            b'!' | b'=' => {
                let length = some_length(text)?;
                if bulk(unread, taken, length)?.is_none() {
                    return Ok(incomplete_bulk(unread, taken, length));
                }
                taken += length + 2;
                AnswerToken::Value(by_redis_rs(&unread[..taken])?)
            }
            _ => return Err(MalformedAnswer),
        };
        self.unread.start += taken;
        Ok(token)
    }

    /// Moves bytes of a large text out of the buffer. Returns the text once all of it has arrived.
    fn gather(&mut self, mut text: LargeText) -> Result<AnswerToken, MalformedAnswer> {
        let missing = text.length + 2 - text.bytes.len();
        let arrived = self.unread.start..self.unread.end.min(self.unread.start + missing);
        self.unread.start = arrived.end;
        if text.bytes.len() + arrived.len() > text.bytes.capacity() {
            // The first 16 MiB have arrived, so the length is no lie.
            text.bytes.reserve_exact(missing);
        }
        text.bytes.extend_from_slice(&self.buffer[arrived]);
        if text.bytes.len() < text.length + 2 {
            self.large_text = Some(text);
            return Ok(AnswerToken::Incomplete(1));
        }
        if !text.bytes.ends_with(b"\r\n") {
            return Err(MalformedAnswer);
        }
        text.bytes.truncate(text.length);
        Ok(AnswerToken::Value(Value::BulkString(text.bytes)))
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
        // The length of a text is only a claim, so the buffer grows with what has arrived.
        let more = more.min(self.unread.len().max(BUFFER_BYTES));
        let needed = self.unread.end + more;
        if self.buffer.len() < needed {
            self.buffer.resize(needed.next_multiple_of(BUFFER_BYTES), 0);
        }
    }
}

impl Default for AnswerReader {
    fn default() -> Self {
        Self::new()
    }
}

impl AggregateKind {
    /// Makes a value of its parts.
    fn complete(self, values: Vec<Value>) -> Result<Value, MalformedAnswer> {
        let mut values = match self {
            Self::Array => return Ok(Value::Array(values)),
            Self::Set => return Ok(Value::Set(values)),
            Self::Map | Self::Push | Self::Attribute => values.into_iter(),
        };
        match self {
            Self::Push => match values.next() {
                Some(Value::BulkString(kind)) => Ok(push(&kind, values.collect())),
                Some(Value::SimpleString(kind)) => Ok(push(kind.as_bytes(), values.collect())),
                _ => Err(MalformedAnswer),
            },
            Self::Attribute => values.next_back().ok_or(MalformedAnswer),
            _ => {
                let mut pairs = Vec::with_capacity(values.len() / 2);
                while let (Some(key), Some(value)) = (values.next(), values.next()) {
                    pairs.push((key, value));
                }
                Ok(Value::Map(pairs))
            }
        }
    }
}

/// Makes a push. This backend uses only invalidations.
fn push(kind: &[u8], data: Vec<Value>) -> Value {
    let kind = match kind {
        b"invalidate" => PushKind::Invalidate,
        kind => PushKind::Other(String::from_utf8_lossy(kind).into_owned()),
    };
    Value::Push { kind, data }
}

fn by_redis_rs(bytes: &[u8]) -> Result<Value, MalformedAnswer> {
    redis::parse_redis_value(bytes).map_err(|_| MalformedAnswer)
}

/// Returns the text of a length that begins after `taken` bytes, once all of it has arrived.
fn bulk(unread: &[u8], taken: usize, length: usize) -> Result<Option<&[u8]>, MalformedAnswer> {
    if length > MAX_TEXT_BYTES {
        return Err(MalformedAnswer);
    }
    let end = taken + length;
    match unread.get(end..end + 2) {
        None => Ok(None),
        Some(b"\r\n") => Ok(Some(&unread[taken..end])),
        Some(_) => Err(MalformedAnswer),
    }
}

fn incomplete_bulk(unread: &[u8], taken: usize, length: usize) -> AnswerToken {
    AnswerToken::Incomplete(taken + length + 2 - unread.len())
}

fn is_big_number(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

/// Parses a length that may not be null.
fn some_length(digits: &[u8]) -> Result<usize, MalformedAnswer> {
    length(digits)?.ok_or(MalformedAnswer)
}

/// Parses the length of a map or an attribute. Returns how many values that is.
fn pairs(digits: &[u8]) -> Result<usize, MalformedAnswer> {
    // Nine digits at most, so this does not overflow where `usize` has 32 bits.
    some_length(digits).map(|length| 2 * length)
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
                while let Some(value) = reader.next_value()? {
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
    fn a_long_text_does_not_grow_the_buffer() {
        let text = vec![b'x'; 5 * BUFFER_BYTES];
        let mut bytes = format!("*2\r\n:1\r\n${}\r\n", text.len()).into_bytes();
        bytes.extend_from_slice(&text);
        bytes.extend_from_slice(b"\r\n:2\r\n");
        let values = read(&bytes, BUFFER_BYTES / 3).unwrap();
        let array = Value::Array(vec![Value::Int(1), Value::BulkString(text)]);
        assert_eq!(values, [array, Value::Int(2)]);
    }

    #[test]
    fn a_large_text_is_read_wherever_it_is_split_and_leaves_the_buffer_as_it_is() {
        for length in [LARGE_TEXT_BYTES - 1, LARGE_TEXT_BYTES, LARGE_TEXT_BYTES + 1] {
            let head = format!("${length}\r\n");
            let text = vec![b'x'; length];
            let bytes = [head.as_bytes(), &text, b"\r\n:2\r\n"].concat();
            let end = head.len() + length;
            for split in [
                1,
                head.len(),
                head.len() + 1,
                end - 1,
                end,
                end + 1,
                end + 2,
            ] {
                let mut reader = AnswerReader::new();
                let mut values = Vec::new();
                for mut rest in [&bytes[..split], &bytes[split..]] {
                    while !rest.is_empty() {
                        let space = reader.space();
                        let filled = rest.len().min(space.len());
                        space[..filled].copy_from_slice(&rest[..filled]);
                        reader.filled(filled);
                        rest = &rest[filled..];
                        while let Some(value) = reader.next_value().unwrap() {
                            values.push(value);
                        }
                    }
                }
                let expected = [Value::BulkString(text.clone()), Value::Int(2)];
                assert!(values == expected, "{length}, split at {split}");
                assert!(reader.buffer.len() <= 2 * BUFFER_BYTES);
            }
            let mut wrong = bytes;
            wrong[end] = b'x';
            assert_eq!(read(&wrong, BUFFER_BYTES / 3), Err(MalformedAnswer));
        }
    }

    #[test]
    fn values_of_every_kind_equal_those_of_redis_rs_wherever_the_bytes_are_split() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2_000 {
            let mut bytes = Vec::new();
            let mut expected = Vec::new();
            for _ in 0..random.usize(1..4) {
                let mut one = Vec::new();
                if random.u8(..) < 50 {
                    write_push(&mut random, &mut one);
                } else {
                    write_value(&mut random, 0, &mut one);
                }
                expected.push(without_attributes(redis::parse_redis_value(&one).unwrap()));
                bytes.append(&mut one);
            }
            let piece_length = random.usize(1..=bytes.len());
            let values = read(&bytes, piece_length);
            let text = String::from_utf8_lossy(&bytes);
            assert_eq!(values.as_ref(), Ok(&expected), "{text:?} by {piece_length}");
            // Bytes that were changed give other values or an error, and no panic.
            let changed = random.usize(..bytes.len());
            bytes[changed] = random.u8(..);
            let _ = read(&bytes, piece_length);
            bytes.truncate(changed);
            let _ = read(&bytes, piece_length);
        }
    }

    fn write_value(random: &mut fastrand::Rng, depth: usize, to: &mut Vec<u8>) {
        let kinds: &[u8] = if depth < 5 {
            b"$*:+-_#,(!=%~|"
        } else {
            b"$:+-_#,(!="
        };
        let kind = kinds[random.usize(..kinds.len())];
        let length = random.usize(..4);
        let text = "abcdefgh"[..random.usize(..9)].to_owned();
        let mut line = |line: &str| {
            to.push(kind);
            to.extend_from_slice(line.as_bytes());
            to.extend_from_slice(b"\r\n");
        };
        match kind {
            b'$' => line(&format!("{}\r\n{text}", text.len())),
            b'!' => line(&format!("{}\r\nE\r\n{text}", text.len() + 3)),
            b'=' => line(&format!("{}\r\ntxt:{text}", text.len() + 4)),
            b'*' | b'~' | b'%' | b'|' => {
                line(&length.to_string());
                let values = match kind {
                    b'*' | b'~' => length,
                    b'%' => 2 * length,
                    _ => 2 * length + 1,
                };
                for _ in 0..values {
                    write_value(random, depth + 1, to);
                }
            }
            b':' => line(&random.i64(..).to_string()),
            b'+' | b'-' => line(&format!("E{text}")),
            b'_' => line(""),
            b'#' => line(if random.bool() { "t" } else { "f" }),
            b',' => line(["1.5", "-2", "inf", "-inf", "1e9"][random.usize(..5)]),
            _ => line(&format!("-{}", random.u128(..))),
        }
    }

    fn write_push(random: &mut fastrand::Rng, to: &mut Vec<u8>) {
        let kind = ["invalidate", "other"][random.usize(..2)];
        to.extend_from_slice(format!(">2\r\n${}\r\n{kind}\r\n", kind.len()).as_bytes());
        write_value(random, 2, to);
    }

    fn without_attributes(value: Value) -> Value {
        let of_all = |values: Vec<Value>| values.into_iter().map(without_attributes).collect();
        match value {
            Value::Attribute { data, .. } => without_attributes(*data),
            Value::Array(values) => Value::Array(of_all(values)),
            Value::Set(values) => Value::Set(of_all(values)),
            Value::Map(pairs) => {
                let pairs = pairs.into_iter();
                let both = |(key, value)| (without_attributes(key), without_attributes(value));
                Value::Map(pairs.map(both).collect())
            }
            Value::Push { kind, data } => Value::Push {
                kind,
                data: of_all(data),
            },
            value => value,
        }
    }

    #[test]
    fn a_push_in_the_middle_of_an_answer_is_returned_by_itself() {
        let bytes = b"*2\r\n:1\r\n>2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\ns\r\n:2\r\n";
        let push = Value::Push {
            kind: PushKind::Invalidate,
            data: vec![Value::Array(vec![Value::BulkString(b"s".to_vec())])],
        };
        let answer = Value::Array(vec![Value::Int(1), Value::Int(2)]);
        for piece_length in 1..=bytes.len() {
            let values = read(bytes, piece_length).unwrap();
            assert_eq!(values, [push.clone(), answer.clone()]);
        }
    }

    #[test]
    fn a_double_may_be_no_number() {
        let values = read(b",nan\r\n", 1).unwrap();
        assert!(matches!(values[..], [Value::Double(number)] if number.is_nan()));
    }

    #[test]
    fn malformed_bytes_are_an_error() {
        let deep = b"*1\r\n".repeat(MAX_DEPTH + 1);
        let endless = [b"+", [b'x'; MAX_LINE_BYTES].as_slice()].concat();
        let cases: [&[u8]; 24] = [
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
            b"_x\r\n",
            b"#x\r\n",
            b",x\r\n",
            b"(\r\n",
            b"(1x\r\n",
            b"%-1\r\n",
            b"~-1\r\n",
            b"=-1\r\n",
            b"!3\r\nabcd\r\n",
            b"=4\r\ntext\r\n",
            b">0\r\n",
            b">1\r\n:1\r\n",
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
    fn a_value_that_only_claims_to_be_long_takes_no_memory() {
        for bytes in [
            &b"*999999999\r\n:1\r\n"[..],
            b"|999999999\r\n",
            b"$500000000\r\nab",
        ] {
            let mut reader = AnswerReader::new();
            reader.space()[..bytes.len()].copy_from_slice(bytes);
            reader.filled(bytes.len());
            assert_eq!(reader.next_value(), Ok(None));
            assert!(reader.buffer.len() <= 2 * BUFFER_BYTES);
            let text = reader.large_text.iter().map(|text| text.bytes.capacity());
            assert!(text.sum::<usize>() <= MAX_RESERVED_TEXT);
            let reserved = |open: &OpenAggregate| open.values.capacity();
            assert!(
                reader
                    .open
                    .iter()
                    .all(|open| reserved(open) <= MAX_RESERVED_VALUES)
            );
        }
    }
}
