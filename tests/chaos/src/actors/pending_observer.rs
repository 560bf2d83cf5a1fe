//! Samples from Redis directly, again and again, for whom entries are pending.

use std::time::{Duration, SystemTime};

use redis::RedisResult;
use tokio::time::sleep;

use crate::pending_history::PendingHistory;
use crate::redis_inspector::RedisInspector;
use crate::scenario::{PAUSE, RunContext, STREAMS};

/// Pause between two samples: a fraction of the idle time after which an entry is reclaimed.
const SAMPLE_PAUSE: Duration = Duration::from_millis(100);

/// Samples until the run is over. While Redis is unavailable, samples are missing.
pub(crate) async fn observe(redis_url: String, context: RunContext) -> PendingHistory {
    let since_1970 = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let started = since_1970.saturating_sub(context.started.elapsed());
    let mut history = PendingHistory {
        started: u64::try_from(started.as_millis()).unwrap_or(u64::MAX),
        // Nothing is pending at the start.
        samples: vec![(0, 0)],
        ..PendingHistory::default()
    };
    let mut over = context.clone();
    tokio::select! {
        () = over.over() => {}
        () = sample_forever(&redis_url, &context, &mut history) => {}
    }
    history
}

/// Samples forever.
async fn sample_forever(redis_url: &str, context: &RunContext, history: &mut PendingHistory) {
    loop {
        if let Ok(mut inspector) = RedisInspector::open(redis_url).await {
            while sample(&mut inspector, context, history).await.is_ok() {
                sleep(SAMPLE_PAUSE).await;
            }
        }
        sleep(PAUSE).await;
    }
}

async fn sample(
    inspector: &mut RedisInspector,
    context: &RunContext,
    history: &mut PendingHistory,
) -> RedisResult<()> {
    let requested = context.now();
    for (index, stream) in STREAMS.iter().enumerate() {
        if stream.group.is_some() {
            let pending = inspector.pending(stream.name).await?;
            history.record(index, pending, context.now());
        }
    }
    history.samples.push((requested, context.now()));
    Ok(())
}
