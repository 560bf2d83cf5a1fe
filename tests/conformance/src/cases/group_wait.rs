//! `XREADGROUP … BLOCK`: waiting group reads.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::{join, join_all, join3};

use crate::fixture::{
    DirectRedis, Fixture, LONG_WAIT, assert_keeps_waiting, ids, parts, settle, started,
};

cases![
    an_entry_ends_a_wait,
    a_wait_without_a_limit_lasts_until_an_entry,
    an_entry_is_delivered_to_one_waiting_consumer,
    waiting_consumers_are_served_in_order,
    a_consumer_that_waits_again_joins_the_end_of_the_queue,
    waits_of_one_consumer_are_served_in_order,
    waiting_groups_and_readers_all_receive_the_entry,
    each_group_has_its_own_queue,
    a_wait_that_timed_out_leaves_the_queue,
    waiting_consumers_share_all_entries,
    a_wait_ended_by_many_entries_respects_its_count,
    a_group_created_at_dollar_misses_no_later_entry,
    a_wait_that_nobody_polls_delays_no_other,
    ;
    needs_redis:
    an_entry_added_directly_to_redis_ends_a_wait,
    an_entry_delivered_to_another_program_ends_no_wait,
];

/// Creates a stream with a group, `group`, that starts with the next entry.
async fn group(f: &Fixture) -> String {
    let key = f.key();
    f.backend
        .stream_create_group(&key, "group", "$")
        .await
        .unwrap();
    key
}

/// The wait returns the entry, long before its limit.
async fn an_entry_ends_a_wait(f: Fixture) {
    let key = group(&f).await;
    let wait = started(
        f.backend
            .stream_read_group(&key, "group", "consumer", 10, LONG_WAIT),
    );
    let add = async {
        settle().await;
        f.add(&key, "new").await.unwrap()
    };
    let (delivered, id) = join(wait, add).await;
    assert_eq!(ids(&delivered.unwrap()), [&id]);
}

/// `BLOCK 0` has no limit.
async fn a_wait_without_a_limit_lasts_until_an_entry(f: Fixture) {
    let key = group(&f).await;
    let mut wait = started(
        f.backend
            .stream_read_group(&key, "group", "consumer", 1, Some(0)),
    );
    assert_keeps_waiting(&mut wait, 1_500).await;
    let (delivered, id) = join(wait, f.add(&key, "new")).await;
    assert_eq!(ids(&delivered.unwrap()), [id.unwrap()]);
}

/// The wait of the other one ends empty.
async fn an_entry_is_delivered_to_one_waiting_consumer(f: Fixture) {
    let key = group(&f).await;
    let first = started(
        f.backend
            .stream_read_group(&key, "group", "first", 10, Some(1_500)),
    );
    let second = started(
        f.backend
            .stream_read_group(&key, "group", "second", 10, Some(1_500)),
    );
    let (first, second, id) = join3(first, second, f.add(&key, "new")).await;
    assert_eq!(ids(&first.unwrap()), [id.unwrap()]);
    assert_eq!(second.unwrap(), []);
}

/// First come, first served: the i-th entry goes to the i-th consumer.
async fn waiting_consumers_are_served_in_order(f: Fixture) {
    let key = group(&f).await;
    let names: Vec<_> = (0..8).map(|i| format!("consumer{i}")).collect();
    let waits = names.iter().map(|name| {
        started(
            f.backend
                .stream_read_group(&key, "group", name, 1, LONG_WAIT),
        )
    });
    let waits: Vec<_> = waits.collect();
    let (delivered, added) = join(join_all(waits), f.add_in_sequence(&key, 8)).await;
    let delivered: Vec<_> = delivered
        .into_iter()
        .map(|delivered| delivered.unwrap()[0].0.clone())
        .collect();
    assert_eq!(delivered, added.unwrap());
}

