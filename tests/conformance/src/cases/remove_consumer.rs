//! Consumers that are removed, and what they hold handed over.

use std::time::Duration;

use futures_util::future::join;
use streamgate_protocol::limits::MAX_NAME_BYTES;

use super::claim::held_by_ann;
use super::consume::group;
use super::pending::{held, list, summary};
use crate::fixture::{Fixture, LONG_WAIT, DirectRedis, started, code, ids};

cases![
    what_it_holds_is_handed_over_with_its_time_and_its_count,
    entries_that_the_new_owner_already_holds_stay_with_it,
    much_is_handed_over_in_the_end,
    a_consumer_that_holds_nothing_is_removed,
    a_consumer_that_is_missing_is_no_error,
    nothing_is_lost_that_it_is_given_meanwhile,
    one_that_waits_is_served_still,
    a_group_or_a_stream_that_is_missing_is_an_error,
    a_consumer_cannot_be_its_own_new_owner,
    names_that_are_too_long_are_refused,
    ;
    needs_redis:
    it_is_gone,
    what_was_deleted_is_not_handed_over,
];

async fn remove(f: &Fixture, key: &str, consumer: &str, new_owner: &str) -> u64 {
    f.backend.remove_consumer(key, "group", consumer, new_owner).await.unwrap()
}

/// It is no delivery.
async fn what_it_holds_is_handed_over_with_its_time_and_its_count(f: Fixture) {
    let (key, added) = held_by_ann(&f, 3).await;
    f.backend.claim(&key, "group", "ann", 0, &added[1], 1).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(remove(&f, &key, "ann", "bob").await, 3);
    let expected = added.into_iter().zip([1, 2, 1]);
    let expected: Vec<_> = expected.map(|(id, n)| (id, "bob".to_owned(), n)).collect();
    assert_eq!(held(&f, &key).await, expected);
    let entries = list(&f, &key, Default::default()).await;
    assert!(entries.iter().all(|entry| entry.idle_ms >= 195), "{entries:?}");
}

/// And what others hold with them.
async fn entries_that_the_new_owner_already_holds_stay_with_it(f: Fixture) {
    let (key, _) = held_by_ann(&f, 2).await;
    for (consumer, n) in [("bob", 3), ("zoe", 1)] {
        f.add_in_sequence(&key, n).await.unwrap();
        f.read_group_now(&key, "group", consumer).await.unwrap();
    }
    assert_eq!(remove(&f, &key, "ann", "bob").await, 2);
    let consumers = summary(&f, &key).await.consumers;
    assert_eq!(consumers, [("bob".to_owned(), 5), ("zoe".to_owned(), 1)]);
}

/// However many steps it takes.
async fn much_is_handed_over_in_the_end(f: Fixture) {
    for n in [99, 100, 101, 350] {
        let (key, _) = held_by_ann(&f, n).await;
        assert_eq!(remove(&f, &key, "ann", "bob").await, n as u64);
        assert_eq!(summary(&f, &key).await.consumers, [("bob".to_owned(), n as u64)]);
    }
}

/// And hands over nothing.
async fn a_consumer_that_holds_nothing_is_removed(f: Fixture) {
    let (key, added) = held_by_ann(&f, 2).await;
    f.backend.stream_ack(&key, "group", &added).await.unwrap();
    assert_eq!(remove(&f, &key, "ann", "bob").await, 0);
    assert_eq!(summary(&f, &key).await.count, 0);
}

/// Nor is one that was removed.
async fn a_consumer_that_is_missing_is_no_error(f: Fixture) {
    let (key, _) = held_by_ann(&f, 2).await;
    assert_eq!(remove(&f, &key, "nobody", "bob").await, 0);
    assert_eq!(remove(&f, &key, "ann", "bob").await, 2);
    assert_eq!(remove(&f, &key, "ann", "bob").await, 0);
    assert_eq!(summary(&f, &key).await.consumers, [("bob".to_owned(), 2)]);
}

