//! Floods: sockets that send the same frame as fast as they can.

use std::time::Instant;

use futures_util::future::try_join_all;
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::message::{Credit, Subscription, TailStart};
use streamgate_protocol::{ClientMessage, ConsumeOptions, Operation};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::attack::Attack;
use crate::attacks::hoards::{read, subscribe};
use crate::raw_socket::{FIN, frame, hello, messages, opcode};
use crate::scene::Scene;

/// Sockets that flood at once.
const SOCKETS: usize = 8;

/// Messages of a frame.
pub(super) const MESSAGES: u64 = 1_000;

/// Writes of as many frames at once.
const FRAMES: usize = 8;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "flood-bad-operations",
        "operations that do not exist, as fast as 8 sockets can send them",
        |scene| Box::pin(flood(scene, Replies::Read, bad_operations)),
    ),
    Attack::new(
        "flood-empty-adds",
        "adds without fields, which are refused",
        |scene| Box::pin(flood(scene, Replies::Read, empty_adds)),
    )
    .on_both(),
    Attack::new("flood-pings", "pings of the protocol", |scene| {
        Box::pin(flood(scene, Replies::Read, pings))
    }),
    Attack::new(
        "flood-pings-unread",
        "pings of the protocol whose pongs nobody reads",
        |scene| Box::pin(flood(scene, Replies::Ignored, pings)),
    ),
    Attack::new(
        "flood-websocket-pings",
        "pings of the WebSocket with the largest payload",
        |scene| Box::pin(flood(scene, Replies::Read, websocket_pings)),
    ),
    Attack::new(
        "flood-websocket-pings-unread",
        "pings of the WebSocket whose pongs nobody reads",
        |scene| Box::pin(flood(scene, Replies::Ignored, websocket_pings)),
    ),
    Attack::new(
        "flood-empty-frames",
        "binary frames without a message",
        |scene| Box::pin(flood(scene, Replies::Read, empty_frames)),
    ),
    Attack::new("flood-newlines", "JSON frames of newlines", |scene| {
        Box::pin(flood(scene, Replies::Read, newlines))
    }),
    Attack::new(
        "flood-cancels",
        "cancels of requests that do not exist",
        |scene| Box::pin(flood(scene, Replies::Read, cancels)),
    ),
    Attack::new(
        "flood-grants",
        "credit for subscriptions that do not exist",
        |scene| Box::pin(flood(scene, Replies::Read, grants)),
    ),
    Attack::new("flood-hellos", "hello again and again", |scene| {
        Box::pin(flood(scene, Replies::Read, hellos))
    }),
    Attack::new(
        "flood-subscriptions",
        "subscriptions that are cancelled at once",
        |scene| Box::pin(flood(scene, Replies::Read, subscriptions)),
    )
    .on_both(),
    Attack::new(
        "flood-consumers",
        "consumers that are cancelled at once",
        |scene| Box::pin(flood(scene, Replies::Read, consumers)),
    )
    .on_both(),
    Attack::new("flood-waits", "waits that are cancelled at once", |scene| {
        Box::pin(flood(scene, Replies::Read, waits))
    })
    .on_both(),
    Attack::new(
        "flood-reads",
        "reads of a stream that does not exist",
        |scene| Box::pin(flood(scene, Replies::Read, reads)),
    )
    .on_both(),
    Attack::new(
        "flood-reads-unread",
        "small reads whose replies nobody reads",
        |scene| Box::pin(flood(scene, Replies::Ignored, reads)),
    ),
];

/// What a flooding socket does with replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replies {
    Read,
    Ignored,
}

/// A flood: its encoding and the frame that it sends.
pub(super) type Flood = fn() -> (Encoding, Vec<u8>);

async fn flood(scene: &Scene, replies: Replies, flood: Flood) -> anyhow::Result<()> {
    flood_from(scene, SOCKETS, replies, flood).await
}

