//! Tails that begin at any time and position, while a writer adds as fast as it can.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use redis::aio::MultiplexedConnection;
use streamgate_protocol::{Entry, GapReason, SubscribingBackend, Tail, TailFrom, TailItem};
use streamgate_test_support::RedisVersion;

use crate::fixture::{Fixture, connect_directly, next};

const TAILS: u64 = 50;
const ENTRIES: u64 = 10_000;

/// Entries added in one round trip.
const BATCH: u64 = 50;

/// Adds entries. Entry `n` has the id `n-0` and the value `n`, so that gaps can be checked.
async fn write(mut connection: MultiplexedConnection, maxlen: Option<u64>) {
    let mut next = 1;
    while next <= ENTRIES {
        let batch = fastrand::u64(1..=BATCH).min(ENTRIES + 1 - next);
        let mut pipe = redis::pipe();
        for n in next..next + batch {
            pipe.cmd("XADD").arg("s");
            if let Some(maxlen) = maxlen {
                pipe.arg("MAXLEN").arg("=").arg(maxlen);
            }
            pipe.arg(format!("{n}-0")).arg("f").arg(n);
        }
        let () = pipe.exec_async(&mut connection).await.unwrap();
        next += batch;
    }
}

fn number(id: &str) -> u64 {
    id.split('-').next().unwrap().parse().unwrap()
}

/// Reads to the last entry. Returns how many entries were reported missing.
async fn follow(mut tail: Tail, from: TailFrom) -> u64 {
    // The next entry if none is missing; unknown before the first item.
    let mut expected = match &from {
        TailFrom::After(id) => Some(number(id) + 1),
        _ => None,
    };
    let mut missing = 0;
    loop {
        match next(&mut tail).await.unwrap() {
            TailItem::Entries { entries, position } => {
                for Entry { id, fields, .. } in &entries {
                    let n = number(id);
                    assert_eq!(n, expected.unwrap_or(n), "after {from:?}");
                    assert_eq!(fields[0].1, n.to_string());
                    expected = Some(n + 1);
                }
                if let Some(Entry { id: last, .. }) = entries.last() {
                    assert_eq!(*last, position);
                } else if let Some(n) = position.strip_suffix("-0") {
                    expected = expected.or(n.parse::<u64>().ok().map(|n| n + 1));
                }
            }
            TailItem::Gap(gap) => {
                assert_eq!(gap.reason, GapReason::Trimmed);
                let before = expected.map_or(number(&gap.after), |n| n - 1);
                assert_eq!(number(&gap.after), before, "a gap begins at the position");
                let first = number(gap.first.as_deref().unwrap());
                assert!(first > before);
                missing += first - before - 1;
                expected = Some(first);
            }
            other => panic!("unknown item {other:?}"),
        }
        if expected == Some(ENTRIES + 1) {
            return missing;
        }
    }
}

async fn every_tail_sees_everything(version: RedisVersion, maxlen: Option<u64>) {
    let fixture = Fixture::new(version).await;
    let writer = connect_directly(&fixture.server).await;
    let over = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let over = Arc::clone(&over);
        async move {
            write(writer, maxlen).await;
            over.store(true, Ordering::Relaxed);
        }
    });
    let mut followers = Vec::new();
    for n in 0..TAILS {
        // Each tail begins at another time of the writing.
        let start = ENTRIES / (TAILS + 10) * n;
        loop {
            let length: u64 = fixture.command("XINFO STREAM s").await.map_or(0, last_of);
            if length >= start || over.load(Ordering::Relaxed) {
                break;
            }
        }
        let from = match fastrand::u8(0..4) {
            0 => TailFrom::Beginning,
            1 => TailFrom::Now,
            2 => TailFrom::Last(fastrand::usize(1..500)),
            _ => TailFrom::After(format!("{}-0", fastrand::u64(0..=start))),
        };
        let tail = fixture.streams.tail("s", from.clone());
        followers.push(tokio::spawn(follow(tail, from)));
    }
    let missing: u64 = join_all(followers)
        .await
        .into_iter()
        .map(Result::unwrap)
        .sum();
    writing.await.unwrap();
    if maxlen.is_none() {
        assert_eq!(missing, 0);
    }
}

/// Returns the number of the last entry, from the answer of `XINFO STREAM`.
fn last_of(info: std::collections::HashMap<String, redis::Value>) -> u64 {
    match &info["last-generated-id"] {
        redis::Value::BulkString(id) => number(std::str::from_utf8(id).unwrap()),
        other => panic!("no id: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
pub(crate) async fn fifty_tails_of_a_busy_stream_see_every_entry_once_and_in_order() {
    for version in RedisVersion::ALL {
        every_tail_sees_everything(version, None).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
pub(crate) async fn fifty_tails_of_a_busy_trimmed_stream_report_what_they_miss() {
    for version in RedisVersion::ALL {
        for maxlen in [20, 2_000] {
            every_tail_sees_everything(version, Some(maxlen)).await;
        }
    }
}
