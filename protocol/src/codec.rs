//! The two encodings, and frames of several messages.
//!
//! A frame is any number of messages, one after the other. In the binary encoding each message is a
//! [postcard](https://postcard.jamesmunns.com/wire-format) value, which delimits itself. In JSON
//! each message is a line.

use serde::{Deserialize, Serialize};

use crate::error::{CacheError, CacheResult};

mod append;
#[cfg(feature = "json")]
mod json_error;
mod push;

pub use push::{EncodedItem, ItemRef};

/// An encoding of messages. Each is a WebSocket subprotocol, by which both sides agree on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// Compact, in binary frames: the encoding of streamgate's own clients.
    Binary,
    /// In text frames: for other languages and for debugging.
    #[cfg(feature = "json")]
    Json,
}

/// Why a message could not be decoded. The variant decides what the receiver does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Not a message. The receiver closes the socket with [`MALFORMED`](crate::close::MALFORMED).
    #[error("{0}")]
    Malformed(String),
    /// A request or subscription of which only the id can be decoded: an operation of a later
    /// version, or a field of the wrong type. The server answers it with `ERR`. In JSON only.
    #[error("{reason}")]
    Request {
        /// The request's id.
        id: u64,
        /// The decoder's message.
        reason: String,
    },
    /// A message of a kind that version 1 does not have, by its name. A client skips it. In JSON
    /// only.
    #[error("unknown message {0:?}")]
    UnknownKind(String),
}

impl Encoding {
    /// All encodings, in order of preference.
    pub const ALL: &'static [Self] = &[
        Self::Binary,
        #[cfg(feature = "json")]
        Self::Json,
    ];

    /// Returns the WebSocket subprotocol of version 1 in this encoding.
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::Binary => "streamgate.v1.bin",
            #[cfg(feature = "json")]
            Self::Json => "streamgate.v1.json",
        }
    }

    /// Returns the encoding of a subprotocol.
    pub fn from_subprotocol(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|encoding| encoding.subprotocol() == name)
    }

    /// Returns whether messages travel in text frames.
    pub const fn is_text(self) -> bool {
        match self {
            Self::Binary => false,
            #[cfg(feature = "json")]
            Self::Json => true,
        }
    }

    /// Appends a message to a frame. After a failure the frame is unchanged.
    ///
    /// # Errors
    ///
    /// `SERIALIZATION`. Messages of this protocol always encode.
    pub fn append<M: Serialize>(self, frame: &mut Vec<u8>, message: &M) -> CacheResult<()> {
        let start = frame.len();
        let result = self.write(frame, message);
        if result.is_err() {
            frame.truncate(start);
        }
        result
    }

    /// Decodes the messages of a frame, in order. [`DecodeError::Malformed`] ends the iteration;
    /// after any other error the next message follows.
    pub fn messages<'a, M: Deserialize<'a>>(self, frame: &'a [u8]) -> Messages<'a, M> {
        Messages {
            encoding: self,
            rest: frame,
            message: std::marker::PhantomData,
        }
    }

    fn write<M: Serialize>(self, frame: &mut Vec<u8>, message: &M) -> CacheResult<()> {
        match self {
            Self::Binary => postcard::serialize_with_flavor(message, append::Append(frame))
                // Without postcard's message, which a browser would have to download.
                .map_err(|_| CacheError::SerializationError("not a message".to_owned())),
            #[cfg(feature = "json")]
            Self::Json => {
                if !frame.is_empty() {
                    frame.push(b'\n');
                }
                serde_json::to_writer(frame, message)
                    .map_err(|error| CacheError::SerializationError(error.to_string()))
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
    /// Returns the part of the frame after the messages decoded so far. It is empty after
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
                return Some(decoded.map_err(|error| json_error::classify(line, &error)));
            }
        }
    }
}
