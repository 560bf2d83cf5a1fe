//! Classifies JSON messages that cannot be decoded.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::DecodeError;

/// The message kinds of version 1, of both sides: a server that receives a `welcome` received a
/// malformed message, not one of a later version.
const KINDS: [&str; 11] = [
    "request",
    "cancel",
    "ping",
    "subscribe",
    "grant",
    "welcome",
    "reply",
    "pong",
    "push",
    "position",
    "backend",
];

/// Classifies the failure to decode a line: `Request` if the id of a request can still be read,
/// `UnknownKind` for a message of a later version, else `Malformed`.
pub(super) fn classify(line: &[u8], error: &serde_json::Error) -> DecodeError {
    match serde_json::from_slice(line) {
        Ok(Envelope::Request(id)) => DecodeError::Request {
            id,
            reason: error.to_string(),
        },
        Ok(Envelope::Other(kind)) if !KINDS.contains(&kind.as_str()) => {
            DecodeError::UnknownKind(kind)
        }
        _ => DecodeError::Malformed(error.to_string()),
    }
}

enum Envelope {
    Request(u64),
    Other(String),
}

#[derive(Deserialize)]
struct Request {
    id: u64,
}

impl<'de> Deserialize<'de> for Envelope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EnvelopeVisitor)
    }
}

struct EnvelopeVisitor;

impl<'de> Visitor<'de> for EnvelopeVisitor {
    type Value = Envelope;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with one key")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope, A::Error> {
        let kind: String = map.next_key()?.ok_or_else(|| A::Error::custom("no key"))?;
        let envelope = if kind == "request" || kind == "subscribe" {
            Envelope::Request(map.next_value::<Request>()?.id)
        } else {
            map.next_value::<IgnoredAny>()?;
            Envelope::Other(kind)
        };
        match map.next_key::<IgnoredAny>()? {
            None => Ok(envelope),
            Some(_) => Err(A::Error::custom("more than one key")),
        }
    }
}
