//! Connections to Redis that are half open: nothing comes any more, and no end either.

use std::time::Instant;

use anyhow::Context;
use streamgate_protocol::StreamingBackend;
use streamgate_test_support::relay::{Direction, Flow, Scope};
use tokio::time::{Duration, sleep, timeout};

use crate::attack::Attack;
use crate::bounds::{Bounds, BystanderBound};
use crate::deployment::ServerSetup;
use crate::raw_socket::HANG_LIMIT;
use crate::scene::Scene;

const THROUGH_RELAY: ServerSetup = ServerSetup {
    through_relay: true,
    ..ServerSetup::DEFAULT
};

const RECOVERS: Bounds = Bounds::DEFAULT.bystander(BystanderBound::Recovers);

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "stalled-redis",
        "all connections to Redis stall, new ones do not: everybody is served again",
        |scene| Box::pin(stall(scene)),
    )
    .server(THROUGH_RELAY)
    .bounds(RECOVERS),
    Attack::new(
        "stalled-untracked-redis",
        "the same with a Redis that refuses CLIENT TRACKING",
        |scene| Box::pin(stall(scene)),
    )
    .server(ServerSetup {
        without_tracking: true,
        ..THROUGH_RELAY
    })
    .bounds(RECOVERS),
];

/// Most `CLIENT UNBLOCK` that Redis may see meanwhile.
const MAX_UNBLOCKS: u64 = 100;

async fn stall(scene: &Scene) -> anyhow::Result<()> {
    let relay = scene.relay.as_ref().context("the server has no relay")?;
    relay.set(Scope::Present, Direction::Both, Flow::Stall);
    let client = scene.client().await?;
    let fields = || vec![("f".to_owned(), "v".to_owned())];
    // A wait that an add ends, as often as it takes.
    let end = Instant::now() + HANG_LIMIT;
    let mut outcome = Ok(());
    while Instant::now() < end {
        let woken = async {
            let wait = client.stream_read("stalled", "$", 1, Some(5_000));
            let (entries, added) = tokio::join!(wait, client.stream_add("stalled", fields(), None));
            added?;
            anyhow::ensure!(!entries?.is_empty(), "a wait ended empty");
            Ok(())
        };
        outcome = timeout(HANG_LIMIT, woken).await.context("a wait hung")?;
        if outcome.is_ok() {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    outcome.context("no wait was woken")?;
    let unblocks = unblocks(scene).await?;
    scene.check(unblocks <= MAX_UNBLOCKS, || {
        format!("Redis saw CLIENT UNBLOCK {unblocks} times")
    });
    Ok(())
}

async fn unblocks(scene: &Scene) -> anyhow::Result<u64> {
    const NAME: &str = "cmdstat_client|unblock:calls=";
    let mut redis = scene.redis().await?;
    let info: String = redis::cmd("INFO")
        .arg("commandstats")
        .query_async(&mut redis)
        .await?;
    let line = info.lines().find_map(|line| line.strip_prefix(NAME));
    let calls = line.and_then(|line| line.split(',').next());
    Ok(calls.map_or(Ok(0), str::parse)?)
}
