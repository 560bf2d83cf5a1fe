//! Every golden vector decodes to the same messages in both encodings and encodes to the same
//! bytes; every variant has one. A mismatch prints what the vector should say.

use std::collections::BTreeSet;
use std::fmt::Debug;

use serde::{Deserialize, Serialize};
use streamgate_protocol::codec::{DecodeError, Encoding};
use streamgate_protocol::message::{Item, Outcome, Subscription, TailStart};
use streamgate_protocol::{ClientMessage, Operation, Reply, ServerMessage};

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
            Some(DecodeError::Request { id: 5, .. }) => "reply ERR",
            Some(DecodeError::Request { .. }) => "reply to another",
            // Only a client passes over what it does not know.
            Some(DecodeError::UnknownKind(_)) => match vector.direction {
                Direction::Client => "close 4400",
                Direction::Server => "ignore",
            },
        };
        assert_eq!(then, vector.then, "{}: {:?}", vector.encoding, vector.name);
    }
}

#[test]
fn what_must_be_tolerated_is() {
    for vector in vectors::tolerated() {
        match vector.direction {
            Direction::Client => {
                let got = vectors::client(&vector.frame);
                assert_eq!(got, vectors::client(&vector.json), "{}", vector.name);
                assert!(got.is_ok(), "{}", vector.name);
            }
            Direction::Server => {
                let got: Result<Vec<ServerMessage>, _> = Encoding::Json
                    .messages(vector.frame.as_bytes())
                    .filter(|message| !matches!(message, Err(DecodeError::UnknownKind(_))))
                    .collect();
                assert_eq!(got, vectors::server(&vector.json), "{}", vector.name);
                assert!(got.is_ok(), "{}", vector.name);
            }
        }
    }
}

/// The names of a type's cases and the case of a value, from one list, so that a new variant does
/// not compile until it is listed and then fails until it has a vector.
macro_rules! cases {
    ($module:ident: $type:ty { $($pattern:pat => $name:literal,)* }) => {
        mod $module {
            use super::*;
            pub(super) const ALL: &[&str] = &[$($name),*];
            pub(super) fn of(value: &$type) -> &'static str {
                match value { $($pattern => $name,)* }
            }
        }
    };
}

cases!(client_message: ClientMessage<'_> {
    ClientMessage::Request { .. } => "request",
    ClientMessage::Cancel { .. } => "cancel",
    ClientMessage::Ping { .. } => "ping",
    ClientMessage::Subscribe { .. } => "subscribe",
    ClientMessage::Grant { .. } => "grant",
});

cases!(operation: Operation<'_> {
    Operation::Add { maxlen: None, .. } => "add",
    Operation::Add { maxlen: Some(_), .. } => "add with maxlen",
    Operation::ReadLatest { .. } => "read_latest",
    Operation::Read { block_ms: None, .. } => "read",
    Operation::Read { block_ms: Some(_), .. } => "read with block_ms",
    Operation::CreateGroup { .. } => "create_group",
    Operation::ReadGroup { block_ms: None, .. } => "read_group",
    Operation::ReadGroup { block_ms: Some(_), .. } => "read_group with block_ms",
    Operation::Ack { .. } => "ack",
    Operation::ReadPending { .. } => "read_pending",
    Operation::AddOnce { .. } => "add_once",
    Operation::PendingSummary { .. } => "pending_summary",
    Operation::Pending { consumer: None, .. } => "pending",
    Operation::Pending { consumer: Some(_), .. } => "pending of one consumer",
    Operation::Claim { .. } => "claim",
    Operation::RemoveConsumer { .. } => "remove_consumer",
});

cases!(server_message: ServerMessage {
    ServerMessage::Welcome(_) => "welcome",
    ServerMessage::Reply { .. } => "reply",
    ServerMessage::Pong { .. } => "pong",
    ServerMessage::Push { .. } => "push",
    ServerMessage::Position { .. } => "position",
    ServerMessage::Backend { away: None } => "backend",
    ServerMessage::Backend { away: Some(_) } => "backend away",
});

cases!(outcome: Outcome {
    Outcome::Ok(_) => "ok",
    Outcome::Error(_) => "error",
});

cases!(reply: Reply {
    Reply::Added { .. } => "added",
    Reply::Entries { last_id: None, .. } => "entries",
    Reply::Entries { last_id: Some(_), .. } => "entries with last_id",
    Reply::Done {} => "done",
    Reply::Summary(_) => "summary",
    Reply::Pending { .. } => "pending entries",
    Reply::Claimed(_) => "claimed",
    Reply::Removed { .. } => "removed",
});

cases!(subscription: Subscription<'_> {
    Subscription::Tail { from: TailStart::Beginning {}, .. } => "tail from the beginning",
    Subscription::Tail { from: TailStart::Now {}, .. } => "tail from now",
    Subscription::Tail { from: TailStart::After { .. }, .. } => "tail after an id",
    Subscription::Tail { from: TailStart::Last { .. }, .. } => "tail from the last",
    Subscription::Consume { claim_after_ms: None, .. } => "consume",
    Subscription::Consume { claim_after_ms: Some(_), dead_letter: None, .. } => "consume and claim",
    Subscription::Consume { claim_after_ms: Some(_), dead_letter: Some(_), .. } => "consume with a dead-letter stream",
});

cases!(item: Item {
    Item::Entries { position: None, .. } => "pushed entries",
    Item::Entries { position: Some(_), .. } => "pushed entries with position",
    Item::Gap(_) => "gap",
});

#[test]
fn every_variant_has_a_golden_vector() {
    let mut seen = BTreeSet::new();
    for vector in vectors::messages() {
        match vector.direction {
            Direction::Client => {
                for message in vectors::client(&vector.json).unwrap() {
                    seen.insert(client_message::of(&message));
                    match message {
                        ClientMessage::Request { operation, .. } => {
                            seen.insert(operation::of(&operation));
                        }
                        ClientMessage::Subscribe { subscription, .. } => {
                            seen.insert(subscription::of(&subscription));
                        }
                        _ => {}
                    }
                }
            }
            Direction::Server => {
                for message in vectors::server(&vector.json).unwrap() {
                    seen.insert(server_message::of(&message));
                    match message {
                        ServerMessage::Reply { outcome, .. } => {
                            seen.insert(outcome::of(&outcome));
                            if let Outcome::Ok(reply) = outcome {
                                seen.insert(reply::of(&reply));
                            }
                        }
                        ServerMessage::Push { item, .. } => {
                            seen.insert(item::of(&item));
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    let lists = [
        client_message::ALL,
        operation::ALL,
        server_message::ALL,
        outcome::ALL,
        reply::ALL,
        subscription::ALL,
        item::ALL,
    ];
    for case in lists.concat() {
        assert!(seen.contains(case), "no golden vector for {case}");
    }
}

fn same_both_ways<'a, M>(vector: &'a Golden, binary: &'a [u8])
where
    M: Deserialize<'a> + Serialize + PartialEq + Debug,
{
    let Golden { name, json, .. } = vector;
    let from_json: Vec<M> = vectors::decode(Encoding::Json, json.as_bytes())
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let (mut text, mut bytes) = (Vec::new(), Vec::new());
    for message in &from_json {
        Encoding::Json.append(&mut text, message).unwrap();
        Encoding::Binary.append(&mut bytes, message).unwrap();
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
