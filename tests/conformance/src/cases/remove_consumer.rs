//! Removing a consumer transfers its pending entries to a new owner.

use futures_util::future::join;
use streamgate_protocol::limits::MAX_NAME_BYTES;

use super::claim::all_pending_for_ann;
use super::consume::stream_with_group;
use super::pending::{all_pending, list, summary};
use crate::fixture::{DirectRedis, Fixture, LONG_WAIT, code, ids, let_idle, started};

cases![
    transferred_entries_keep_their_idle_time_and_delivery_count,
    entries_of_other_consumers_stay,
    hundreds_of_entries_are_transferred,
    a_consumer_without_pending_entries_is_removed,
    removing_a_missing_consumer_succeeds,
    entries_delivered_during_the_removal_are_not_lost,
    a_removed_consumer_that_waits_still_receives_entries,
    a_missing_group_or_stream_is_rejected,
    a_consumer_cannot_be_its_own_new_owner,
    overlong_names_are_rejected,
    ;
    needs_redis:
    redis_no_longer_lists_the_consumer,
    deleted_entries_are_not_transferred,
];

/// Removes a consumer and returns the number of transferred entries.
async fn remove(f: &Fixture, key: &str, consumer: &str, new_owner: &str) -> u64 {
    f.backend
        .remove_consumer(key, "group", consumer, new_owner)
        .await
        .unwrap()
}

/// A transfer is not a delivery.
async fn transferred_entries_keep_their_idle_time_and_delivery_count(f: Fixture) {
    let (key, added) = all_pending_for_ann(&f, 3).await;
    f.backend
        .claim(&key, "group", "ann", 0, &added[1], 1)
        .await
        .unwrap();
    let_idle(200).await;
    assert_eq!(remove(&f, &key, "ann", "bob").await, 3);
    let expected = added.into_iter().zip([1, 2, 1]);
    let expected: Vec<_> = expected.map(|(id, n)| (id, "bob".to_owned(), n)).collect();
    assert_eq!(all_pending(&f, &key).await, expected);
    let entries = list(&f, &key, Default::default()).await;
    assert!(
        entries.iter().all(|entry| entry.idle_ms >= 195),
        "{entries:?}"
    );
}

/// Also those of the new owner.
async fn entries_of_other_consumers_stay(f: Fixture) {
    let (key, _) = all_pending_for_ann(&f, 2).await;
    for (consumer, n) in [("bob", 3), ("zoe", 1)] {
        f.add_in_sequence(&key, n).await.unwrap();
        f.read_group_now(&key, "group", consumer).await.unwrap();
    }
    assert_eq!(remove(&f, &key, "ann", "bob").await, 2);
    let consumers = summary(&f, &key).await.consumers;
    assert_eq!(consumers, [("bob".into(), 5), ("zoe".into(), 1)]);
}

/// However many steps the backend needs.
async fn hundreds_of_entries_are_transferred(f: Fixture) {
    for n in [99, 100, 101, 350] {
        let (key, _) = all_pending_for_ann(&f, n).await;
        assert_eq!(remove(&f, &key, "ann", "bob").await, n as u64);
        assert_eq!(
            summary(&f, &key).await.consumers,
            [("bob".into(), n as u64)]
        );
    }
}

/// It transfers nothing.
async fn a_consumer_without_pending_entries_is_removed(f: Fixture) {
    let (key, added) = all_pending_for_ann(&f, 2).await;
    f.backend.stream_ack(&key, "group", &added).await.unwrap();
    assert_eq!(remove(&f, &key, "ann", "bob").await, 0);
    assert_eq!(summary(&f, &key).await.count, 0);
}

/// As does removing one twice.
async fn removing_a_missing_consumer_succeeds(f: Fixture) {
    let (key, _) = all_pending_for_ann(&f, 2).await;
    assert_eq!(remove(&f, &key, "missing", "bob").await, 0);
    assert_eq!(remove(&f, &key, "ann", "bob").await, 2);
    assert_eq!(remove(&f, &key, "ann", "bob").await, 0);
    assert_eq!(summary(&f, &key).await.consumers, [("bob".into(), 2)]);
}

