//! The messages of a frame, and what a receiver can still do with one that it cannot decode.

use std::marker::PhantomData;

use super::Encoding;
use super::binary::Reader;
#[cfg(feature = "json")]
use super::json::{self, JsonReader};
use super::wire::{Choice, Encode, ReadError, ReadErrorKind};
use crate::limits::MAX_MESSAGE_ID;
use crate::text::push_number;
use crate::{ClientMessage, ServerMessage};

/// A message of one side.
pub trait Message<'a>: Choice<'a> + Encode {
    /// Returns whether the message of this number can be answered, or given up, by its id alone,
    /// which is its first field.
    fn begins_with_id(number: u64) -> bool;

    /// The names in JSON of these messages.
    #[cfg(feature = "json")]
    const WITH_ID: &'static [&'static str];

    /// The names in JSON of messages that only the other side sends. Receiving one is a violation,
    /// not a message of a later version.
    #[cfg(feature = "json")]
    const FOREIGN: &'static [&'static str];

    /// Returns whether numbers that the receiver sends back are within their bounds.
    fn has_valid_numbers(&self) -> bool;
}

/// Why a message could not be decoded. The variant decides what the receiver does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Not a message. The receiver closes the socket with [`MALFORMED`](crate::close::MALFORMED).
    #[error("{0}")]
    Malformed(String),
    /// A message of which only the id can be decoded: something of a later version, or malformed. A
    /// server answers a request or a subscription with `ERR`; a client fails the request with
    /// `PROTOCOL`. Both go on.
    #[error("{reason}")]
    Content {
        /// The message's id.
        id: u64,
        /// The decoder's message.
        reason: String,
    },
    /// A request with a list beyond its bound, [`MAX_FIELDS`](crate::limits::MAX_FIELDS) or
    /// [`MAX_IDS`](crate::limits::MAX_IDS). A server answers it with `LIMIT`, and goes on.
    #[error("{reason}")]
    Limit {
        /// The message's id.
        id: u64,
        /// Which bound it is.
        reason: String,
    },
    /// A message, or a pushed item, that version 1 does not have. A client skips it, and a server
    /// closes the socket.
    #[error("unknown message {0}")]
    UnknownKind(String),
}

/// The messages of a frame. See [`Encoding::messages`].
#[derive(Debug)]
pub struct Messages<'a, M> {
    encoding: Encoding,
    rest: &'a [u8],
    message: PhantomData<fn() -> M>,
}

impl<'a> Message<'a> for ClientMessage<'a> {
    fn begins_with_id(number: u64) -> bool {
        matches!(number, 1 | 3)
    }

    #[cfg(feature = "json")]
    const WITH_ID: &'static [&'static str] = &["request", "subscribe"];
    #[cfg(feature = "json")]
    const FOREIGN: &'static [&'static str] =
        &["welcome", "reply", "push", "position", "backend", "auth"];

    fn has_valid_numbers(&self) -> bool {
        match self {
            Self::Request { id: number, .. }
            | Self::Cancel { id: number }
            | Self::Subscribe { id: number, .. }
            | Self::Grant { id: number, .. }
            | Self::Ping { nonce: number }
            | Self::Pong { nonce: number } => *number <= MAX_MESSAGE_ID,
            Self::Hello(_) | Self::Authenticate { .. } => true,
        }
    }
}

impl<'a> Message<'a> for ServerMessage {
    fn begins_with_id(number: u64) -> bool {
        number == 1
    }

    #[cfg(feature = "json")]
    const WITH_ID: &'static [&'static str] = &["reply"];
    #[cfg(feature = "json")]
    const FOREIGN: &'static [&'static str] = &[
        "hello",
        "request",
        "cancel",
        "subscribe",
        "grant",
        "authenticate",
    ];

    fn has_valid_numbers(&self) -> bool {
        match self {
            Self::Ping { nonce } => *nonce <= MAX_MESSAGE_ID,
            _ => true,
        }
    }
}

impl<'a, M> Messages<'a, M> {
    pub(super) fn new(encoding: Encoding, frame: &'a [u8]) -> Self {
        Self {
            encoding,
            rest: frame,
            message: PhantomData,
        }
    }

    /// Returns the part of the frame after the messages decoded so far. It is empty after
    /// [`DecodeError::Malformed`].
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a, M: Message<'a>> Iterator for Messages<'a, M> {
    type Item = Result<M, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let decoded = match self.encoding {
            Encoding::Binary => self.next_binary(),
            #[cfg(feature = "json")]
            Encoding::Json => self.next_line(),
        };
        if let Some(Err(DecodeError::Malformed(_))) = decoded {
            self.rest = &[];
        }
        decoded
    }
}

