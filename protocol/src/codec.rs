//! The two encodings, and frames of several messages.
//!
//! A frame is any number of messages, one after the other. In the binary encoding each message is a
//! number and a record, whose length comes first. In JSON each message is a line. `codec/types.rs`
//! lists the types that travel.

mod binary;
#[cfg(feature = "json")]
mod json;
mod messages;
mod push;
mod reply_parts;
mod types;
mod values;
mod wire;

pub use binary::{Reader, write_message, write_record};
#[cfg(feature = "json")]
pub use json::JsonReader;
pub use messages::{DecodeError, Message, Messages};
pub use push::{EncodedItem, ItemRef};
pub use reply_parts::{EntriesSize, binary_entry_len};
pub use wire::{Choice, Decode, Encode, ListBound, ReadError};

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

    /// Appends a message to a frame.
    pub fn append<M: Encode>(self, frame: &mut Vec<u8>, message: &M) {
        match self {
            Self::Binary => message.write_binary(frame),
            #[cfg(feature = "json")]
            Self::Json => {
                if !frame.is_empty() {
                    frame.push(b'\n');
                }
                message.write_json(frame);
            }
        }
    }

    /// Appends the messages of a client that `write` appends in the binary encoding.
    pub fn append_binary(self, frame: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        match self {
            Self::Binary => write(frame),
            #[cfg(feature = "json")]
            Self::Json => {
                let mut messages = Vec::new();
                write(&mut messages);
                for message in Self::Binary.messages::<crate::ClientMessage<'_>>(&messages) {
                    debug_assert!(message.is_ok(), "the client wrote {message:?}");
                    if let Ok(message) = message {
                        self.append(frame, &message);
                    }
                }
            }
        }
    }

    /// Decodes the messages of a frame, in order. [`DecodeError::Malformed`] ends the iteration;
    /// after any other error the next message follows.
    pub fn messages<'a, M: Message<'a>>(self, frame: &'a [u8]) -> Messages<'a, M> {
        Messages::new(self, frame)
    }
}
