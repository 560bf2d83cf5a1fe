//! Reads whose answers are larger than they should be, or that nobody takes.

use std::time::Instant;

use anyhow::Context;
use futures_util::future::try_join_all;
use redis::aio::MultiplexedConnection;
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::{ClientMessage, Operation};
use tokio::time::sleep;

use crate::attack::Attack;
use crate::raw_socket::{messages, request};
use crate::scene::Scene;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "unread-replies",
        "sockets that read the last 15 MB of a stream 16 times each, and take no reply",
        |scene| Box::pin(unread_replies(scene)),
    )
    .prepare(|scene| Box::pin(fill(scene, 15, 1_000_000))),
    Attack::new(
        "read-without-count",
        "reads of a whole stream, far beyond the largest reply",
        |scene| Box::pin(read_without_count(scene)),
    )
    .prepare(|scene| Box::pin(fill(scene, scene.pick(20_000, 200_000), 1_000))),
    Attack::new(
        "read-with-huge-count",
        "reads of the last 10^15 entries of a large stream",
        |scene| Box::pin(read_with_huge_count(scene)),
    )
    .prepare(|scene| Box::pin(fill(scene, scene.pick(80, 300), 1_000_000))),
];

const STREAM: &str = "big";

/// A count as large as a client may send.
const HUGE_COUNT: u64 = 1_000_000_000_000_000;

/// Most bytes that Redis may send for one read: the largest reply, and a page beyond it.
const MAX_FETCHED_BYTES: u64 = 24 << 20;

/// Adds entries with a value of this size, in pipelines of some megabytes.
async fn fill(scene: &Scene, entries: usize, value_bytes: usize) -> anyhow::Result<()> {
    const PIPELINE_BYTES: usize = 4 << 20;
    let mut redis = scene.redis().await?;
    let value = vec![b'x'; value_bytes];
    let per_pipeline = (PIPELINE_BYTES / value_bytes).max(1);
    let mut left = entries;
    while left > 0 {
        let count = left.min(per_pipeline);
        let mut pipeline = redis::pipe();
        for _ in 0..count {
            pipeline
                .cmd("XADD")
                .arg(STREAM)
                .arg("*")
                .arg("value")
                .arg(&value)
                .ignore();
        }
        pipeline.exec_async(&mut redis).await?;
        left -= count;
    }
    Ok(())
}

async fn unread_replies(scene: &Scene) -> anyhow::Result<()> {
    const READS: u64 = 16;
    let reads = (0..READS).map(|id| ClientMessage::Request {
        id,
        operation: Operation::ReadLatest {
            stream: STREAM.into(),
            count: 15,
        },
    });
    let frame = messages(Encoding::Binary, reads);
    let mut sockets = Vec::new();
    for _ in 0..scene.pick(4, 10) {
        let mut socket = scene.socket(Encoding::Binary).await?;
        socket.send(&frame).await?;
        sockets.push(socket);
    }
    sleep(scene.length()).await;
    Ok(())
}

async fn read_without_count(scene: &Scene) -> anyhow::Result<()> {
    expect_bounded(scene, scene.pick(2, 8), || Operation::Read {
        stream: STREAM.into(),
        last_id: "0".into(),
        count: 0,
        block_ms: None,
    })
    .await
}

async fn read_with_huge_count(scene: &Scene) -> anyhow::Result<()> {
    expect_bounded(scene, 2, || Operation::ReadLatest {
        stream: STREAM.into(),
        count: HUGE_COUNT,
    })
    .await
}

/// Sends a read from each of some sockets, again and again. Each is answered with the entries that
/// fit, or refused, before all of the stream was fetched.
async fn expect_bounded(
    scene: &Scene,
    sockets: usize,
    read: impl Fn() -> Operation<'static>,
) -> anyhow::Result<()> {
    let mut redis = scene.redis().await?;
    let sent_before = output_bytes(&mut redis).await?;
    let end = Instant::now() + scene.length();
    let reads = (0..sockets).map(async |_| {
        let mut socket = scene.socket(Encoding::Binary).await?;
        let mut count = 0;
        while count == 0 || Instant::now() < end {
            socket
                .send(&request(Encoding::Binary, count, read()))
                .await?;
            let codes = socket.codes(1).await?;
            let fair = matches!(&*codes[0], "ok" | "LIMIT" | "OVERLOADED");
            scene.check(fair, || format!("a read ended with {codes:?}"));
            count += 1;
        }
        anyhow::Ok(count)
    });
    let reads: u64 = try_join_all(reads).await?.into_iter().sum();
    let sent = (output_bytes(&mut redis).await? - sent_before) / reads;
    scene.check(sent <= MAX_FETCHED_BYTES, || {
        format!("Redis sent {} MiB for each read", sent >> 20)
    });
    Ok(())
}

/// Returns the bytes that Redis has sent to anybody.
async fn output_bytes(redis: &mut MultiplexedConnection) -> anyhow::Result<u64> {
    const NAME: &str = "total_net_output_bytes:";
    let info: String = redis::cmd("INFO").arg("stats").query_async(redis).await?;
    let line = info.lines().find_map(|line| line.strip_prefix(NAME));
    Ok(line
        .context("INFO has no total_net_output_bytes")?
        .trim()
        .parse()?)
}
