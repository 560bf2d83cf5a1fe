//! `XREAD`: the ids it accepts.

use streamgate_protocol::error::code as codes;
use streamgate_protocol::limits::MAX_ID_BYTES;

use crate::fixture::{DirectRedis, Fixture, LONG_WAIT, code, ids, parts};
use crate::malformed_ids::not_a_start;

cases![
    zero_reads_from_the_beginning,
    the_given_id_is_exclusive,
    ms_alone_means_sequence_0,
    leading_zeros_are_ignored,
    an_id_between_two_entries_returns_the_second,
    an_id_beyond_the_end_returns_nothing,
    dollar_without_block_returns_nothing,
    a_malformed_id_is_rejected,
    a_malformed_id_is_rejected_on_a_missing_key,
    a_malformed_id_is_rejected_before_waiting,
    an_overlong_id_is_rejected,
    ;
    needs_redis:
    ids_are_ordered_as_numbers,
    the_id_of_a_deleted_entry_is_still_a_position,
];

/// `0` and `0-0` are below every id.
async fn zero_reads_from_the_beginning(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    for id in ["0", "0-0"] {
        assert_eq!(ids(&f.read(&key, id).await.unwrap()), added, "{id}");
    }
}

async fn the_given_id_is_exclusive(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    assert_eq!(ids(&f.read(&key, &added[0]).await.unwrap()), added[1..]);
    assert_eq!(f.read(&key, &added[2]).await.unwrap(), []);
}

/// `ms` is `ms-0`: below `ms-1`, not below `ms-0`.
async fn ms_alone_means_sequence_0(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 20).await.unwrap();
    for id in &added {
        let (ms, _) = parts(id);
        let expected: Vec<_> = added.iter().filter(|id| parts(id) > (ms, 0)).collect();
        assert_eq!(ids(&f.read(&key, &ms.to_string()).await.unwrap()), expected);
    }
}

/// `05-03` is `5-3`.
async fn leading_zeros_are_ignored(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 2).await.unwrap();
    let (ms, seq) = parts(&added[0]);
    assert_eq!(
        ids(&f.read(&key, &format!("00{ms}-0{seq}")).await.unwrap()),
        added[1..]
    );
    assert_eq!(ids(&f.read(&key, "00").await.unwrap()), added);
}

/// The id need not be that of an entry.
async fn an_id_between_two_entries_returns_the_second(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 2).await.unwrap();
    let (ms, seq) = parts(&added[0]);
    let below = if seq == 0 {
        format!("{}-{}", ms - 1, u64::MAX)
    } else {
        format!("{ms}-{}", seq - 1)
    };
    assert_eq!(ids(&f.read(&key, &below).await.unwrap()), added);
    let (ms, seq) = parts(&added[1]);
    assert_eq!(
        f.read(&key, &format!("{ms}-{}", seq + 1)).await.unwrap(),
        []
    );
}

/// Up to the greatest id.
async fn an_id_beyond_the_end_returns_nothing(f: Fixture) {
    let key = f.key();
    f.add_in_sequence(&key, 2).await.unwrap();
    for id in [
        "99999999999999",
        "18446744073709551615",
        "18446744073709551615-18446744073709551615",
    ] {
        assert_eq!(f.read(&key, id).await.unwrap(), [], "{id}");
    }
}

/// No entry has a greater id than the last one.
async fn dollar_without_block_returns_nothing(f: Fixture) {
    let key = f.key();
    f.add_in_sequence(&key, 2).await.unwrap();
    assert_eq!(f.read(&key, "$").await.unwrap(), []);
}

/// `ERR`, and the backend stays usable.
async fn a_malformed_id_is_rejected(f: Fixture) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 2).await.unwrap();
    for id in not_a_start() {
        assert_eq!(code(&f.read(&key, id).await), codes::ERR, "{id:?}");
    }
    assert_eq!(ids(&f.read(&key, "0").await.unwrap()), added);
}

/// Redis parses ids before it looks up the key.
async fn a_malformed_id_is_rejected_on_a_missing_key(f: Fixture) {
    for id in not_a_start() {
        assert_eq!(code(&f.read(&f.key(), id).await), codes::ERR, "{id:?}");
    }
}

async fn a_malformed_id_is_rejected_before_waiting(f: Fixture) {
    for id in not_a_start() {
        let rejected = f.backend.stream_read(&f.key(), id, 1, LONG_WAIT).await;
        assert_eq!(code(&rejected), codes::ERR, "{id:?}");
    }
}

/// Even if it has digits only.
async fn an_overlong_id_is_rejected(f: Fixture) {
    let digits = "1".repeat(MAX_ID_BYTES + 1);
    assert_eq!(code(&f.read(&f.key(), &digits).await), codes::ERR);
    let megabyte = "1".repeat(1024 * 1024);
    assert_eq!(code(&f.read(&f.key(), &megabyte).await), codes::ERR);
}

/// `9-10` is after `9-9`, and `10-0` after both.
async fn ids_are_ordered_as_numbers(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let added = ["9-9", "9-10", "10-0", "10-18446744073709551615", "100-1"];
    for id in added {
        let _: String = redis
            .send(&[b"XADD", key.as_bytes(), id.as_bytes(), b"a", b"1"])
            .await
            .unwrap();
    }
    for (i, id) in added.iter().enumerate() {
        assert_eq!(
            ids(&f.read(&key, id).await.unwrap()),
            added[i + 1..],
            "{id}"
        );
    }
    assert_eq!(ids(&f.read(&key, "9").await.unwrap()), added);
    assert_eq!(ids(&f.read(&key, "10").await.unwrap()), added[3..]);
    let latest = f.backend.stream_read_latest(&key, 10).await.unwrap();
    assert!(ids(&latest).into_iter().rev().eq(added));
}

/// A reader may continue after an entry that was deleted meanwhile.
async fn the_id_of_a_deleted_entry_is_still_a_position(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let added = f.add_in_sequence(&key, 3).await.unwrap();
    let deleted: u64 = redis
        .send(&[b"XDEL", key.as_bytes(), added[1].as_bytes()])
        .await
        .unwrap();
    assert_eq!(deleted, 1);
    assert_eq!(ids(&f.read(&key, &added[1]).await.unwrap()), [&added[2]]);
    assert_eq!(
        ids(&f.read(&key, "0").await.unwrap()),
        [&added[0], &added[2]]
    );
}
