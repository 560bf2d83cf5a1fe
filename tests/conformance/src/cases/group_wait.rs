//! `XREADGROUP … BLOCK`: consumers that wait.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{join, join3, join_all};

use crate::fixture::{Fixture, LONG_WAIT, DirectRedis, started, ids, parts};

cases![
    an_entry_ends_a_wait,
    a_wait_without_a_limit_lasts_until_an_entry,
    an_entry_goes_to_one_waiting_consumer,
    waiting_consumers_are_served_in_the_order_they_came,
    a_consumer_that_asks_again_goes_to_the_end_of_the_queue,
    consumers_of_one_name_are_served_in_turn,
    waiting_groups_and_readers_all_get_the_entry,
    groups_queue_apart,
    a_consumer_whose_wait_ended_is_out_of_the_queue,
    consumers_that_go_on_waiting_share_everything,
    a_wait_ended_by_many_entries_keeps_to_its_count,
    a_group_created_at_dollar_misses_nothing_added_after,
    ;
    needs_redis:
    an_entry_that_redis_was_given_directly_ends_a_wait,
    an_entry_that_another_program_took_ends_no_wait,
];

async fn group(f: &Fixture) -> String {
    let key = f.key();
    f.backend.stream_create_group(&key, "group", "$").await.unwrap();
    key
}

/// The wait returns the entry, long before its limit.
async fn an_entry_ends_a_wait(f: Fixture) {
    let key = group(&f).await;
    let start = Instant::now();
    let wait = started(f.backend.stream_read_group(&key, "group", "consumer", 10, LONG_WAIT));
    let add = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        f.add(&key, "new").await.unwrap()
    };
    let (taken, id) = join(wait, add).await;
    assert_eq!(ids(&taken.unwrap()), [&id]);
    assert!(start.elapsed() >= Duration::from_millis(300));
}

/// BLOCK 0 waits for as long as it takes.
async fn a_wait_without_a_limit_lasts_until_an_entry(f: Fixture) {
    let key = group(&f).await;
    let mut wait = started(f.backend.stream_read_group(&key, "group", "consumer", 1, Some(0)));
    let early = tokio::time::timeout(Duration::from_millis(1_500), &mut wait).await;
    assert!(early.is_err(), "ended without an entry: {early:?}");
    let (taken, id) = join(wait, f.add(&key, "new")).await;
    assert_eq!(ids(&taken.unwrap()), [id.unwrap()]);
}

/// The other's wait ends empty.
async fn an_entry_goes_to_one_waiting_consumer(f: Fixture) {
    let key = group(&f).await;
    let first = started(f.backend.stream_read_group(&key, "group", "first", 10, Some(1_500)));
    let second = started(f.backend.stream_read_group(&key, "group", "second", 10, Some(1_500)));
    let (first, second, id) = join3(first, second, f.add(&key, "new")).await;
    assert_eq!(ids(&first.unwrap()), [id.unwrap()]);
    assert_eq!(second.unwrap(), []);
}

/// First come, first served: the i-th entry goes to the i-th consumer.
async fn waiting_consumers_are_served_in_the_order_they_came(f: Fixture) {
    let key = group(&f).await;
    let names: Vec<_> = (0..8).map(|i| format!("consumer{i}")).collect();
    let waits = names
        .iter()
        .map(|name| started(f.backend.stream_read_group(&key, "group", name, 1, LONG_WAIT)));
    let waits: Vec<_> = waits.collect();
    let (taken, added) = join(join_all(waits), f.add_in_sequence(&key, 8)).await;
    let taken: Vec<_> = taken.into_iter().map(|taken| taken.unwrap()[0].0.clone()).collect();
    assert_eq!(taken, added.unwrap());
}

/// A queue, not a favourite.
async fn a_consumer_that_asks_again_goes_to_the_end_of_the_queue(f: Fixture) {
    let key = group(&f).await;
    let wait = |name| f.backend.stream_read_group(&key, "group", name, 1, LONG_WAIT);
    let (first, second) = (started(wait("first")), started(wait("second")));
    let one = f.add(&key, "1").await.unwrap();
    assert_eq!(ids(&first.await.unwrap()), [one]);
    let again = started(wait("first"));
    let two = f.add(&key, "2").await.unwrap();
    assert_eq!(ids(&second.await.unwrap()), [two]);
    let three = f.add(&key, "3").await.unwrap();
    assert_eq!(ids(&again.await.unwrap()), [three]);
}

/// A name is not a place in the queue.
async fn consumers_of_one_name_are_served_in_turn(f: Fixture) {
    let key = group(&f).await;
    let wait = || started(f.backend.stream_read_group(&key, "group", "same", 1, LONG_WAIT));
    let waits = [wait(), wait(), wait()];
    let (taken, added) = join(join_all(waits), f.add_in_sequence(&key, 3)).await;
    let taken: Vec<_> = taken.into_iter().map(|taken| taken.unwrap()[0].0.clone()).collect();
    assert_eq!(taken, added.unwrap());
}

/// One entry: one consumer of each group, and every reader.
async fn waiting_groups_and_readers_all_get_the_entry(f: Fixture) {
    let key = f.key();
    for group in ["one", "two"] {
        f.backend.stream_create_group(&key, group, "$").await.unwrap();
    }
    let waits = [
        started(f.backend.stream_read_group(&key, "one", "consumer", 10, LONG_WAIT)),
        started(f.backend.stream_read(&key, "$", 10, LONG_WAIT)),
        started(f.backend.stream_read_group(&key, "two", "consumer", 10, LONG_WAIT)),
        started(f.backend.stream_read(&key, "0", 10, LONG_WAIT)),
    ];
    let (got, id) = join(join_all(waits), f.add(&key, "new")).await;
    let id = id.unwrap();
    for got in got {
        assert_eq!(ids(&got.unwrap()), [&id]);
    }
}

