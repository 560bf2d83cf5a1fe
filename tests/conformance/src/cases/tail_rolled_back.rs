//! Tails of a stream that a failover rolled back: they replay nothing.
//!
//! A copy of an older stream over the key plays the failover to a replica that lacked the stream's
//! newest entries.

use streamgate_protocol::{Gap, GapReason, TailFrom};

use crate::fixture::{DirectRedis, Fixture};
use crate::reader::{Reader, Received};

cases![
    ;
    needs_redis:
    a_live_tail_replays_nothing,
    a_live_tail_replays_nothing_of_a_stream_with_ids_of_its_own,
    a_tail_from_now_replays_nothing,
    every_tail_of_a_stream_is_told,
    entries_added_at_once_after_a_rollback_are_pushed,
    a_second_rollback_is_told_again,
    a_tail_that_resumes_after_a_rollback_replays_nothing,
    another_stream_is_read_from_its_beginning,
];

async fn copy(redis: &DirectRedis, from: &str, to: &str) {
    let words = [b"COPY", from.as_bytes(), to.as_bytes(), b"REPLACE"];
    let copied: u64 = redis.send(&words).await.unwrap();
    assert_eq!(copied, 1);
}

async fn add_directly(redis: &DirectRedis, key: &str, ids: &[&str]) {
    for id in ids {
        let _: String = redis
            .send(&[b"XADD", key.as_bytes(), id.as_bytes(), b"a", b"1"])
            .await
            .unwrap();
    }
}

/// Adds entries, and copies the stream to another key, and adds further ones. Returns the ids, and
/// the key of the copy.
async fn stream_and_older_copy(
    f: &Fixture,
    redis: &DirectRedis,
    key: &str,
) -> (Vec<String>, Vec<String>, String) {
    let older = f.key();
    let kept = f.add_in_sequence(key, 5).await.unwrap();
    copy(redis, key, &older).await;
    let lost = f.add_in_sequence(key, 3).await.unwrap();
    (kept, lost, older)
}

async fn expect_rolled_back(tail: &mut Reader, after: &str, position: &str) {
    let gap = tail.gap().await;
    let expected = Gap::new(after, position).reason(GapReason::RolledBack);
    assert_eq!(gap, expected);
}

/// It receives a gap, and then the entries that are added.
async fn a_live_tail_replays_nothing(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let (kept, lost, older) = stream_and_older_copy(&f, &redis, &key).await;
    let mut tail = Reader::open(&f, &key, TailFrom::Beginning).await;
    assert_eq!(tail.ids(8).await, [&kept[..], &lost[..]].concat());
    copy(&redis, &older, &key).await;
    expect_rolled_back(&mut tail, &lost[2], &kept[4]).await;
    tail.expect_silence(100).await;
    let new = f.add_in_sequence(&key, 2).await.unwrap();
    assert_eq!(tail.ids(2).await, new);
}

/// They are no times of a clock, so only entries that the tail has read show that it is the same
/// stream.
async fn a_live_tail_replays_nothing_of_a_stream_with_ids_of_its_own(
    f: Fixture,
    redis: DirectRedis,
) {
    let (key, older) = (f.key(), f.key());
    add_directly(&redis, &key, &["1-0", "2-0", "3-0"]).await;
    copy(&redis, &key, &older).await;
    add_directly(&redis, &key, &["4-0", "5-0"]).await;
    let mut tail = Reader::open(&f, &key, TailFrom::Beginning).await;
    assert_eq!(tail.ids(5).await, ["1-0", "2-0", "3-0", "4-0", "5-0"]);
    copy(&redis, &older, &key).await;
    expect_rolled_back(&mut tail, "5-0", "3-0").await;
    add_directly(&redis, &key, &["6-0"]).await;
    assert_eq!(tail.ids(1).await, ["6-0"]);
}

async fn a_tail_from_now_replays_nothing(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let (kept, lost, older) = stream_and_older_copy(&f, &redis, &key).await;
    let mut tail = Reader::open(&f, &key, TailFrom::Now).await;
    let last = f.add(&key, "last").await.unwrap();
    assert_eq!(tail.ids(1).await, [&*last]);
    assert!(lost[2] < last);
    copy(&redis, &older, &key).await;
    expect_rolled_back(&mut tail, &last, &kept[4]).await;
    let new = f.add(&key, "new").await.unwrap();
    assert_eq!(tail.ids(1).await, [&*new]);
}

