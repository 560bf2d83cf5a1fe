//! Many threads at once: no entry is lost or delivered twice, and no bytes stay in use.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;

use super::*;

const ADDERS: usize = 4;
const ENTRIES_OF_EACH: usize = 500;
const ENTRIES: usize = ADDERS * ENTRIES_OF_EACH;
const READERS: usize = 8;
const CONSUMERS: usize = 8;
const GROUPS: [&str; 2] = ["g", "h"];

/// Longer than the slowest machine takes. Catches a lost wake-up, which would wait for ever.
const HANG_LIMIT: Duration = Duration::from_secs(60);

/// Drops a call after a few turns of the other tasks.
async fn drop_after<T>(turns: usize, call: impl Future<Output = T>) -> Option<T> {
    let turns = async {
        for _ in 0..turns {
            yield_now().await;
        }
    };
    tokio::select! {
        biased;
        result = call => Some(result),
        () = turns => None,
    }
}

async fn add_all(streams: &MemoryStreams) {
    let mut adders = JoinSet::new();
    for adder in 0..ADDERS {
        let streams = streams.clone();
        adders.spawn(async move {
            for i in 0..ENTRIES_OF_EACH {
                streams
                    .stream_add("s", one(&format!("{adder}:{i}")), None)
                    .await
                    .unwrap();
                yield_now().await;
            }
        });
    }
    adders.join_all().await;
}

/// Reads all entries, one wait after the other.
async fn read_to_end(streams: MemoryStreams, seed: u64) -> Vec<String> {
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut seen, mut last_id) = (Vec::new(), "0".to_owned());
    while seen.len() < ENTRIES {
        let (count, block) = (random.usize(0..5), random.usize(0..3));
        let read = streams.read_entries("s", &last_id, count, Some(block));
        let Some(entries) = drop_after(random.usize(1..50), read).await else {
            continue;
        };
        for Entry { id, .. } in entries.unwrap() {
            seen.push(id.clone());
            last_id = id;
        }
    }
    seen
}

/// Reads and acknowledges entries until the group has read all. Its waits often end just when an
/// entry arrives.
async fn consume(
    streams: MemoryStreams,
    group: &'static str,
    name: String,
    seed: u64,
    read_by_all: Arc<AtomicUsize>,
) -> Vec<String> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut read = Vec::new();
    while read_by_all.load(Ordering::SeqCst) < ENTRIES {
        let (count, block) = (random.usize(0..3), Some(random.usize(1..3)));
        let entries = streams
            .read_group_entries("s", group, &name, count, block)
            .await
            .unwrap();
        let ids: Vec<_> = entries.into_iter().map(|entry| entry.id).collect();
        streams.stream_ack("s", group, &ids).await.unwrap();
        read_by_all.fetch_add(ids.len(), Ordering::SeqCst);
        read.extend(ids);
    }
    read
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_reader_sees_all_and_every_entry_goes_to_one_consumer() {
    // Only the threads differ between two runs.
    let mut random = fastrand::Rng::with_seed(1);
    let streams = MemoryStreams::new();
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        readers.spawn(read_to_end(streams.clone(), random.u64(..)));
    }
    let mut groups = Vec::new();
    for group in GROUPS {
        streams.stream_create_group("s", group, "0").await.unwrap();
        let (mut consumers, read) = (JoinSet::new(), Arc::new(AtomicUsize::new(0)));
        for i in 0..CONSUMERS {
            let (name, read) = (format!("c{i}"), Arc::clone(&read));
            consumers.spawn(consume(streams.clone(), group, name, random.u64(..), read));
        }
        groups.push(consumers);
    }
    timeout(HANG_LIMIT, async {
        add_all(&streams).await;
        let all: Vec<_> = read_all(&streams, "s")
            .into_iter()
            .map(|entry| entry.id)
            .collect();
        assert_eq!(all.len(), ENTRIES);
        for seen in readers.join_all().await {
            assert_eq!(seen, all, "in order, each once");
        }
        for consumers in groups {
            let mut read = consumers.join_all().await.concat();
            assert_eq!(read.len(), ENTRIES, "no entry is delivered twice");
            assert_eq!(
                read.drain(..).collect::<HashSet<_>>(),
                all.iter().cloned().collect()
            );
        }
    })
    .await
    .expect("a task hangs");
    for group in GROUPS {
        assert_eq!(pending(&streams, group), []);
    }
    assert_eq!(used(&streams)[2], 0, "no call waits");
}

/// A consumer may be dropped while an entry is delivered to it, which then is pending for it. So
/// each entry is pending once, and a delivered entry is pending for the consumer that got it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn consumers_that_are_dropped_lose_no_entry() {
    let streams = MemoryStreams::new();
    streams.stream_create_group("s", "g", "$").await.unwrap();
    let stop = Arc::new(AtomicUsize::new(0));
    let mut consumers = JoinSet::new();
    for i in 0..CONSUMERS {
        let (streams, stop) = (streams.clone(), Arc::clone(&stop));
        consumers.spawn(async move {
            let mut random = fastrand::Rng::with_seed(i as u64);
            let (name, mut delivered) = (format!("c{i}"), Vec::new());
            while stop.load(Ordering::SeqCst) == 0 {
                let read = streams.read_group_entries("s", "g", &name, 1, Some(0));
                if let Some(entries) = drop_after(random.usize(0..20), read).await {
                    delivered.extend(
                        entries
                            .unwrap()
                            .into_iter()
                            .map(|entry| (entry.id, name.clone())),
                    );
                }
            }
            delivered
        });
    }
    timeout(HANG_LIMIT, add_all(&streams))
        .await
        .expect("an add hangs");
    stop.store(1, Ordering::SeqCst);
    let delivered = timeout(HANG_LIMIT, consumers.join_all())
        .await
        .expect("a consumer does not stop");
    let delivered = delivered.concat();
    assert!(!delivered.is_empty(), "no consumer got an entry");
    read_for(&streams, "g", "rest", 0);
    let pending: HashSet<_> = pending(&streams, "g").into_iter().collect();
    assert_eq!(pending.len(), ENTRIES);
    assert!(delivered.iter().all(|delivery| pending.contains(delivery)));
    assert_eq!(
        delivered.iter().collect::<HashSet<_>>().len(),
        delivered.len(),
        "no entry is delivered twice"
    );
    assert_eq!(used(&streams)[2], 0, "no call waits");
}
