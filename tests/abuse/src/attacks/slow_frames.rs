//! Frames that begin and do not end.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use streamgate_protocol::codec::Encoding;
use tokio::time::sleep;

use crate::attack::Attack;
use crate::attacks::given_up::expect_given_up;
use crate::bounds::Bounds;
use crate::raw_socket::{FIN, data_opcode, header, opcode};
use crate::scene::Scene;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "slow-frames",
        "sockets that announce a frame of 16 MiB and send a byte of it now and then",
        |scene| Box::pin(slow_frames(scene)),
    ),
    Attack::new(
        "unfinished-frames",
        "40 sockets that send all but the last bytes of a frame of 16 MiB",
        |scene| Box::pin(unfinished_frames(scene)),
    )
    .bounds(Bounds::BULK),
    Attack::new(
        "endless-fragments",
        "messages of fragments of one byte that never end",
        |scene| Box::pin(endless_fragments(scene)),
    )
    .bounds(Bounds::BULK),
];

const FRAME_BYTES: u64 = 16 << 20;

/// A server gives up a frame that does not arrive after a time well below this.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(90);

async fn slow_frames(scene: &Scene) -> anyhow::Result<()> {
    let pause = scene.pick(Duration::from_millis(100), Duration::from_secs(1));
    let header = header(FIN | data_opcode(Encoding::Binary), FRAME_BYTES);
    let mut sockets = Vec::new();
    for _ in 0..scene.pick(300, 1_500) {
        let mut socket = scene.socket(Encoding::Binary).await?;
        socket.send(&header).await?;
        sockets.push(socket);
    }
    let end = Instant::now() + scene.pick(scene.length(), GIVEN_UP_WITHIN);
    let slow = sockets.iter_mut().map(async |socket| {
        while Instant::now() < end {
            if socket.send(&[0]).await.is_err() {
                return false;
            }
            sleep(pause).await;
        }
        true
    });
    expect_given_up(scene, "slow frames", GIVEN_UP_WITHIN, slow).await;
    Ok(())
}

async fn unfinished_frames(scene: &Scene) -> anyhow::Result<()> {
    const SOCKETS: usize = 40;
    let mut bytes = header(FIN | data_opcode(Encoding::Binary), FRAME_BYTES);
    bytes.resize(FRAME_BYTES as usize, 0);
    let end = Instant::now() + scene.length();
    let sockets = (0..SOCKETS).map(async |_| {
        let mut socket = scene.socket(Encoding::Binary).await?;
        tokio::select! {
            // A server that has no room reads no more, or closes.
            _ = socket.send(&bytes) => sleep(end.saturating_duration_since(Instant::now())).await,
            () = tokio::time::sleep_until(end.into()) => {}
        }
        anyhow::Ok(socket)
    });
    try_join_all(sockets).await?;
    Ok(())
}

async fn endless_fragments(scene: &Scene) -> anyhow::Result<()> {
    const SOCKETS: usize = 8;
    let mut fragment = header(opcode::CONTINUATION, 1);
    fragment.push(0);
    let fragments = fragment.repeat(10_000);
    let end = Instant::now() + scene.length();
    let sockets = (0..SOCKETS).map(async |_| {
        while Instant::now() < end {
            let mut socket = scene.socket(Encoding::Binary).await?;
            let mut first = header(data_opcode(Encoding::Binary), 1);
            first.push(0);
            let send = async {
                // Until the server closes the socket: its message is too large.
                if socket.send(&first).await.is_ok() {
                    while socket.send(&fragments).await.is_ok() {}
                }
            };
            tokio::select! {
                () = send => {}
                () = tokio::time::sleep_until(end.into()) => {}
            }
        }
        anyhow::Ok(())
    });
    try_join_all(sockets).await?;
    Ok(())
}