/// Whenever it began.
async fn every_tail_of_a_stream_is_told(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let (kept, lost, older) = stream_and_older_copy(&f, &redis, &key).await;
    let mut tails = Vec::new();
    for from in [
        TailFrom::Beginning,
        TailFrom::Last(2),
        TailFrom::Now,
        TailFrom::After(kept[1].clone()),
        TailFrom::After(lost[2].clone()),
    ] {
        tails.push(Reader::open(&f, &key, from).await);
    }
    let last = f.add(&key, "last").await.unwrap();
    for tail in &mut tails {
        tail.read_until(&last).await;
    }
    copy(&redis, &older, &key).await;
    for tail in &mut tails {
        expect_rolled_back(tail, &last, &kept[4]).await;
    }
    let new = f.add(&key, "new").await.unwrap();
    for tail in &mut tails {
        assert_eq!(tail.ids(1).await, [&*new]);
    }
}

/// The new master has more entries than the old one when the tail first sees it. The tail may
/// notice after a page of them.
async fn entries_added_at_once_after_a_rollback_are_pushed(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let (kept, lost, older) = stream_and_older_copy(&f, &redis, &key).await;
    let mut tail = Reader::open(&f, &key, TailFrom::Beginning).await;
    assert_eq!(tail.ids(8).await, [&kept[..], &lost[..]].concat());
    let script = b"redis.call('COPY', KEYS[1], KEYS[2], 'REPLACE')
        local ids = {}
        for i = 1, 20 do ids[i] = redis.call('XADD', KEYS[2], '*', 'a', i) end
        return ids";
    let words: [&[u8]; 5] = [b"EVAL", script, b"2", older.as_bytes(), key.as_bytes()];
    let new: Vec<String> = redis.send(&words).await.unwrap();
    let (mut pushed, mut gaps) = (Vec::new(), Vec::new());
    while gaps.is_empty() || pushed.len() < new.len() {
        match tail.next_item().await {
            Received::Entry((id, _)) => pushed.push(id),
            Received::Gap(gap) => gaps.push(gap),
        }
    }
    assert_eq!(pushed, new);
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    let gap = &gaps[0];
    assert_eq!((gap.reason, &gap.after), (GapReason::RolledBack, &gap.position));
    tail.expect_silence(100).await;
}

async fn a_second_rollback_is_told_again(f: Fixture, redis: DirectRedis) {
    let (key, oldest) = (f.key(), f.key());
    let first = f.add(&key, "first").await.unwrap();
    copy(&redis, &key, &oldest).await;
    let (kept, lost, older) = stream_and_older_copy(&f, &redis, &key).await;
    let mut tail = Reader::open(&f, &key, TailFrom::Beginning).await;
    assert_eq!(tail.ids(9).await.last(), lost.last());
    copy(&redis, &older, &key).await;
    expect_rolled_back(&mut tail, &lost[2], &kept[4]).await;
    copy(&redis, &oldest, &key).await;
    expect_rolled_back(&mut tail, &kept[4], &first).await;
    let new = f.add(&key, "new").await.unwrap();
    assert_eq!(tail.ids(1).await, [&*new]);
}

/// Its position is a time of a clock after that of the last entry.
async fn a_tail_that_resumes_after_a_rollback_replays_nothing(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let (kept, lost, older) = stream_and_older_copy(&f, &redis, &key).await;
    copy(&redis, &older, &key).await;
    let mut tail = Reader::open(&f, &key, TailFrom::After(lost[2].clone())).await;
    expect_rolled_back(&mut tail, &lost[2], &kept[4]).await;
    tail.expect_silence(100).await;
    let new = f.add(&key, "new").await.unwrap();
    assert_eq!(tail.ids(1).await, [&*new]);
}

/// Its ids are smaller, and the tail has read none of them.
async fn another_stream_is_read_from_its_beginning(f: Fixture, redis: DirectRedis) {
    let (key, other) = (f.key(), f.key());
    add_directly(&redis, &key, &["1-0", "2-0", "3-0", "4-0", "5-0"]).await;
    add_directly(&redis, &other, &["1-1", "2-1", "3-1"]).await;
    let mut tail = Reader::open(&f, &key, TailFrom::Beginning).await;
    assert_eq!(tail.ids(5).await.len(), 5);
    copy(&redis, &other, &key).await;
    let gap = tail.gap().await;
    assert_eq!(gap.reason, GapReason::Recreated, "{gap:?}");
    assert_eq!(gap.first.as_deref(), Some("1-1"));
    assert_eq!(tail.ids(3).await, ["1-1", "2-1", "3-1"]);
    tail.expect_silence(100).await;
}