/// Waiting in one group does not hold up another.
async fn groups_queue_apart(f: Fixture) {
    let key = f.key();
    for group in ["one", "two"] {
        f.backend.stream_create_group(&key, group, "$").await.unwrap();
    }
    let wait = |group, name| started(f.backend.stream_read_group(&key, group, name, 1, LONG_WAIT));
    let waits = [wait("one", "a"), wait("one", "b"), wait("two", "a"), wait("two", "b")];
    let (got, added) = join(join_all(waits), f.add_in_sequence(&key, 2)).await;
    let got: Vec<_> = got.into_iter().map(|got| got.unwrap()[0].0.clone()).collect();
    assert_eq!(got, [added.as_ref().unwrap().clone(), added.unwrap()].concat());
}

/// It is handed nothing any more; the one behind it is next.
async fn a_consumer_whose_wait_ended_is_out_of_the_queue(f: Fixture) {
    let key = group(&f).await;
    let short = started(f.backend.stream_read_group(&key, "group", "short", 1, Some(200)));
    let long = started(f.backend.stream_read_group(&key, "group", "long", 1, LONG_WAIT));
    assert_eq!(short.await.unwrap(), []);
    let id = f.add(&key, "new").await.unwrap();
    assert_eq!(ids(&long.await.unwrap()), [id]);
}

/// None missing, none twice, while entries come.
async fn consumers_that_go_on_waiting_share_everything(f: Fixture) {
    const N: usize = 300;
    let key = group(&f).await;
    let given = AtomicUsize::new(0);
    let consumer = |i: usize| {
        let (f, key, given) = (&f, &key, &given);
        async move {
            let name = format!("consumer{i}");
            let mut got = Vec::new();
            let mut asked = 0;
            while given.load(Ordering::Relaxed) < N {
                asked += 1;
                assert!(asked <= 2 * N, "waits end at once, and empty");
                let wait = f.backend.stream_read_group(key, "group", &name, i, Some(300));
                let taken = wait.await.unwrap();
                assert!(taken.len() <= i);
                given.fetch_add(taken.len(), Ordering::Relaxed);
                got.extend(taken.into_iter().map(|(id, _)| id));
            }
            got
        }
    };
    let (got, added) = join(join_all((1..5).map(consumer)), f.add_in_sequence(&key, N)).await;
    let mut got = got.concat();
    got.sort_by_key(|id| parts(id));
    assert_eq!(got, added.unwrap());
}

/// COUNT holds for an answer that was waited for, and what is over goes to the next.
async fn a_wait_ended_by_many_entries_keeps_to_its_count(f: Fixture) {
    let key = group(&f).await;
    let wait = started(f.backend.stream_read_group(&key, "group", "consumer", 2, LONG_WAIT));
    let adds = join_all((0..20).map(|_| f.add(&key, "new")));
    let (taken, added) = join(wait, adds).await;
    let taken = taken.unwrap();
    assert!((1..=2).contains(&taken.len()), "{} entries", taken.len());
    let added: Vec<_> = added.into_iter().map(Result::unwrap).collect();
    assert_eq!(ids(&taken), added[..taken.len()]);
    let rest = f.read_group_now(&key, "group", "another").await.unwrap();
    assert_eq!(ids(&rest), added[taken.len()..]);
}

/// From the creation on, not from the first read on.
async fn a_group_created_at_dollar_misses_nothing_added_after(f: Fixture) {
    for _ in 0..20 {
        let key = f.key();
        f.add_in_sequence(&key, 1).await.unwrap();
        let (created, id, taken) = join3(
            f.backend.stream_create_group(&key, "group", "$"),
            f.add(&key, "new"),
            f.backend.stream_read_group(&key, "group", "consumer", 10, LONG_WAIT),
        )
        .await;
        created.unwrap();
        assert_eq!(ids(&taken.unwrap()), [id.unwrap()]);
    }
}

/// Whoever adds.
async fn an_entry_that_redis_was_given_directly_ends_a_wait(f: Fixture, redis: DirectRedis) {
    let key = group(&f).await;
    let wait = started(f.backend.stream_read_group(&key, "group", "consumer", 1, LONG_WAIT));
    let add = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        redis.send::<String>(&[b"XADD", key.as_bytes(), b"*", b"a", b"1"]).await.unwrap()
    };
    let (taken, id) = join(wait, add).await;
    assert_eq!(ids(&taken.unwrap()), [id]);
}

/// A consumer outside of the backend may be quicker; the wait goes on.
async fn an_entry_that_another_program_took_ends_no_wait(f: Fixture, redis: DirectRedis) {
    let key = group(&f).await;
    let wait = started(f.backend.stream_read_group(&key, "group", "consumer", 1, LONG_WAIT));
    // One transaction: nobody is asked between the two.
    let script = b"redis.call('XADD', KEYS[1], '*', 'a', '1') \
        return #redis.call('XREADGROUP', 'GROUP', 'group', 'other', 'STREAMS', KEYS[1], '>')";
    let took: u64 = redis.send(&[b"EVAL", script, b"1", key.as_bytes()]).await.unwrap();
    assert_eq!(took, 1);
    let id = f.add(&key, "next").await.unwrap();
    assert_eq!(ids(&wait.await.unwrap()), [id]);
}
