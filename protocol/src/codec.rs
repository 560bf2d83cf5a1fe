//! Two encodings of the same messages, and frames of several messages.
//!
//! A frame is any number of messages, one right after the other. In the binary encoding each
//! message is a [postcard](https://postcard.jamesmunns.com/wire-format) value, which says by
//! itself where it ends; in JSON each is a line.

use serde::{Deserialize, Serialize};

use crate::error::{CacheError, CacheResult};

#[cfg(feature = "json")]
mod envelope;
mod push;
mod tail;

pub use push::{EncodedItem, ItemRef};

/// How messages are written, which is also what the two sides agree on as the WebSocket
/// subprotocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Compact, in binary frames: for our own clients.
    Binary,
    /// In text frames: for other languages and for debugging.
    #[cfg(feature = "json")]
    Json,
}

/// Why a message could not be decoded, as far as it decides what follows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not a message. The socket is closed with [`MALFORMED`](crate::close::MALFORMED).
    #[error("{0}")]
    Malformed(String),
    /// A request or a subscription whose id can be read and the rest cannot: an operation of a later
    /// version, a field of the wrong type. The server answers it with `ERR`. In JSON only.
    #[error("{reason}")]
    Request {
        /// The request's id.
        id: u64,
        /// For people.
        reason: String,
    },
    /// A message of a kind that version 1 does not have, by its name. A client passes over it. In
    /// JSON only.
    #[error("unknown message {0:?}")]
    UnknownKind(String),
}

impl Encoding {
    /// Every encoding, the preferred one first.
    pub const ALL: &'static [Self] = &[
        Self::Binary,
        #[cfg(feature = "json")]
        Self::Json,
    ];

    /// The WebSocket subprotocol that stands for version 1 in this encoding.
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::Binary => "streamgate.v1.bin",
            #[cfg(feature = "json")]
            Self::Json => "streamgate.v1.json",
        }
    }

    /// The encoding a subprotocol stands for.
    pub fn from_subprotocol(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|encoding| encoding.subprotocol() == name)
    }

    /// Whether frames are text frames.
    pub const fn is_text(self) -> bool {
        match self {
            Self::Binary => false,
            #[cfg(feature = "json")]
            Self::Json => true,
        }
    }

    /// Appends a message to a frame. On failure the frame is left as it was.
    ///
    /// # Errors
    ///
    /// `SERIALIZATION`, which a message of this protocol never is.
    pub fn append<M: Serialize>(self, frame: &mut Vec<u8>, message: &M) -> CacheResult<()> {
        let start = frame.len();
        let result = self.write(frame, message);
        if result.is_err() {
            frame.truncate(start);
        }
        result
    }

    /// The messages of a frame, in order. Nothing follows a [`DecodeError::Malformed`]; the other
    /// failures are of one message, and those behind it follow.
    pub fn messages<'a, M: Deserialize<'a>>(self, frame: &'a [u8]) -> Messages<'a, M> {
        Messages {
            encoding: self,
            rest: frame,
            message: std::marker::PhantomData,
        }
    }

    fn write<M: Serialize>(self, frame: &mut Vec<u8>, message: &M) -> CacheResult<()> {
        match self {
            Self::Binary => postcard::serialize_with_flavor(message, tail::Tail(frame))
                // Not postcard's words, which a browser need not download.
                .map_err(|_| CacheError::SerializationError("not a message".to_owned())),
            #[cfg(feature = "json")]
            Self::Json => {
                if !frame.is_empty() {
                    frame.push(b'\n');
                }
                Ok(serde_json::to_writer(frame, message)?)
            }
        }
    }
}

/// The messages of a frame. See [`Encoding::messages`].
#[derive(Debug)]
pub struct Messages<'a, M> {
    encoding: Encoding,
    rest: &'a [u8],
    message: std::marker::PhantomData<fn() -> M>,
}

impl<'a, M: Deserialize<'a>> Iterator for Messages<'a, M> {
    type Item = Result<M, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let decoded = match self.encoding {
            Encoding::Binary => self.next_binary(),
            #[cfg(feature = "json")]
            Encoding::Json => self.next_line(),
        }?;
        if let Err(DecodeError::Malformed(_)) = decoded {
            self.rest = &[];
        }
        Some(decoded)
    }
}

impl<'a, M> Messages<'a, M> {
    /// What of the frame is behind the messages taken so far; nothing behind a
    /// [`DecodeError::Malformed`].
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a, M: Deserialize<'a>> Messages<'a, M> {
    fn next_binary(&mut self) -> Option<Result<M, DecodeError>> {
        if self.rest.is_empty() {
            return None;
        }
        Some(match postcard::take_from_bytes(self.rest) {
            Ok((message, rest)) => {
                self.rest = rest;
                Ok(message)
            }
            Err(_) => Err(DecodeError::Malformed(
                "not a message of streamgate.v1.bin".to_owned(),
            )),
        })
    }

    #[cfg(feature = "json")]
    fn next_line(&mut self) -> Option<Result<M, DecodeError>> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let (line, rest) = match self.rest.iter().position(|byte| *byte == b'\n') {
                Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
                None => (self.rest, &[][..]),
            };
            self.rest = rest;
            if !line.trim_ascii().is_empty() {
                let decoded = serde_json::from_slice(line);
                return Some(decoded.map_err(|error| envelope::failure(line, &error)));
            }
        }
    }
}