/// A wait that was never polled does nothing. One that was polled once keeps its turn, and no more.
async fn a_wait_that_nobody_polls_delays_no_other(f: Fixture) {
    const WAKES: usize = 20;
    let key = group(&f).await;
    let wait = |name| {
        f.backend
            .stream_read_group(&key, "group", name, 1, LONG_WAIT)
    };
    let never = wait("never");
    let once = started(wait("once"));
    let first = f.add(&key, "first").await.unwrap();
    for n in 0..WAKES {
        let another = started(wait("another"));
        let id = f.add(&key, &n.to_string()).await.unwrap();
        assert_eq!(ids(&another.await.unwrap()), [&id]);
    }
    assert_eq!(ids(&once.await.unwrap()), [&first]);
    drop(never);
}

/// No consumer is preferred.
async fn a_consumer_that_waits_again_joins_the_end_of_the_queue(f: Fixture) {
    let key = group(&f).await;
    let wait = |name| {
        f.backend
            .stream_read_group(&key, "group", name, 1, LONG_WAIT)
    };
    let (first, second) = (started(wait("first")), started(wait("second")));
    let one = f.add(&key, "1").await.unwrap();
    assert_eq!(ids(&first.await.unwrap()), [one]);
    let again = started(wait("first"));
    let two = f.add(&key, "2").await.unwrap();
    assert_eq!(ids(&second.await.unwrap()), [two]);
    let three = f.add(&key, "3").await.unwrap();
    assert_eq!(ids(&again.await.unwrap()), [three]);
}

/// A consumer may wait several times at once, with a place in the queue for each wait.
async fn waits_of_one_consumer_are_served_in_order(f: Fixture) {
    let key = group(&f).await;
    let wait = || {
        started(
            f.backend
                .stream_read_group(&key, "group", "same", 1, LONG_WAIT),
        )
    };
    let waits = [wait(), wait(), wait()];
    let (delivered, added) = join(join_all(waits), f.add_in_sequence(&key, 3)).await;
    let delivered: Vec<_> = delivered
        .into_iter()
        .map(|delivered| delivered.unwrap()[0].0.clone())
        .collect();
    assert_eq!(delivered, added.unwrap());
}

/// One consumer of each group, and every plain read.
async fn waiting_groups_and_readers_all_receive_the_entry(f: Fixture) {
    let key = f.key();
    for group in ["one", "two"] {
        f.backend
            .stream_create_group(&key, group, "$")
            .await
            .unwrap();
    }
    let waits = [
        started(
            f.backend
                .stream_read_group(&key, "one", "consumer", 10, LONG_WAIT),
        ),
        started(f.backend.stream_read(&key, "$", 10, LONG_WAIT)),
        started(
            f.backend
                .stream_read_group(&key, "two", "consumer", 10, LONG_WAIT),
        ),
        started(f.backend.stream_read(&key, "0", 10, LONG_WAIT)),
    ];
    let (received, id) = join(join_all(waits), f.add(&key, "new")).await;
    let id = id.unwrap();
    for received in received {
        assert_eq!(ids(&received.unwrap()), [&id]);
    }
}

/// Waiting in one group does not delay another.
async fn each_group_has_its_own_queue(f: Fixture) {
    let key = f.key();
    for group in ["one", "two"] {
        f.backend
            .stream_create_group(&key, group, "$")
            .await
            .unwrap();
    }
    let wait = |group, name| started(f.backend.stream_read_group(&key, group, name, 1, LONG_WAIT));
    let waits = [
        wait("one", "a"),
        wait("one", "b"),
        wait("two", "a"),
        wait("two", "b"),
    ];
    let (received, added) = join(join_all(waits), f.add_in_sequence(&key, 2)).await;
    let received: Vec<_> = received
        .into_iter()
        .map(|received| received.unwrap()[0].0.clone())
        .collect();
    assert_eq!(
        received,
        [added.as_ref().unwrap().clone(), added.unwrap()].concat()
    );
}

/// The next wait in the queue receives the entry.
async fn a_wait_that_timed_out_leaves_the_queue(f: Fixture) {
    let key = group(&f).await;
    let short = started(
        f.backend
            .stream_read_group(&key, "group", "short", 1, Some(200)),
    );
    let long = started(
        f.backend
            .stream_read_group(&key, "group", "long", 1, LONG_WAIT),
    );
    assert_eq!(short.await.unwrap(), []);
    let id = f.add(&key, "new").await.unwrap();
    assert_eq!(ids(&long.await.unwrap()), [id]);
}

