//! Connections that never become sockets, or not for long.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use streamgate_protocol::codec::Encoding;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::attack::Attack;
use crate::attacks::given_up::expect_given_up;
use crate::deployment::ServerSetup;
use crate::raw_socket::{ATTACKER, HANG_LIMIT, RawSocket, handshake, read_head, status, tcp};
use crate::scene::{Form, Scene};

/// The soft limit of files that most systems have; the hard one is higher.
const ORDINARY_FILE_LIMIT: ServerSetup = ServerSetup {
    file_limit: Some((1_024, 16_384)),
    ..ServerSetup::DEFAULT
};

/// A limit of files that cannot be raised, and that an attack exceeds.
const SMALL_FILE_LIMIT: ServerSetup = ServerSetup {
    file_limit: Some((256, 256)),
    ..ServerSetup::DEFAULT
};

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "silent-connections",
        "1,100 TCP connections that send nothing, under a soft limit of 1,024 files",
        |scene| Box::pin(hold(scene, 1_100, "")),
    )
    .server(ORDINARY_FILE_LIMIT),
    Attack::new(
        "silent-connections-few-files",
        "400 TCP connections that send nothing, under a hard limit of 256 files",
        |scene| Box::pin(hold(scene, 400, "")),
    )
    .server(SMALL_FILE_LIMIT),
    Attack::new(
        "half-open-handshakes",
        "500 connections that send half of a handshake",
        |scene| {
            Box::pin(hold(
                scene,
                500,
                "GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nUpgr",
            ))
        },
    )
    .server(ORDINARY_FILE_LIMIT),
    Attack::new(
        "slow-handshakes",
        "500 connections that send a byte of an endless head now and then",
        |scene| Box::pin(slow_handshakes(scene)),
    )
    .server(ORDINARY_FILE_LIMIT),
    Attack::new(
        "idle-keep-alive",
        "500 connections that send no second request",
        |scene| {
            Box::pin(hold(
                scene,
                500,
                "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
            ))
        },
    )
    .server(ORDINARY_FILE_LIMIT),
    Attack::new(
        "sockets-without-hello",
        "1,000 sockets that say no hello",
        |scene| {
            // A handshake whose socket stays silent.
            Box::pin(async {
                let head = handshake(Encoding::Binary, "");
                hold(scene, 1_000, &head).await
            })
        },
    ),
    Attack::new(
        "connection-attempts",
        "20,000 handshakes, each given up at once",
        |scene| Box::pin(attempts(scene)),
    ),
    Attack::new(
        "connection-resets",
        "connections that are reset as soon as they are there",
        |scene| Box::pin(resets(scene)),
    ),
];

/// A server gives up a connection that is no socket after a time well below this.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(60);

/// Pause between two newcomers.
const NEWCOMER_PAUSE: Duration = Duration::from_millis(100);

/// Opens connections that send this and nothing else, while newcomers come. In the long form the
/// server must give them up.
async fn hold(scene: &Scene, count: usize, head: &str) -> anyhow::Result<()> {
    beside_newcomers(scene, async {
        let mut held = Vec::new();
        for _ in 0..count {
            // If the server accepts nobody, the queue of its socket is full: more cannot come.
            let Ok(mut stream) = tcp(scene.address, ATTACKER).await else {
                break;
            };
            // A server that resets is right.
            if stream.write_all(head.as_bytes()).await.is_ok() {
                held.push(stream);
            }
        }
        newcomer(scene).await;
        sleep(scene.length()).await;
        if scene.form == Form::Long {
            let held = held.into_iter().map(is_open);
            expect_given_up(scene, "connections", GIVEN_UP_WITHIN, held).await;
        }
    })
    .await
}

/// Waits until the server has closed the connection, and returns whether it has not in time.
async fn is_open(mut stream: TcpStream) -> bool {
    let mut bytes = Vec::new();
    let end = stream.read_to_end(&mut bytes);
    timeout(GIVEN_UP_WITHIN, end).await.is_err()
}

async fn slow_handshakes(scene: &Scene) -> anyhow::Result<()> {
    let pause = scene.pick(Duration::from_millis(50), Duration::from_secs(1));
    let end = Instant::now() + scene.pick(scene.length(), GIVEN_UP_WITHIN);
    beside_newcomers(scene, async {
        let slow = (0..500).map(async |_| {
            let Ok(mut stream) = tcp(scene.address, ATTACKER).await else {
                return false;
            };
            if stream
                .write_all(b"GET /v1/ws HTTP/1.1\r\nX: ")
                .await
                .is_err()
            {
                return false;
            }
            while Instant::now() < end {
                sleep(pause).await;
                if stream.write_all(b"x").await.is_err() {
                    return false;
                }
            }
            true
        });
        expect_given_up(scene, "slow handshakes", GIVEN_UP_WITHIN, slow).await;
    })
    .await
}

async fn attempts(scene: &Scene) -> anyhow::Result<()> {
    const AT_ONCE: usize = 200;
    let count = scene.pick(1_000, 20_000);
    beside_newcomers(scene, async {
        let attempts = stream::iter(0..count).map(async |_| {
            // Refusals are as good as sockets.
            let _ = RawSocket::open(scene.address, ATTACKER, Encoding::Binary, "").await;
        });
        attempts.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await;
    })
    .await
}

async fn resets(scene: &Scene) -> anyhow::Result<()> {
    let end = Instant::now() + scene.length();
    beside_newcomers(scene, async {
        while Instant::now() < end {
            if let Ok(stream) = tcp(scene.address, ATTACKER).await {
                // So that its end is a reset.
                let _ = stream.set_zero_linger();
            }
        }
    })
    .await
}

/// Attacks while new clients connect one after the other, from another address, and ask whether
/// the server is healthy.
async fn beside_newcomers(scene: &Scene, attack: impl Future<Output = ()>) -> anyhow::Result<()> {
    let is_over = AtomicBool::new(false);
    let newcomers = async {
        while !is_over.load(Ordering::Relaxed) {
            newcomer(scene).await;
            sleep(NEWCOMER_PAUSE).await;
        }
    };
    let attack = async {
        attack.await;
        is_over.store(true, Ordering::Relaxed);
    };
    tokio::join!(newcomers, attack);
    Ok(())
}

/// Connects a new client, which must be served, as must be whoever asks for the server's health.
async fn newcomer(scene: &Scene) {
    let served = async {
        scene.client().await?;
        healthz(scene).await
    };
    match timeout(HANG_LIMIT, served).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => scene.problem(format!("a newcomer: {error:#}")),
        Err(_) => scene.problem(format!("a newcomer: no answer within {HANG_LIMIT:?}")),
    }
}

async fn healthz(scene: &Scene) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(scene.address).await?;
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await?;
    let (head, _) = read_head(&mut stream).await?;
    anyhow::ensure!(status(&head) == Some(200), "/healthz: {}", head.trim());
    Ok(())
}
