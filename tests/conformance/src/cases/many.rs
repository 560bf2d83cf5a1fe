//! A thousand waits at once.

use futures_util::future::{join, join_all, select_all};

use crate::fixture::{Fixture, LONG_WAIT, ids, parts, started};

cases![
    ;
    heavy:
    a_thousand_reads_of_one_stream_all_receive_the_entry,
    a_thousand_reads_of_a_thousand_streams_each_receive_their_entry,
    a_thousand_consumers_share_a_thousand_entries_in_order,
    a_thousand_waiting_reads_do_not_block_adds,
];

const N: usize = 1_000;

async fn a_thousand_reads_of_one_stream_all_receive_the_entry(f: Fixture) {
    let key = f.key();
    let waits = (0..N).map(|_| started(f.backend.stream_read(&key, "$", 1, LONG_WAIT)));
    let waits: Vec<_> = waits.collect();
    let (read, id) = join(join_all(waits), f.add(&key, "new")).await;
    let id = id.unwrap();
    for read in read {
        assert_eq!(ids(&read.unwrap()), [&id]);
    }
}

async fn a_thousand_reads_of_a_thousand_streams_each_receive_their_entry(f: Fixture) {
    let keys: Vec<_> = (0..N).map(|_| f.key()).collect();
    let waits = keys
        .iter()
        .map(|key| started(f.backend.stream_read(key, "$", 1, LONG_WAIT)));
    let waits: Vec<_> = waits.collect();
    let adds = join_all(keys.iter().map(|key| f.add(key, key)));
    let (read, added) = join(join_all(waits), adds).await;
    for ((read, added), key) in read.into_iter().zip(added).zip(&keys) {
        let entry = (added.unwrap(), vec![("value".to_owned(), key.clone())]);
        assert_eq!(read.unwrap(), [entry]);
    }
}

/// First come, first served, at any length of the queue.
async fn a_thousand_consumers_share_a_thousand_entries_in_order(f: Fixture) {
    let key = f.key();
    f.backend
        .stream_create_group(&key, "group", "$")
        .await
        .unwrap();
    let names: Vec<_> = (0..N).map(|i| format!("consumer{i}")).collect();
    let waits = names.iter().map(|name| {
        started(
            f.backend
                .stream_read_group(&key, "group", name, 1, LONG_WAIT),
        )
    });
    let waits: Vec<_> = waits.collect();
    let adds = join_all((0..N).map(|_| f.add(&key, "new")));
    let (delivered, added) = join(join_all(waits), adds).await;
    let delivered: Vec<_> = delivered
        .into_iter()
        .map(|delivered| delivered.unwrap()[0].0.clone())
        .collect();
    let added: Vec<_> = added.into_iter().map(Result::unwrap).collect();
    assert!(added.windows(2).all(|two| parts(&two[0]) < parts(&two[1])));
    assert_eq!(delivered, added);
}

/// Whether they wait on the same stream or on another.
async fn a_thousand_waiting_reads_do_not_block_adds(f: Fixture) {
    let (quiet, busy) = (f.key(), f.key());
    let waits = (0..N).map(|i| {
        let key = if i % 2 == 0 { &quiet } else { &busy };
        started(f.backend.stream_read(key, "99999999999999-1", 1, LONG_WAIT))
    });
    let waits: Vec<_> = waits.collect();
    // The first add may queue after all reads on its way to the backend.
    f.add(&busy, "first").await.unwrap();
    let adds = async {
        for _ in 0..20 {
            f.add(&busy, "more").await.unwrap();
        }
    };
    tokio::select! {
        read = select_all(waits) => unreachable!("a read completed: {:?}", read.0),
        () = adds => {}
    }
}
