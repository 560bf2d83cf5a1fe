//! Sockets that take as much as they can of what all clients share: waits and subscriptions.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::message::{Credit, Subscription, TailStart};
use streamgate_protocol::{ClientMessage, Operation};
use tokio::time::sleep;

use crate::attack::Attack;
use crate::raw_socket::messages;
use crate::scene::Scene;

/// What a server grants one socket by default.
const PER_SOCKET: u64 = 16_384;

/// Sockets that are enough to take all that a server has, if there are no shares: 131,072 waits.
const SOCKETS: usize = 13;

/// Messages of a frame.
const PER_FRAME: u64 = 1_024;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "hoard-waits",
        "13 sockets with 16,384 waits each on streams of their own",
        |scene| Box::pin(hoard(scene, wait)),
    )
    .on_both(),
    Attack::new(
        "hoard-waits-of-one-stream",
        "13 sockets with 16,384 waits each on one stream, for an id that never comes",
        |scene| Box::pin(hoard(scene, wait_far)),
    )
    .on_both(),
    Attack::new(
        "hoard-tails",
        "13 sockets with 16,384 tails each on streams of their own",
        |scene| Box::pin(hoard(scene, tail)),
    )
    .on_both(),
    Attack::new(
        "hoard-consumers",
        "13 sockets with 16,384 consumers each of one group",
        |scene| Box::pin(hoard(scene, consumer)),
    )
    .on_both(),
];

/// Makes a message from its id and the number of its socket.
type Make = fn(u64, usize) -> ClientMessage<'static>;

async fn hoard(scene: &Scene, make: Make) -> anyhow::Result<()> {
    let hoarders = (0..SOCKETS).map(async |number| {
        let mut socket = scene.socket(Encoding::Binary).await?;
        for start in (0..PER_SOCKET).step_by(PER_FRAME as usize) {
            let ids = start..start + PER_FRAME;
            let frame = messages(Encoding::Binary, ids.map(|id| make(id, number)));
            if socket.send(&frame).await.is_err() {
                // The server may close the socket of whoever holds most.
                break;
            }
        }
        anyhow::Ok(socket)
    });
    let mut sockets = try_join_all(hoarders).await?;
    sleep(scene.length()).await;
    let mut codes = BTreeMap::<_, usize>::new();
    for socket in &mut sockets {
        for code in socket.codes_so_far().await {
            *codes.entry(code).or_default() += 1;
        }
    }
    codes.remove("OVERLOADED");
    scene.check(codes.is_empty(), || {
        format!("hoarders were answered with {codes:?}")
    });
    Ok(())
}

fn wait(id: u64, socket: usize) -> ClientMessage<'static> {
    read(id, format!("hoard:{socket}:{id}"), "$")
}

fn wait_far(id: u64, _: usize) -> ClientMessage<'static> {
    read(id, "bystander".to_owned(), "9999999999999-0")
}

pub(super) fn read(id: u64, stream: String, last_id: &'static str) -> ClientMessage<'static> {
    let operation = Operation::Read {
        stream: stream.into(),
        last_id: last_id.into(),
        count: 1,
        block_ms: Some(0),
    };
    ClientMessage::Request { id, operation }
}

fn tail(id: u64, socket: usize) -> ClientMessage<'static> {
    let stream = format!("hoard:{socket}:{id}").into();
    subscribe(
        id,
        Subscription::Tail {
            stream,
            from: TailStart::Now {},
        },
    )
}

fn consumer(id: u64, socket: usize) -> ClientMessage<'static> {
    subscribe(
        id,
        Subscription::Consume {
            stream: "hoard".into(),
            group: "hoard".into(),
            consumer: format!("{socket}:{id}").into(),
            batch: 1,
            claim_after_ms: None,
            max_deliveries: None,
            dead_letter: None,
            resumed: None,
            create_from: Some("0".into()),
            position: None,
        },
    )
}

pub(super) fn subscribe(id: u64, subscription: Subscription<'static>) -> ClientMessage<'static> {
    let credit = Credit {
        entries: 100,
        bytes: 100_000,
    };
    ClientMessage::Subscribe {
        id,
        subscription,
        credit,
    }
}
