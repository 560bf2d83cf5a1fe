//! `read_pending`: reads a consumer's pending entries. It counts no delivery.

use std::sync::Arc;

use streamgate_protocol::error::code as codes;
use streamgate_protocol::{CacheResult, Operation, StreamEntry};

use super::claim::all_pending_for_ann;
use super::pending::{all_pending, list};
use crate::fixture::{Fixture, Operations, as_text, code, ids, let_idle, values};
use crate::malformed_ids::not_an_id;

cases![
    ;
    needs_operations:
    a_read_counts_no_delivery_and_resets_no_idle_time,
    a_read_returns_the_fields_of_every_entry,
    a_read_starts_strictly_after_its_id,
    a_read_respects_its_count,
    a_read_without_a_limit_returns_more_than_a_page,
    a_read_leaves_out_what_it_is_told_to,
    a_read_returns_the_entries_of_its_consumer_only,
    a_claimed_entry_before_the_last_delivered_one_is_found,
    acknowledged_entries_are_not_found,
    a_consumer_that_is_missing_has_nothing_and_is_not_created,
    a_missing_group_or_stream_is_rejected,
    a_malformed_id_is_rejected,
];

type Backend = Arc<dyn Operations>;

async fn read(
    backend: &Backend,
    key: &str,
    consumer: &str,
    after: &str,
    count: u64,
) -> CacheResult<Vec<StreamEntry>> {
    read_except(backend, key, consumer, (after, count), &[]).await
}

async fn read_except(
    backend: &Backend,
    key: &str,
    consumer: &str,
    (after, count): (&str, u64),
    except: &[String],
) -> CacheResult<Vec<StreamEntry>> {
    let operation = Operation::ReadPending {
        stream: key.to_owned().into(),
        group: "group".into(),
        consumer: consumer.to_owned().into(),
        after: after.to_owned().into(),
        count,
        except: except.iter().map(|id| id.clone().into()).collect(),
    };
    backend.perform(operation).await?.into_entries().map(as_text)
}

/// `XPENDING` shows the same as before, but for the time that passed.
async fn a_read_counts_no_delivery_and_resets_no_idle_time(f: Fixture, backend: Backend) {
    let (key, added) = all_pending_for_ann(&f, 3).await;
    let before = all_pending(&f, &key).await;
    let_idle(200).await;
    for _ in 0..4 {
        let found = read(&backend, &key, "ann", "0-0", 0).await.unwrap();
        assert_eq!(ids(&found), added);
    }
    assert_eq!(all_pending(&f, &key).await, before);
    let idle = list(&f, &key, Default::default()).await;
    assert!(idle.iter().all(|entry| entry.idle_ms >= 200), "{idle:?}");
}

async fn a_read_returns_the_fields_of_every_entry(f: Fixture, backend: Backend) {
    let (key, _) = all_pending_for_ann(&f, 3).await;
    let found = read(&backend, &key, "ann", "0-0", 0).await.unwrap();
    assert_eq!(values(&found), ["0", "1", "2"]);
}

/// Also after the greatest id that there is.
async fn a_read_starts_strictly_after_its_id(f: Fixture, backend: Backend) {
    let (key, added) = all_pending_for_ann(&f, 4).await;
    for (after, expected) in [("0", &added[..]), (&added[1], &added[2..]), (&added[3], &[])] {
        let found = read(&backend, &key, "ann", after, 0).await.unwrap();
        assert_eq!(ids(&found), expected, "after {after}");
    }
    let greatest = "18446744073709551615-18446744073709551615";
    assert_eq!(read(&backend, &key, "ann", greatest, 0).await, Ok(vec![]));
}

/// The first ones.
async fn a_read_respects_its_count(f: Fixture, backend: Backend) {
    let (key, added) = all_pending_for_ann(&f, 4).await;
    for count in 1..=5 {
        let found = read(&backend, &key, "ann", "0", count).await.unwrap();
        assert_eq!(ids(&found), added[..4.min(count as usize)]);
    }
}

/// 0 sets no limit.
async fn a_read_without_a_limit_returns_more_than_a_page(f: Fixture, backend: Backend) {
    let (key, added) = all_pending_for_ann(&f, 1_500).await;
    let found = read(&backend, &key, "ann", "0", 0).await.unwrap();
    assert!(ids(&found) == added, "{} of {}", found.len(), added.len());
}

