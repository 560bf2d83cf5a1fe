//! Tails that take little, late or nothing.

use std::future::poll_fn;

use futures_util::{FutureExt, StreamExt};
use streamgate_backend::{Backend, TailEvent, TailSource};
use streamgate_protocol::message::Credit;
use streamgate_protocol::{CacheResult, SubscribingBackend, TailFrom};
use streamgate_test_support::RedisVersion;

use crate::fixture::{Fixture, collect, values, within_limit};

fn credit(entries: u64, bytes: u64) -> Credit {
    Credit { entries, bytes }
}

async fn next_event(tail: &mut dyn TailSource, credit: Credit) -> CacheResult<TailEvent> {
    within_limit(poll_fn(|cx| tail.poll_next(cx, credit))).await
}

/// Returns the values of the next event, which must be entries.
async fn take_values(tail: &mut dyn TailSource, credit: Credit) -> Vec<String> {
    match next_event(tail, credit).await.unwrap() {
        TailEvent::Segment(segment) => {
            let found = values(segment.entries());
            found.into_iter().map(str::to_owned).collect()
        }
        other => panic!("no entries: {other:?}"),
    }
}

async fn live_tail<'a>(fixture: &'a Fixture, from: TailFrom) -> Box<dyn TailSource + 'a> {
    let mut tail = fixture.streams.tail_source("s".into(), from);
    assert_eq!(take_values(&mut *tail, Credit::UNLIMITED).await, [""; 0]);
    tail
}

/// Checks that without credit the first event is only a position.
async fn yields_only_position(tail: &mut dyn TailSource, expected: &str) {
    match next_event(tail, Credit::default()).await.unwrap() {
        TailEvent::Segment(first) => {
            assert_eq!((first.position(), first.entries()), (expected, &[][..]));
        }
        other => panic!("not only a position: {other:?}"),
    }
}

#[tokio::test]
pub(crate) async fn without_credit_a_tail_yields_only_its_position() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let _: String = fixture.command("XADD s 5-0 f a").await.unwrap();
        let _: String = fixture.command("XADD s 6-0 f b").await.unwrap();
        let starts = [
            (TailFrom::Beginning, "4-18446744073709551615"),
            (TailFrom::Last(1), "5-18446744073709551615"),
            (TailFrom::After("5-0".into()), "5-0"),
            (TailFrom::Now, "6-0"),
        ];
        for (from, expected) in starts {
            let mut tail = fixture.streams.tail_source("s".into(), from.clone());
            yields_only_position(&mut *tail, expected).await;
            let more = poll_fn(|cx| tail.poll_next(cx, credit(0, 100)));
            assert!(more.now_or_never().is_none());
            if from != TailFrom::Now {
                assert_eq!(take_values(&mut *tail, credit(1, 100)).await.len(), 1);
            }
        }
    }
}

/// Other tails of the same socket may use the credit up.
#[tokio::test]
pub(crate) async fn credit_that_vanishes_before_the_entries_arrive_leaves_the_position() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let _: String = fixture.command("XADD s 5-0 f a").await.unwrap();
        let _: String = fixture.command("XADD s 6-0 f b").await.unwrap();
        let mut tail = fixture
            .streams
            .tail_source("s".into(), TailFrom::After("5-0".into()));
        let asked = poll_fn(|cx| tail.poll_next(cx, Credit::UNLIMITED));
        assert!(asked.now_or_never().is_none());
        yields_only_position(&mut *tail, "5-0").await;
        assert_eq!(take_values(&mut *tail, Credit::UNLIMITED).await, ["b"]);
    }
}

#[tokio::test]
pub(crate) async fn backlog_and_live_entries_stay_within_the_credit() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let mut early = live_tail(&fixture, TailFrom::Now).await;
        let all: Vec<String> = (100..400).map(|n| n.to_string()).collect();
        for value in &all {
            fixture.add("s", value).await;
        }
        let mut late = fixture.streams.tail_source("s".into(), TailFrom::Beginning);
        for tail in [&mut early, &mut late] {
            let mut found = Vec::new();
            while found.len() < all.len() {
                let count = fastrand::u64(1..20);
                let part = if fastrand::bool() {
                    take_values(&mut **tail, credit(count, u64::MAX)).await
                } else {
                    // An entry takes 19 bytes: 15 for its id, 1 for the name, 3 for the value.
                    take_values(&mut **tail, credit(u64::MAX, (count - 1) * 19 + 1)).await
                };
                assert!(
                    (1..=count).contains(&(part.len() as u64)),
                    "{count}: {part:?}"
                );
                found.extend(part);
            }
            assert_eq!(found, all);
        }
    }
}

#[tokio::test]
pub(crate) async fn tails_with_credit_share_segments() {
    let fixture = Fixture::new(RedisVersion::V8_2).await;
    let mut one = live_tail(&fixture, TailFrom::Now).await;
    let mut other = live_tail(&fixture, TailFrom::Now).await;
    // Both tails are in the feed once both have received this.
    for n in ["first", "second"] {
        for tail in [&mut one, &mut other] {
            let pending = poll_fn(|cx| tail.poll_next(cx, Credit::UNLIMITED));
            assert!(pending.now_or_never().is_none());
        }
        fixture.add("s", n).await;
        let one = next_event(&mut *one, Credit::UNLIMITED).await.unwrap();
        let other = next_event(&mut *other, Credit::UNLIMITED).await.unwrap();
        let (TailEvent::Segment(one), TailEvent::Segment(other)) = (one, other) else {
            panic!("no entries")
        };
        assert_eq!(values(one.entries()), [n]);
        // One may have joined too late to share the first segment.
        assert!(n == "first" || std::sync::Arc::ptr_eq(&one, &other));
    }
}

#[tokio::test]
pub(crate) async fn tails_that_are_not_polled_while_they_read_delay_nobody() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let all: Vec<String> = (0..200).map(|n| n.to_string()).collect();
        for value in &all {
            fixture.add("s", value).await;
        }
        let mut left_alone = Vec::new();
        // More tails than pages are read at once.
        for _ in 0..40 {
            for from in [TailFrom::Beginning, TailFrom::Last(150)] {
                let mut tail = fixture.streams.tail("s", from);
                assert!(tail.next().now_or_never().is_none(), "it reads");
                left_alone.push(tail);
            }
        }
        let mut tail = fixture.streams.tail("s", TailFrom::Beginning);
        assert_eq!(collect(&mut tail, all.len()).await, all);
        let mut tail = fixture.streams.tail("s", TailFrom::Last(150));
        assert_eq!(collect(&mut tail, 150).await, all[50..]);
        for tail in left_alone.chunks_mut(2) {
            assert_eq!(collect(&mut tail[0], all.len()).await, all);
            assert_eq!(collect(&mut tail[1], 150).await, all[50..]);
        }
    }
}

#[tokio::test]
pub(crate) async fn an_error_needs_no_credit() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    let mut tail = live_tail(&fixture, TailFrom::Now).await;
    fixture.add("s", "first").await;
    assert_eq!(take_values(&mut *tail, Credit::UNLIMITED).await, ["first"]);
    fixture.add("s", "second").await;
    assert_eq!(take_values(&mut *tail, Credit::UNLIMITED).await, ["second"]);
    let _: () = fixture.command("SET s text").await.unwrap();
    let error = next_event(&mut *tail, Credit::default()).await.unwrap_err();
    assert_eq!(error.code(), "WRONGTYPE");
}
