//! The test that every variant of a message has a golden vector.
//!
//! It is here and not beside the other tests of the vectors, because only this crate can match the
//! enums exhaustively.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::{Fault, Hello, Item, Outcome, Subscription, TailStart, Welcome};
use crate::codec::{Encoding, Message};
use crate::{ClientMessage, Operation, Reply, ServerMessage};

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Direction {
    Client,
    Server,
}

#[derive(Deserialize)]
struct Vector {
    direction: Direction,
    json: String,
}

fn vectors() -> Vec<Vector> {
    let files = [
        include_str!("../../vectors/client.json"),
        include_str!("../../vectors/server.json"),
    ];
    let parse = |file| serde_json::from_str::<Vec<Vector>>(file).unwrap();
    files.into_iter().flat_map(parse).collect()
}

fn decode<'a, M: Message<'a>>(json: &'a str) -> Vec<M> {
    let messages = Encoding::Json.messages(json.as_bytes());
    messages.map(Result::unwrap).collect()
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
    ClientMessage::Hello(Hello { token: None, .. }) => "hello",
    ClientMessage::Hello(Hello { token: Some(_), .. }) => "hello with a token",
    ClientMessage::Request { .. } => "request",
    ClientMessage::Cancel { .. } => "cancel",
    ClientMessage::Ping { .. } => "ping",
    ClientMessage::Pong { .. } => "pong",
    ClientMessage::Subscribe { .. } => "subscribe",
    ClientMessage::Grant { .. } => "grant",
    ClientMessage::Authenticate { .. } => "authenticate",
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
    Operation::IdempotentAdd { .. } => "idempotent_add",
    Operation::PendingSummary { .. } => "pending_summary",
    Operation::Pending { consumer: None, .. } => "pending",
    Operation::Pending { consumer: Some(_), .. } => "pending of one consumer",
    Operation::Claim { .. } => "claim",
    Operation::RemoveConsumer { .. } => "remove_consumer",
    Operation::Consumers { .. } => "consumers",
});

cases!(server_message: ServerMessage {
    ServerMessage::Welcome(Welcome { identity: None, .. }) => "welcome",
    ServerMessage::Welcome(Welcome { identity: Some(_), .. }) => "welcome of a subject",
    ServerMessage::Reply { .. } => "reply",
    ServerMessage::Ping { .. } => "ping",
    ServerMessage::Pong { .. } => "pong",
    ServerMessage::Push { .. } => "push",
    ServerMessage::Position { .. } => "position",
    ServerMessage::Backend { unavailable: None } => "backend",
    ServerMessage::Backend { unavailable: Some(_) } => "backend unavailable",
    ServerMessage::Auth { refused: None, .. } => "auth",
    ServerMessage::Auth { refused: Some(_), .. } => "auth refused",
});

cases!(outcome: Outcome {
    Outcome::Ok(_) => "ok",
    Outcome::Error(Fault { last_number: Some(_), .. }) => "error about the order of adds",
    Outcome::Error(Fault { entry: None, .. }) => "error",
    Outcome::Error(Fault { entry: Some(_), .. }) => "error about an entry",
});

cases!(reply: Reply {
    Reply::Added { .. } => "added",
    Reply::Entries { more: true, .. } => "entries with more",
    Reply::Entries { last_id: None, .. } => "entries",
    Reply::Entries { last_id: Some(_), .. } => "entries with last_id",
    Reply::Done {} => "done",
    Reply::Acknowledged { .. } => "acknowledged",
    Reply::Summary(_) => "summary",
    Reply::Pending { .. } => "pending entries",
    Reply::Claimed(_) => "claimed",
    Reply::Removed { .. } => "removed",
    Reply::Consumers { .. } => "consumers of a group",
});

cases!(subscription: Subscription<'_> {
    Subscription::Tail { from: TailStart::Beginning {}, .. } => "tail from the beginning",
    Subscription::Tail { from: TailStart::Now {}, .. } => "tail from now",
    Subscription::Tail { from: TailStart::After { .. }, .. } => "tail after an id",
    Subscription::Tail { from: TailStart::Last { .. }, .. } => "tail from the last",
    Subscription::Consume { position: Some(_), .. } => "consume that resumes at a position",
    Subscription::Consume { create_from: Some(_), .. } => "consume that creates its group",
    Subscription::Consume { claim_after_ms: None, .. } => "consume",
    Subscription::Consume { claim_after_ms: Some(_), dead_letter: None, .. } => "consume and claim",
    Subscription::Consume { dead_letter: Some(_), .. } => "consume with a dead-letter stream",
});

cases!(item: Item {
    Item::Entries { position: None, .. } => "pushed entries",
    Item::Entries { position: Some(_), .. } => "pushed entries with position",
    Item::Gap(_) => "gap",
    Item::Skipped(_) => "skipped",
});

#[test]
fn every_variant_has_a_golden_vector() {
    let mut seen = BTreeSet::new();
    for vector in vectors() {
        match vector.direction {
            Direction::Client => {
                for message in decode::<ClientMessage<'_>>(&vector.json) {
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
                for message in decode::<ServerMessage>(&vector.json) {
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
