//! Looks at Redis again and again, past all relays: who holds what is pending.

use std::time::{Duration, SystemTime};

use redis::RedisResult;
use tokio::time::sleep;

use crate::ledger::Ledger;
use crate::stage::{PAUSE, STREAMS, Stage};
use crate::watch::Watch;

/// Pause between two looks: many within the time behind which an entry is taken over.
const EVERY: Duration = Duration::from_millis(100);

/// Watches until the run is over. While Redis is away it sees nothing, and says so.
pub(crate) async fn watch(redis_url: String, stage: Stage) -> Watch {
    let since_1970 = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let begun = since_1970.saturating_sub(stage.begun.elapsed());
    let mut watch = Watch {
        begun: u64::try_from(begun.as_millis()).unwrap_or(u64::MAX),
        // Nothing is pending before anything is there.
        looks: vec![(0, 0)],
        ..Watch::default()
    };
    let mut over = stage.clone();
    tokio::select! {
        () = over.over() => {}
        () = look_on(&redis_url, &stage, &mut watch) => {}
    }
    watch
}

/// Never ready.
async fn look_on(redis_url: &str, stage: &Stage, watch: &mut Watch) {
    loop {
        if let Ok(mut ledger) = Ledger::open(redis_url).await {
            while look(&mut ledger, stage, watch).await.is_ok() {
                sleep(EVERY).await;
            }
        }
        sleep(PAUSE).await;
    }
}

async fn look(ledger: &mut Ledger, stage: &Stage, watch: &mut Watch) -> RedisResult<()> {
    let asked = stage.now();
    for (place, stream) in STREAMS.iter().enumerate() {
        if stream.group.is_some() {
            watch.saw(place, ledger.pending(stream.name).await?);
        }
    }
    watch.looks.push((asked, stage.now()));
    Ok(())
}