/// Every delivered entry is pending for one of the two consumers.
async fn entries_delivered_during_the_removal_are_not_lost(f: Fixture) {
    const N: usize = 600;
    let key = stream_with_group(&f).await;
    let added = f.add_concurrently(&key, N).await.unwrap();
    // Without `yield_now`, a backend that is always ready would finish all reads first.
    let reads = async {
        for _ in 0..N / 3 {
            f.backend
                .stream_read_group(&key, "group", "ann", 3, None)
                .await
                .unwrap();
            tokio::task::yield_now().await;
        }
    };
    let removals = async {
        let mut transferred = 0;
        for _ in 0..N / 3 {
            transferred += remove(&f, &key, "ann", "bob").await;
            tokio::task::yield_now().await;
        }
        transferred
    };
    let ((), transferred) = join(reads, removals).await;
    let rest = remove(&f, &key, "ann", "bob").await;
    assert_eq!(transferred + rest, N as u64);
    let pending = all_pending(&f, &key).await;
    let by_bob = pending
        .into_iter()
        .filter(|(_, consumer, n)| consumer == "bob" && *n == 1);
    assert_eq!(by_bob.map(|(id, ..)| id).collect::<Vec<_>>(), added);
}

/// The delivery creates the consumer again, as in Redis.
async fn a_removed_consumer_that_waits_still_receives_entries(f: Fixture) {
    let key = stream_with_group(&f).await;
    let waiting = started(
        f.backend
            .stream_read_group(&key, "group", "ann", 1, LONG_WAIT),
    );
    assert_eq!(remove(&f, &key, "ann", "bob").await, 0);
    let id = f.add(&key, "new").await.unwrap();
    assert_eq!(ids(&waiting.await.unwrap()), [&id]);
    assert_eq!(all_pending(&f, &key).await, [(id, "ann".to_owned(), 1)]);
    assert_eq!(remove(&f, &key, "ann", "bob").await, 1);
}

/// `NOGROUP`.
async fn a_missing_group_or_stream_is_rejected(f: Fixture) {
    let key = stream_with_group(&f).await;
    for (key, group) in [(&*key, "other"), (&*f.key(), "group")] {
        let removed = f.backend.remove_consumer(key, group, "ann", "bob").await;
        assert_eq!(code(&removed), "NOGROUP");
    }
}

/// Nothing changes.
async fn a_consumer_cannot_be_its_own_new_owner(f: Fixture) {
    let (key, _) = all_pending_for_ann(&f, 2).await;
    let removed = f.backend.remove_consumer(&key, "group", "ann", "ann").await;
    assert_eq!(code(&removed), "ERR");
    assert_eq!(summary(&f, &key).await.consumers, [("ann".into(), 2)]);
}

/// Stream, group, consumer and new owner.
async fn overlong_names_are_rejected(f: Fixture) {
    let (key, long) = (f.key(), "n".repeat(MAX_NAME_BYTES + 1));
    for place in 0..4 {
        let mut names = [&*key, "group", "ann", "bob"];
        names[place] = &long;
        let [stream, group, consumer, new_owner] = names;
        let removed = f
            .backend
            .remove_consumer(stream, group, consumer, new_owner)
            .await;
        assert_eq!(code(&removed), "LIMIT");
    }
}

/// The new owner is created only if it receives entries.
async fn redis_no_longer_lists_the_consumer(f: Fixture, redis: DirectRedis) {
    let (key, _) = all_pending_for_ann(&f, 150).await;
    f.read_group_now(&key, "group", "idle").await.unwrap();
    assert_eq!(remove(&f, &key, "ann", "bob").await, 150);
    assert_eq!(remove(&f, &key, "idle", "zoe").await, 0);
    let consumers: Vec<std::collections::HashMap<String, redis::Value>> = redis
        .send(&[b"XINFO", b"CONSUMERS", key.as_bytes(), b"group"])
        .await
        .unwrap();
    let name = |consumer: &std::collections::HashMap<String, redis::Value>| {
        redis::from_redis_value_ref::<String>(&consumer["name"]).unwrap()
    };
    assert_eq!(consumers.iter().map(name).collect::<Vec<_>>(), ["bob"]);
}

/// And they are no longer pending.
async fn deleted_entries_are_not_transferred(f: Fixture, redis: DirectRedis) {
    let (key, added) = all_pending_for_ann(&f, 3).await;
    let _: u64 = redis
        .send(&[b"XDEL", key.as_bytes(), added[1].as_bytes()])
        .await
        .unwrap();
    assert_eq!(remove(&f, &key, "ann", "bob").await, 2);
    assert_eq!(summary(&f, &key).await.consumers, [("bob".into(), 2)]);
}