/// Floods from this many sockets.
pub(super) async fn flood_from(
    scene: &Scene,
    sockets: usize,
    replies: Replies,
    flood: Flood,
) -> anyhow::Result<()> {
    let (encoding, frame) = flood();
    let bytes = frame.repeat(FRAMES);
    let end = Instant::now() + scene.length();
    let sockets = (0..sockets).map(async |_| {
        while Instant::now() < end {
            let (mut reader, mut writer) = scene.socket(encoding).await?.into_halves();
            let bytes = bytes.clone();
            let send = tokio::spawn(async move {
                // A server may close the socket of a peer that misbehaves.
                while writer.write_all(&bytes).await.is_ok() {}
            });
            let receive = tokio::spawn(async move {
                let mut buffer = vec![0; 64 * 1024];
                if replies == Replies::Ignored {
                    std::future::pending::<()>().await;
                }
                while matches!(reader.read(&mut buffer).await, Ok(1..)) {}
            });
            let (send_abort, receive_abort) = (send.abort_handle(), receive.abort_handle());
            // The first to end is the end of the socket; then the attacker comes again.
            tokio::select! {
                () = tokio::time::sleep_until(end.into()) => {}
                _ = send => {}
                _ = receive => {}
            }
            send_abort.abort();
            receive_abort.abort();
        }
        anyhow::Ok(())
    });
    try_join_all(sockets).await?;
    Ok(())
}

pub(super) fn requests(operation: fn() -> Operation<'static>) -> (Encoding, Vec<u8>) {
    let requests = (0..MESSAGES).map(|id| ClientMessage::Request {
        id,
        operation: operation(),
    });
    (Encoding::Binary, messages(Encoding::Binary, requests))
}

fn bad_operations() -> (Encoding, Vec<u8>) {
    /// A request (1) of five bytes: id 7, and operation 99 without fields.
    const BAD: [u8; 5] = [1, 3, 7, 99, 0];
    (
        Encoding::Binary,
        frame(FIN | opcode::BINARY, &BAD.repeat(MESSAGES as usize)),
    )
}

fn empty_adds() -> (Encoding, Vec<u8>) {
    requests(|| Operation::Add {
        stream: "s".into(),
        fields: Vec::new(),
        maxlen: None,
    })
}

pub(super) fn reads() -> (Encoding, Vec<u8>) {
    requests(|| Operation::ReadLatest {
        stream: "missing".into(),
        count: 10,
    })
}

fn pings() -> (Encoding, Vec<u8>) {
    let pings = (0..MESSAGES).map(|nonce| ClientMessage::Ping { nonce });
    (Encoding::Binary, messages(Encoding::Binary, pings))
}

fn websocket_pings() -> (Encoding, Vec<u8>) {
    (
        Encoding::Binary,
        frame(FIN | opcode::PING, &[b'p'; 125]).repeat(100),
    )
}

fn empty_frames() -> (Encoding, Vec<u8>) {
    (
        Encoding::Binary,
        frame(FIN | opcode::BINARY, &[]).repeat(1_000),
    )
}

fn newlines() -> (Encoding, Vec<u8>) {
    (
        Encoding::Json,
        frame(FIN | opcode::TEXT, &[b'\n'; 1_000_000]),
    )
}

fn cancels() -> (Encoding, Vec<u8>) {
    let cancels = (0..MESSAGES).map(|id| ClientMessage::Cancel { id });
    (Encoding::Binary, messages(Encoding::Binary, cancels))
}

fn grants() -> (Encoding, Vec<u8>) {
    let credit = Credit {
        entries: 1,
        bytes: 1,
    };
    let grants = (0..MESSAGES).map(|id| ClientMessage::Grant { id, credit });
    (Encoding::Binary, messages(Encoding::Binary, grants))
}

fn hellos() -> (Encoding, Vec<u8>) {
    (
        Encoding::Binary,
        messages(Encoding::Binary, (0..100).map(|_| hello())),
    )
}

fn subscriptions() -> (Encoding, Vec<u8>) {
    cancelled(|id| {
        let tail = Subscription::Tail {
            stream: "bystander".into(),
            from: TailStart::Now {},
        };
        subscribe(id, tail)
    })
}

fn consumers() -> (Encoding, Vec<u8>) {
    cancelled(|id| {
        // Half of them create the group, the others only read it.
        let options = match id % 2 {
            0 => ConsumeOptions::default().create_from("0"),
            _ => ConsumeOptions::default(),
        };
        subscribe(id, Subscription::consume("consumed", "g", "c", options))
    })
}

fn waits() -> (Encoding, Vec<u8>) {
    cancelled(|id| read(id, "bystander".to_owned(), "$"))
}

/// Requests of which each is cancelled at once.
fn cancelled(request: fn(u64) -> ClientMessage<'static>) -> (Encoding, Vec<u8>) {
    let pairs = (0..100).flat_map(|id| [request(id), ClientMessage::Cancel { id }]);
    (Encoding::Binary, messages(Encoding::Binary, pairs))
}
