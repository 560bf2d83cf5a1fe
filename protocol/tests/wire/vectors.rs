//! The files in `protocol/vectors`, which JavaScript reads too.

use serde::Deserialize;
use streamgate_protocol::codec::{DecodeError, Encoding, Message};
use streamgate_protocol::{ClientMessage, ServerMessage};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    Client,
    Server,
}

/// A frame in both encodings.
#[derive(Debug, Deserialize)]
pub(crate) struct Golden {
    pub(crate) name: String,
    pub(crate) direction: Direction,
    pub(crate) json: String,
    pub(crate) binary: String,
}

/// A frame that must be refused.
#[derive(Debug, Deserialize)]
pub(crate) struct Refused {
    pub(crate) name: String,
    pub(crate) direction: Direction,
    pub(crate) encoding: String,
    /// Text, or hexadecimal digits in the binary encoding.
    pub(crate) frame: String,
    pub(crate) then: String,
}

/// A frame that no sender of ours would write, and what it means.
#[derive(Debug, Deserialize)]
pub(crate) struct Tolerated {
    pub(crate) name: String,
    pub(crate) direction: Direction,
    pub(crate) encoding: String,
    /// Text, or hexadecimal digits in the binary encoding.
    pub(crate) frame: String,
    pub(crate) json: String,
}

/// One message per frame.
pub(crate) fn messages() -> Vec<Golden> {
    let mut all: Vec<Golden> = parse(include_str!("../../vectors/client.json"));
    all.extend(parse::<Golden>(include_str!("../../vectors/server.json")));
    all
}

/// Several messages per frame.
pub(crate) fn frames() -> Vec<Golden> {
    parse(include_str!("../../vectors/frames.json"))
}

pub(crate) fn refused() -> Vec<Refused> {
    parse(include_str!("../../vectors/refused.json"))
}

pub(crate) fn tolerated() -> Vec<Tolerated> {
    parse(include_str!("../../vectors/tolerated.json"))
}

impl Refused {
    pub(crate) fn decoded(&self) -> (Encoding, Vec<u8>) {
        decoded(&self.name, &self.encoding, &self.frame)
    }
}

impl Tolerated {
    pub(crate) fn decoded(&self) -> (Encoding, Vec<u8>) {
        decoded(&self.name, &self.encoding, &self.frame)
    }
}

fn decoded(name: &str, encoding: &str, frame: &str) -> (Encoding, Vec<u8>) {
    match encoding {
        "json" => (Encoding::Json, frame.as_bytes().to_vec()),
        "binary" => (Encoding::Binary, from_hex(frame)),
        other => panic!("{name}: no encoding {other}"),
    }
}

/// Decodes a whole frame, up to the first failure.
pub(crate) fn decode<'a, M: Message<'a>>(
    encoding: Encoding,
    frame: &'a [u8],
) -> Result<Vec<M>, DecodeError> {
    encoding.messages(frame).collect()
}

pub(crate) fn client(json: &str) -> Result<Vec<ClientMessage<'_>>, DecodeError> {
    decode(Encoding::Json, json.as_bytes())
}

pub(crate) fn server(json: &str) -> Result<Vec<ServerMessage>, DecodeError> {
    decode(Encoding::Json, json.as_bytes())
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn from_hex(digits: &str) -> Vec<u8> {
    assert!(digits.len().is_multiple_of(2), "half a byte in {digits}");
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits");
    (0..digits.len()).step_by(2).map(byte).collect()
}

fn parse<T: for<'a> Deserialize<'a>>(file: &str) -> Vec<T> {
    let all: Vec<T> = serde_json::from_str(file).expect("a file of vectors");
    assert!(!all.is_empty(), "a file without vectors");
    all
}
