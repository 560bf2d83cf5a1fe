//! Every golden vector decodes to the same messages in both encodings and encodes to the same
//! bytes. A mismatch prints what the vector should say.

use std::collections::BTreeSet;
use std::fmt::Debug;

use streamgate_protocol::codec::{DecodeError, Encoding, Message};
use streamgate_protocol::{ClientMessage, ServerMessage};

use crate::vectors::{self, Direction, Golden};

#[test]
fn golden_vectors_are_what_we_read_and_write() {
    for vector in vectors::messages().iter().chain(&vectors::frames()) {
        let binary = vectors::from_hex(&vector.binary);
        match vector.direction {
            Direction::Client => same_both_ways::<ClientMessage<'_>>(vector, &binary),
            Direction::Server => same_both_ways::<ServerMessage>(vector, &binary),
        }
    }
}

#[test]
fn frames_hold_several_messages() {
    for vector in vectors::frames() {
        let count = match vector.direction {
            Direction::Client => vectors::client(&vector.json).unwrap().len(),
            Direction::Server => vectors::server(&vector.json).unwrap().len(),
        };
        assert!(count > 1, "{}: {count}", vector.name);
    }
}

#[test]
fn no_two_vectors_share_a_name_or_a_content() {
    let all = vectors::messages();
    let names: BTreeSet<_> = all.iter().map(|vector| &vector.name).collect();
    let contents: BTreeSet<_> = all.iter().map(|vector| &vector.json).collect();
    assert_eq!(names.len(), all.len());
    assert_eq!(contents.len(), all.len());
}

#[test]
fn what_must_be_refused_is_refused_in_the_way_the_specification_says() {
    for vector in vectors::refused() {
        let (encoding, frame) = vector.decoded();
        let error = match vector.direction {
            Direction::Client => vectors::decode::<ClientMessage<'_>>(encoding, &frame).err(),
            Direction::Server => vectors::decode::<ServerMessage>(encoding, &frame).err(),
        };
        let then = match error {
            None => "nothing",
            Some(DecodeError::Malformed(_)) => "close 4400",
            Some(DecodeError::Content { id: 5, .. }) => match vector.direction {
                Direction::Client => "reply ERR",
                Direction::Server => "fail PROTOCOL",
            },
            Some(DecodeError::Limit { id: 5, .. }) => "reply LIMIT",
            Some(DecodeError::Content { .. } | DecodeError::Limit { .. }) => "another id",
            // Only a client passes over what it does not know.
            Some(DecodeError::UnknownKind(_)) => match vector.direction {
                Direction::Client => "close 4400",
                Direction::Server => "ignore",
            },
            Some(_) => "unknown",
        };
        assert_eq!(then, vector.then, "{}: {:?}", vector.encoding, vector.name);
    }
}

#[test]
fn what_must_be_tolerated_is() {
    for vector in vectors::tolerated() {
        let (encoding, frame) = vector.decoded();
        let name = format!("{}: {}", vector.encoding, vector.name);
        match vector.direction {
            Direction::Client => {
                let got = vectors::decode::<ClientMessage<'_>>(encoding, &frame);
                assert_eq!(got, vectors::client(&vector.json), "{name}");
                assert!(got.is_ok(), "{name}");
            }
            Direction::Server => {
                let got: Result<Vec<ServerMessage>, _> = encoding
                    .messages(&frame)
                    .filter(|message| !matches!(message, Err(DecodeError::UnknownKind(_))))
                    .collect();
                assert_eq!(got, vectors::server(&vector.json), "{name}");
                assert!(got.is_ok(), "{name}");
            }
        }
    }
}

fn same_both_ways<'a, M>(vector: &'a Golden, binary: &'a [u8])
where
    M: Message<'a> + PartialEq + Debug,
{
    let Golden { name, json, .. } = vector;
    let from_json: Vec<M> = vectors::decode(Encoding::Json, json.as_bytes())
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let (mut text, mut bytes) = (Vec::new(), Vec::new());
    for message in &from_json {
        Encoding::Json.append(&mut text, message);
        Encoding::Binary.append(&mut bytes, message);
    }
    assert_eq!(
        String::from_utf8(text).unwrap(),
        *json,
        "{name}: the JSON we write"
    );
    assert_eq!(
        vectors::to_hex(&bytes),
        vector.binary,
        "{name}: the binary we write"
    );
    let from_binary: Vec<M> =
        vectors::decode(Encoding::Binary, binary).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(from_binary, from_json, "{name}: the two encodings");
}