impl<'a, M: Message<'a>> Messages<'a, M> {
    fn next_binary(&mut self) -> Option<Result<M, DecodeError>> {
        if self.rest.is_empty() {
            return None;
        }
        let mut frame = Reader::new(self.rest);
        let (number, record) = (frame.uint(), frame.bytes());
        self.rest = frame.rest();
        if let Some(failure) = frame.failure() {
            return Some(Err(DecodeError::Malformed(failure.reason.to_owned())));
        }
        let mut reader = Reader::new(record);
        let message = M::read_alternative(number, &mut reader);
        Some(
            match reader.failure().or_else(|| invalid_number(&message)) {
                None => Ok(message),
                Some(error) => Err(binary_error::<M>(number, record, error)),
            },
        )
    }

    #[cfg(feature = "json")]
    fn next_line(&mut self) -> Option<Result<M, DecodeError>> {
        loop {
            self.rest = skip_blank(self.rest);
            if self.rest.is_empty() {
                return None;
            }
            let (line, rest) = match self.rest.iter().position(|byte| *byte == b'\n') {
                Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
                None => (self.rest, &[][..]),
            };
            self.rest = rest;
            if !line.trim_ascii().is_empty() {
                return Some(line_message(line));
            }
        }
    }
}

/// Skips empty lines. By the chunk, because a frame may hold nothing else.
#[cfg(feature = "json")]
fn skip_blank(text: &[u8]) -> &[u8] {
    let is_blank = |chunk: &&[u8]| {
        let and_blank = |all: bool, byte: &u8| all & byte.is_ascii_whitespace();
        chunk.iter().fold(true, and_blank)
    };
    let blank: usize = text.chunks(64).take_while(is_blank).map(<[u8]>::len).sum();
    text[blank..].trim_ascii_start()
}

#[cfg(feature = "json")]
fn line_message<'a, M: Message<'a>>(line: &'a [u8]) -> Result<M, DecodeError> {
    let mut reader = JsonReader::new(line);
    let message = M::read_json(&mut reader).and_then(|message| {
        reader.end()?;
        invalid_number(&message).map_or(Ok(message), Err)
    });
    message.map_err(|error| json_error::<M>(line, reader.position(), error))
}

/// Borrows the message: it is large, and moving it costs as much as reading it.
fn invalid_number<'a, M: Message<'a>>(message: &M) -> Option<ReadError> {
    const INVALID: ReadError = ReadError::malformed("an id or a nonce above 2^53 - 1");
    (!message.has_valid_numbers()).then_some(INVALID)
}

fn binary_error<'a, M: Message<'a>>(
    number: u64,
    record: &'a [u8],
    error: ReadError,
) -> DecodeError {
    if M::begins_with_id(number) {
        let mut reader = Reader::new(record);
        let id = reader.uint();
        let id = reader.failure().is_none().then_some(id);
        return content(id, error.kind, error.reason.to_owned());
    }
    if error.kind == ReadErrorKind::Unknown {
        let mut text = String::new();
        push_number(&mut text, number);
        return DecodeError::UnknownKind(text);
    }
    DecodeError::Malformed(error.reason.to_owned())
}

#[cfg(feature = "json")]
fn json_error<'a, M: Message<'a>>(line: &'a [u8], at: usize, error: ReadError) -> DecodeError {
    let reason = format!("{} at byte {at}", error.reason);
    match json::envelope(line) {
        Ok((name, id)) if M::WITH_ID.contains(&&*name) => content(id, error.kind, reason),
        Ok((name, _)) if error.kind == ReadErrorKind::Unknown && !M::FOREIGN.contains(&&*name) => {
            DecodeError::UnknownKind(name.into_owned())
        }
        _ => DecodeError::Malformed(reason),
    }
}

/// A message with an id, which is malformed without a valid one.
fn content(id: Option<u64>, kind: ReadErrorKind, reason: String) -> DecodeError {
    match id {
        Some(id) if id <= MAX_MESSAGE_ID && kind == ReadErrorKind::Limit => {
            DecodeError::Limit { id, reason }
        }
        Some(id) if id <= MAX_MESSAGE_ID => DecodeError::Content { id, reason },
        _ => DecodeError::Malformed(reason),
    }
}
