//! Sockets that come and go: while they are served, in the place of each other, or thrown out.

use std::time::Instant;

use futures_util::future::try_join_all;
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::limits::MAX_SERVER_FRAME_BYTES;
use streamgate_protocol::message::{Credit, Hello, Subscription};
use streamgate_protocol::{ClientMessage, Operation};

use crate::attack::Attack;
use crate::raw_socket::{ATTACKER, FIN, RawSocket, data_opcode, frame, messages};
use crate::scene::Scene;

/// Sockets at once.
const SOCKETS: usize = 4;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "leaving-consumers",
        "consumers that leave while they are served",
        |scene| Box::pin(leaving_consumers(scene)),
    )
    .on_both(),
    Attack::new(
        "leaving-group-readers",
        "waiting group reads whose sockets leave while they are served",
        |scene| Box::pin(leaving_group_readers(scene)),
    )
    .on_both(),
    Attack::new(
        "takeovers",
        "sockets of one client that take over from each other",
        |scene| Box::pin(takeovers(scene)),
    ),
    Attack::new(
        "thrown-out-sockets",
        "sockets that are closed for a violation, one after the other: few lines in the log",
        |scene| Box::pin(thrown_out(scene)),
    ),
];

/// Opens sockets one after the other, each of which sends this and leaves.
async fn churn(scene: &Scene, make: impl Fn(u64) -> Vec<u8>) -> anyhow::Result<()> {
    let end = Instant::now() + scene.length();
    let sockets = (0..SOCKETS as u64).map(async |first| {
        let mut number = first;
        while Instant::now() < end {
            let mut socket = scene.socket(Encoding::Binary).await?;
            // A socket that was closed meanwhile has left as well.
            let _ = socket.send(&make(number)).await;
            number += SOCKETS as u64;
        }
        anyhow::Ok(())
    });
    try_join_all(sockets).await?;
    Ok(())
}

fn create_group() -> ClientMessage<'static> {
    let operation = Operation::CreateGroup {
        stream: "left".into(),
        group: "g".into(),
        id: "$".into(),
    };
    ClientMessage::Request { id: 1, operation }
}

fn add() -> ClientMessage<'static> {
    let operation = Operation::Add {
        stream: "left".into(),
        fields: vec![("f".into(), "v".into())],
        maxlen: Some(100),
    };
    ClientMessage::Request { id: 2, operation }
}

async fn leaving_group_readers(scene: &Scene) -> anyhow::Result<()> {
    churn(scene, |number| {
        let operation = Operation::ReadGroup {
            stream: "left".into(),
            group: "g".into(),
            consumer: format!("c{}", number % 16).into(),
            count: 10,
            block_ms: Some(0),
        };
        let wait = ClientMessage::Request { id: 3, operation };
        messages(Encoding::Binary, [create_group(), wait, add()])
    })
    .await
}

async fn leaving_consumers(scene: &Scene) -> anyhow::Result<()> {
    churn(scene, |number| {
        let subscription = Subscription::Consume {
            stream: "left".into(),
            group: "g".into(),
            consumer: format!("c{}", number % 16).into(),
            batch: 10,
            claim_after_ms: None,
            max_deliveries: None,
            dead_letter: None,
            resumed: None,
            create_from: Some("$".into()),
            position: None,
        };
        let credit = Credit {
            entries: 100,
            bytes: 100_000,
        };
        let consume = ClientMessage::Subscribe {
            id: 3,
            subscription,
            credit,
        };
        messages(Encoding::Binary, [consume, add()])
    })
    .await
}

async fn takeovers(scene: &Scene) -> anyhow::Result<()> {
    let hello = Hello::new("abuse-takeover", MAX_SERVER_FRAME_BYTES as u32);
    let hello = messages(Encoding::Binary, [ClientMessage::Hello(hello)]);
    let end = Instant::now() + scene.length();
    let sockets = (0..SOCKETS).map(async |_| {
        while Instant::now() < end {
            let open = RawSocket::open(scene.address, ATTACKER, Encoding::Binary, "");
            let mut socket = open.await?;
            socket.send(&hello).await?;
            // Its welcome, or the end by another one.
            socket.frame().await?;
        }
        anyhow::Ok(())
    });
    try_join_all(sockets).await?;
    Ok(())
}

async fn thrown_out(scene: &Scene) -> anyhow::Result<()> {
    let garbage = frame(FIN | data_opcode(Encoding::Binary), &[0xff; 16]);
    let end = Instant::now() + scene.length();
    let sockets = (0..SOCKETS).map(async |_| {
        while Instant::now() < end {
            let mut socket = scene.socket(Encoding::Binary).await?;
            socket.send(&garbage).await?;
            let code = socket.close_code().await?;
            scene.check(code == Some(4400), || {
                format!("garbage: close code {code:?}")
            });
        }
        anyhow::Ok(())
    });
    try_join_all(sockets).await?;
    Ok(())
}