/// Each entry is delivered once while entries are being added.
async fn waiting_consumers_share_all_entries(f: Fixture) {
    const N: usize = 300;
    let key = group(&f).await;
    let total = AtomicUsize::new(0);
    let consumer = |i: usize| {
        let (f, key, total) = (&f, &key, &total);
        async move {
            let name = format!("consumer{i}");
            let mut received = Vec::new();
            let mut waits = 0;
            while total.load(Ordering::Relaxed) < N {
                waits += 1;
                assert!(waits <= 2 * N, "the waits end early and empty");
                let wait = f
                    .backend
                    .stream_read_group(key, "group", &name, i, Some(300));
                let delivered = wait.await.unwrap();
                assert!(delivered.len() <= i);
                total.fetch_add(delivered.len(), Ordering::Relaxed);
                received.extend(delivered.into_iter().map(|(id, _)| id));
            }
            received
        }
    };
    let (received, added) = join(join_all((1..5).map(consumer)), f.add_in_sequence(&key, N)).await;
    let mut received = received.concat();
    received.sort_by_key(|id| parts(id));
    assert_eq!(received, added.unwrap());
}

/// The remaining entries go to the next consumer.
async fn a_wait_ended_by_many_entries_respects_its_count(f: Fixture) {
    let key = group(&f).await;
    let wait = started(
        f.backend
            .stream_read_group(&key, "group", "consumer", 2, LONG_WAIT),
    );
    let adds = join_all((0..20).map(|_| f.add(&key, "new")));
    let (delivered, added) = join(wait, adds).await;
    let delivered = delivered.unwrap();
    assert!(
        (1..=2).contains(&delivered.len()),
        "{} entries",
        delivered.len()
    );
    let added: Vec<_> = added.into_iter().map(Result::unwrap).collect();
    assert_eq!(ids(&delivered), added[..delivered.len()]);
    let rest = f.read_group_now(&key, "group", "another").await.unwrap();
    assert_eq!(ids(&rest), added[delivered.len()..]);
}

/// Its position is set by the creation, not by the first read.
async fn a_group_created_at_dollar_misses_no_later_entry(f: Fixture) {
    for _ in 0..20 {
        let key = f.key();
        f.add_in_sequence(&key, 1).await.unwrap();
        let (created, id, delivered) = join3(
            f.backend.stream_create_group(&key, "group", "$"),
            f.add(&key, "new"),
            f.backend
                .stream_read_group(&key, "group", "consumer", 10, LONG_WAIT),
        )
        .await;
        created.unwrap();
        assert_eq!(ids(&delivered.unwrap()), [id.unwrap()]);
    }
}

async fn an_entry_added_directly_to_redis_ends_a_wait(f: Fixture, redis: DirectRedis) {
    let key = group(&f).await;
    let wait = started(
        f.backend
            .stream_read_group(&key, "group", "consumer", 1, LONG_WAIT),
    );
    let add = async {
        settle().await;
        redis
            .send::<String>(&[b"XADD", key.as_bytes(), b"*", b"a", b"1"])
            .await
            .unwrap()
    };
    let (delivered, id) = join(wait, add).await;
    assert_eq!(ids(&delivered.unwrap()), [id]);
}

/// A consumer outside of the backend may be faster; the wait continues.
async fn an_entry_delivered_to_another_program_ends_no_wait(f: Fixture, redis: DirectRedis) {
    let key = group(&f).await;
    let wait = started(
        f.backend
            .stream_read_group(&key, "group", "consumer", 1, LONG_WAIT),
    );
    // A script is atomic: nothing runs between the two commands.
    let script = b"redis.call('XADD', KEYS[1], '*', 'a', '1') \
        return #redis.call('XREADGROUP', 'GROUP', 'group', 'other', 'STREAMS', KEYS[1], '>')";
    let delivered: u64 = redis
        .send(&[b"EVAL", script, b"1", key.as_bytes()])
        .await
        .unwrap();
    assert_eq!(delivered, 1);
    let id = f.add(&key, "next").await.unwrap();
    assert_eq!(ids(&wait.await.unwrap()), [id]);
}