/// They do not count, also if they fill a whole page.
async fn a_read_leaves_out_what_it_is_told_to(f: Fixture, backend: Backend) {
    let (key, added) = all_pending_for_ann(&f, 1_200).await;
    let odd: Vec<_> = added.iter().skip(1).step_by(2).cloned().collect();
    let even: Vec<_> = added.iter().step_by(2).cloned().collect();
    for count in [0, 1, 3] {
        let found = read_except(&backend, &key, "ann", ("0", count), &odd).await;
        let most = if count == 0 { 600 } else { count as usize };
        assert_eq!(ids(&found.unwrap()), even[..most]);
    }
    for (count, except) in [(0, 1_199), (2, 1_199), (0, 1_200)] {
        let found = read_except(&backend, &key, "ann", ("0", count), &added[..except]).await;
        assert_eq!(ids(&found.unwrap()), added[except..]);
    }
}

async fn a_read_returns_the_entries_of_its_consumer_only(f: Fixture, backend: Backend) {
    let (key, added) = all_pending_for_ann(&f, 3).await;
    let claimed = f.backend.claim(&key, "group", "bob", 0, &added[1], 1).await;
    assert_eq!(ids(&claimed.unwrap().entries), added[1..2]);
    let of_ann = read(&backend, &key, "ann", "0", 0).await.unwrap();
    assert_eq!(ids(&of_ann), [&*added[0], &*added[2]]);
    let of_bob = read(&backend, &key, "bob", "0", 0).await.unwrap();
    assert_eq!(ids(&of_bob), added[1..2]);
}

/// A consumer that received new entries reclaims an old one: the old one comes first.
async fn a_claimed_entry_before_the_last_delivered_one_is_found(f: Fixture, backend: Backend) {
    let (key, added) = all_pending_for_ann(&f, 2).await;
    let newer = f.add_in_sequence(&key, 2).await.unwrap();
    let delivered = f.read_group_now(&key, "group", "bob").await.unwrap();
    assert_eq!(ids(&delivered), newer);
    let claimed = f.backend.claim(&key, "group", "bob", 0, "0-0", 1).await;
    assert_eq!(ids(&claimed.unwrap().entries), added[..1]);
    let found = read(&backend, &key, "bob", "0", 0).await.unwrap();
    assert_eq!(ids(&found), [&*added[0], &*newer[0], &*newer[1]]);
    let found = read(&backend, &key, "bob", "0", 1).await.unwrap();
    assert_eq!(ids(&found), added[..1]);
}

async fn acknowledged_entries_are_not_found(f: Fixture, backend: Backend) {
    let (key, added) = all_pending_for_ann(&f, 3).await;
    f.backend
        .stream_ack(&key, "group", &added[..2])
        .await
        .unwrap();
    let found = read(&backend, &key, "ann", "0", 0).await.unwrap();
    assert_eq!(ids(&found), added[2..]);
}

/// Unlike `XREADGROUP`, which creates it.
async fn a_consumer_that_is_missing_has_nothing_and_is_not_created(f: Fixture, backend: Backend) {
    let (key, _) = all_pending_for_ann(&f, 1).await;
    assert_eq!(read(&backend, &key, "zoe", "0", 0).await, Ok(vec![]));
    let removed = f.backend.remove_consumer(&key, "group", "zoe", "ann").await;
    assert_eq!(removed, Ok(0));
}

/// `NOGROUP`.
async fn a_missing_group_or_stream_is_rejected(f: Fixture, backend: Backend) {
    let key = f.key();
    let missing = read(&backend, &key, "ann", "0", 0).await;
    assert_eq!(code(&missing), codes::NOGROUP);
    f.add(&key, "1").await.unwrap();
    let missing = read(&backend, &key, "ann", "0", 0).await;
    assert_eq!(code(&missing), codes::NOGROUP);
}

/// `ERR`, and `>` delivers nothing.
async fn a_malformed_id_is_rejected(f: Fixture, backend: Backend) {
    let (key, added) = all_pending_for_ann(&f, 1).await;
    let new = f.add(&key, "new").await.unwrap();
    for id in not_an_id() {
        let rejected = read(&backend, &key, "ann", id, 0).await;
        assert_eq!(code(&rejected), codes::ERR, "{id:?}");
        let except = [added[0].clone(), id.to_owned()];
        let rejected = read_except(&backend, &key, "ann", ("0", 0), &except).await;
        assert_eq!(code(&rejected), codes::ERR, "except {id:?}");
    }
    let found = read(&backend, &key, "ann", "0", 0).await.unwrap();
    assert_eq!(ids(&found), added);
    let delivered = f.read_group_now(&key, "group", "bob").await.unwrap();
    assert_eq!(ids(&delivered), [new]);
}
