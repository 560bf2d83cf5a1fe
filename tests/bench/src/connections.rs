//! Connections to Redis with many who wait.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use futures_util::future::join_all;
use streamgate_protocol::StreamingBackend;

use crate::table::{heading, row};
use crate::ways::{Way, Ways, add, failed};

/// Readers that wait.
const READERS: usize = 1_000;

/// Counts connections to Redis while readers wait.
pub(crate) async fn run(ways: &Ways) -> anyhow::Result<()> {
    heading(&format!(
        "connections to Redis with {READERS} readers waiting on one handle"
    ));
    let client = redis::Client::open(ways.redis.url())?;
    let mut redis = client.get_multiplexed_async_connection().await?;
    for way in [&ways.direct, &ways.proxied] {
        let before = connections(&mut redis).await?;
        let during = with_waiting_readers(way, &mut redis).await?;
        let figure = format!("{} more ({before} before)", during - before);
        row(way.name, &figure);
    }
    Ok(())
}

async fn with_waiting_readers(
    way: &Way,
    redis: &mut redis::aio::MultiplexedConnection,
) -> anyhow::Result<i64> {
    let backend: Arc<dyn StreamingBackend> = Arc::clone(&way.connections[0]);
    let waits = (0..READERS).map(|_| backend.stream_read("bench:waits", "$", 1, Some(0)));
    let mut waits = join_all(waits);
    // Asked, in their first poll; the add below reaches the server after them.
    std::future::poll_fn(|cx| {
        let _ = Pin::new(&mut waits).poll(cx);
        Poll::Ready(())
    })
    .await;
    add(&*backend, "bench:barrier").await.map_err(failed)?;
    let during = connections(redis).await?;
    add(&*backend, "bench:waits").await.map_err(failed)?;
    for read in waits.await {
        anyhow::ensure!(read.map_err(failed)?.len() == 1, "a reader was not served");
    }
    Ok(during)
}

async fn connections(redis: &mut redis::aio::MultiplexedConnection) -> anyhow::Result<i64> {
    let list: String = redis::cmd("CLIENT").arg("LIST").query_async(redis).await?;
    Ok(i64::try_from(list.lines().count())?)
}