/// Everything that was given is pending for somebody.
async fn nothing_is_lost_that_it_is_given_meanwhile(f: Fixture) {
    const N: usize = 600;
    let key = group(&f).await;
    let added = f.add_concurrently(&key, N).await.unwrap();
    // A backend that is always ready would do one behind the other.
    let reads = async {
        for _ in 0..N / 3 {
            f.backend.stream_read_group(&key, "group", "ann", 3, None).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let removals = async {
        let mut handed_over = 0;
        for _ in 0..N / 3 {
            handed_over += remove(&f, &key, "ann", "bob").await;
            tokio::task::yield_now().await;
        }
        handed_over
    };
    let ((), handed_over) = join(reads, removals).await;
    let rest = remove(&f, &key, "ann", "bob").await;
    assert_eq!(handed_over + rest, N as u64);
    let held = held(&f, &key).await;
    let by_bob = held.into_iter().filter(|(_, who, n)| who == "bob" && *n == 1);
    assert_eq!(by_bob.map(|(id, ..)| id).collect::<Vec<_>>(), added);
}

/// It is made anew then, as Redis does.
async fn one_that_waits_is_served_still(f: Fixture) {
    let key = group(&f).await;
    let waiting = started(f.backend.stream_read_group(&key, "group", "ann", 1, LONG_WAIT));
    assert_eq!(remove(&f, &key, "ann", "bob").await, 0);
    let id = f.add(&key, "new").await.unwrap();
    assert_eq!(ids(&waiting.await.unwrap()), [&id]);
    assert_eq!(held(&f, &key).await, [(id, "ann".to_owned(), 1)]);
    assert_eq!(remove(&f, &key, "ann", "bob").await, 1);
}

/// `NOGROUP`.
async fn a_group_or_a_stream_that_is_missing_is_an_error(f: Fixture) {
    let key = group(&f).await;
    for (key, group) in [(&*key, "other"), (&*f.key(), "group")] {
        let removed = f.backend.remove_consumer(key, group, "ann", "bob").await;
        assert_eq!(code(&removed), "NOGROUP");
    }
}

/// And stays what it is.
async fn a_consumer_cannot_be_its_own_new_owner(f: Fixture) {
    let (key, _) = held_by_ann(&f, 2).await;
    let removed = f.backend.remove_consumer(&key, "group", "ann", "ann").await;
    assert_eq!(code(&removed), "ERR");
    assert_eq!(summary(&f, &key).await.consumers, [("ann".to_owned(), 2)]);
}

/// Each of the four.
async fn names_that_are_too_long_are_refused(f: Fixture) {
    let (key, long) = (f.key(), "n".repeat(MAX_NAME_BYTES + 1));
    for place in 0..4 {
        let mut names = [&*key, "group", "ann", "bob"];
        names[place] = &long;
        let [stream, group, consumer, new_owner] = names;
        let removed = f.backend.remove_consumer(stream, group, consumer, new_owner).await;
        assert_eq!(code(&removed), "LIMIT");
    }
}

/// And its new owner is there only if there was something to hand over.
async fn it_is_gone(f: Fixture, redis: DirectRedis) {
    let (key, _) = held_by_ann(&f, 150).await;
    f.read_group_now(&key, "group", "idle").await.unwrap();
    assert_eq!(remove(&f, &key, "ann", "bob").await, 150);
    assert_eq!(remove(&f, &key, "idle", "zoe").await, 0);
    let consumers: Vec<std::collections::HashMap<String, redis::Value>> =
        redis.send(&[b"XINFO", b"CONSUMERS", key.as_bytes(), b"group"]).await.unwrap();
    let name = |consumer: &std::collections::HashMap<String, redis::Value>| {
        redis::from_redis_value_ref::<String>(&consumer["name"]).unwrap()
    };
    assert_eq!(consumers.iter().map(name).collect::<Vec<_>>(), ["bob"]);
}

/// Nor is it pending any more.
async fn what_was_deleted_is_not_handed_over(f: Fixture, redis: DirectRedis) {
    let (key, added) = held_by_ann(&f, 3).await;
    let _: u64 = redis.send(&[b"XDEL", key.as_bytes(), added[1].as_bytes()]).await.unwrap();
    assert_eq!(remove(&f, &key, "ann", "bob").await, 2);
    assert_eq!(summary(&f, &key).await.consumers, [("bob".to_owned(), 2)]);
}
