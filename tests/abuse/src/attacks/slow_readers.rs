//! Sockets that take what they asked for slowly, or not at all; and what is left of a burst.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::message::{Credit, Subscription, TailStart};
use streamgate_protocol::{ClientMessage, Operation};
use tokio::io::AsyncReadExt;
use tokio::time::sleep;

use crate::attack::Attack;
use crate::bounds::Bounds;
use crate::process_memory::resident;
use crate::raw_socket::{messages, request};
use crate::report::mib;
use crate::scene::Scene;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "slow-tails",
        "200 tails of a busy stream whose entries nobody reads",
        |scene| Box::pin(slow_tails(scene, None)),
    )
    .bounds(Bounds::BULK)
    .on_both(),
    Attack::new(
        "trickling-tails",
        "200 tails of a busy stream, read a byte at a time",
        |scene| Box::pin(slow_tails(scene, Some(Duration::from_millis(20)))),
    )
    .bounds(Bounds::BULK),
    Attack::new(
        "burst",
        "large adds and reads from 16 sockets, which then leave: the memory is given back",
        |scene| Box::pin(burst(scene)),
    )
    .bounds(Bounds::BULK.redis_mib(192)),
];

/// Within which the memory of a burst is given back.
const GIVEN_BACK_WITHIN: Duration = Duration::from_secs(10);

/// What may be left of it, in bytes.
const MAX_LEFT_BYTES: u64 = 64 << 20;

/// Reads nothing, or a byte after each pause, of tails, while a writer adds large entries.
async fn slow_tails(scene: &Scene, pause: Option<Duration>) -> anyhow::Result<()> {
    const SOCKETS: usize = 200;
    let credit = Credit {
        entries: 1_000_000,
        bytes: 1 << 40,
    };
    let tail = Subscription::Tail {
        stream: "busy".into(),
        from: TailStart::Beginning {},
    };
    let subscribe = messages(
        Encoding::Binary,
        [ClientMessage::Subscribe {
            id: 1,
            subscription: tail,
            credit,
        }],
    );
    let end = Instant::now() + scene.length();
    let readers = try_join_all((0..SOCKETS).map(async |_| {
        let mut socket = scene.socket(Encoding::Binary).await?;
        socket.send(&subscribe).await?;
        let (mut reader, writer) = socket.into_halves();
        while Instant::now() < end {
            match pause {
                None => sleep(end.saturating_duration_since(Instant::now())).await,
                Some(pause) => {
                    sleep(pause).await;
                    if !matches!(reader.read(&mut [0]).await, Ok(1..)) {
                        break;
                    }
                }
            }
        }
        drop(writer);
        anyhow::Ok(())
    }));
    let write = async {
        let client = scene.client().await?;
        let value = "x".repeat(100_000);
        while Instant::now() < end {
            let fields = vec![("value".to_owned(), value.clone())];
            streamgate_protocol::StreamingBackend::stream_add(&client, "busy", fields, Some(100))
                .await?;
        }
        anyhow::Ok(())
    };
    tokio::try_join!(readers, write)?;
    Ok(())
}

/// Adds and reads large entries from many sockets, which then leave.
async fn burst(scene: &Scene) -> anyhow::Result<()> {
    const SOCKETS: usize = 16;
    let before = resident(scene.server_pid)?;
    let value = vec![b'x'; 4_000_000];
    let rounds = scene.pick(2, 10);
    let sockets = (0..SOCKETS).map(async |number| {
        let stream = format!("burst:{}", number % 4);
        let add = Operation::Add {
            stream: (&*stream).into(),
            fields: vec![("value".into(), (&value[..]).into())],
            maxlen: Some(1),
        };
        let add = request(Encoding::Binary, 1, add);
        let read = Operation::ReadLatest {
            stream: (&*stream).into(),
            count: 3,
        };
        let read = request(Encoding::Binary, 2, read);
        let mut socket = scene.socket(Encoding::Binary).await?;
        for _ in 0..rounds {
            let mut codes = Vec::new();
            for frame in [&add, &read] {
                // Over its budget, the server closes the socket of whoever holds most.
                if socket.send(frame).await.is_err() {
                    return Ok(());
                }
                match socket.codes(1).await {
                    Ok(code) => codes.extend(code),
                    Err(_) => return Ok(()),
                }
            }
            let fair = |code: &String| code == "ok" || code == "OVERLOADED";
            scene.check(codes.iter().all(fair), || {
                format!("a burst was answered {codes:?}")
            });
        }
        anyhow::Ok(())
    });
    try_join_all(sockets).await?;
    let end = Instant::now() + GIVEN_BACK_WITHIN;
    let kept = || anyhow::Ok(resident(scene.server_pid)?.saturating_sub(before));
    while kept()? > MAX_LEFT_BYTES && Instant::now() < end {
        sleep(Duration::from_millis(50)).await;
    }
    let kept = kept()?;
    scene.check(kept <= MAX_LEFT_BYTES, || {
        format!(
            "{} MiB are kept {GIVEN_BACK_WITHIN:?} after everybody left",
            mib(kept)
        )
    });
    Ok(())
}
