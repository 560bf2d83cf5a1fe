//! Followers that take little, late or nothing.

use std::future::poll_fn;

use futures_util::{FutureExt, StreamExt};
use streamgate_backend::{Backend, TailEvent, TailSource};
use streamgate_protocol::message::Credit;
use streamgate_protocol::{CacheResult, SubscribingBackend, TailFrom};
use streamgate_test_support::RedisVersion;

use crate::fixture::{Fixture, collect, next_values, soon, standing, values};

fn room(entries: u64, bytes: u64) -> Credit {
    Credit { entries, bytes }
}

async fn next(follow: &mut dyn TailSource, room: Credit) -> CacheResult<TailEvent> {
    soon(poll_fn(|cx| follow.poll_next(cx, room))).await
}

/// The values that come while there is room for so much.
async fn take(follow: &mut dyn TailSource, room: Credit) -> Vec<String> {
    match next(follow, room).await.unwrap() {
        TailEvent::Segment(segment) => {
            let found = values(segment.entries());
            found.into_iter().map(str::to_owned).collect()
        }
        other => panic!("no entries: {other:?}"),
    }
}

async fn live<'a>(fixture: &'a Fixture, from: TailFrom) -> Box<dyn TailSource + 'a> {
    let mut follow = fixture.streams.tail_source("s", from);
    assert_eq!(take(&mut *follow, Credit::UNLIMITED).await, [""; 0]);
    follow
}

/// Without room its first item comes, and says only where it stands.
async fn stands_at(follow: &mut dyn TailSource, expected: &str) {
    match next(follow, Credit::default()).await.unwrap() {
        TailEvent::Segment(first) => {
            assert_eq!((first.position(), first.entries()), (expected, &[][..]));
        }
        other => panic!("it stands somewhere: {other:?}"),
    }
}

#[tokio::test]
pub(crate) async fn without_room_only_the_first_item_comes_and_it_has_no_entries() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let _: String = fixture.ask("XADD s 5-0 f a").await.unwrap();
        let _: String = fixture.ask("XADD s 6-0 f b").await.unwrap();
        let starts = [
            (TailFrom::Beginning, "4-18446744073709551615"),
            (TailFrom::Last(1), "5-18446744073709551615"),
            (TailFrom::After("5-0".into()), "5-0"),
            (TailFrom::Now, "6-0"),
        ];
        for (from, expected) in starts {
            let mut follow = fixture.streams.tail_source("s", from.clone());
            stands_at(&mut *follow, expected).await;
            let more = poll_fn(|cx| follow.poll_next(cx, room(0, 100)));
            assert!(more.now_or_never().is_none());
            if from != TailFrom::Now {
                assert_eq!(take(&mut *follow, room(1, 100)).await.len(), 1);
            }
        }
    }
}

/// Others of its socket take it.
#[tokio::test]
pub(crate) async fn room_that_goes_before_entries_come_leaves_a_first_item_without() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let _: String = fixture.ask("XADD s 5-0 f a").await.unwrap();
        let _: String = fixture.ask("XADD s 6-0 f b").await.unwrap();
        let mut follow = fixture
            .streams
            .tail_source("s", TailFrom::After("5-0".into()));
        let asked = poll_fn(|cx| follow.poll_next(cx, Credit::UNLIMITED));
        assert!(asked.now_or_never().is_none());
        stands_at(&mut *follow, "5-0").await;
        assert_eq!(take(&mut *follow, Credit::UNLIMITED).await, ["b"]);
    }
}

#[tokio::test]
pub(crate) async fn no_more_comes_than_there_is_room_for_from_the_backlog_and_live() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let mut early = live(&fixture, TailFrom::Now).await;
        let all: Vec<String> = (100..400).map(|n| n.to_string()).collect();
        for value in &all {
            fixture.add("s", value).await;
        }
        let mut late = fixture.streams.tail_source("s", TailFrom::Beginning);
        for follow in [&mut early, &mut late] {
            let mut found = Vec::new();
            while found.len() < all.len() {
                let count = fastrand::u64(1..20);
                let part = if fastrand::bool() {
                    take(&mut **follow, room(count, u64::MAX)).await
                } else {
                    // An id has 15 bytes, a name 1, a value 3.
                    take(&mut **follow, room(u64::MAX, (count - 1) * 19 + 1)).await
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
pub(crate) async fn segments_are_shared_by_all_who_have_room() {
    let fixture = Fixture::new(RedisVersion::V8_2).await;
    let mut one = live(&fixture, TailFrom::Now).await;
    let mut other = live(&fixture, TailFrom::Now).await;
    // Both take part once both have this.
    for n in ["first", "second"] {
        for follow in [&mut one, &mut other] {
            let pending = poll_fn(|cx| follow.poll_next(cx, Credit::UNLIMITED));
            assert!(pending.now_or_never().is_none());
        }
        fixture.add("s", n).await;
        let one = next(&mut *one, Credit::UNLIMITED).await.unwrap();
        let other = next(&mut *other, Credit::UNLIMITED).await.unwrap();
        let (TailEvent::Segment(one), TailEvent::Segment(other)) = (one, other) else {
            panic!("no entries")
        };
        assert_eq!(values(one.entries()), [n]);
        // One may have come too late to share the first.
        assert!(n == "first" || std::sync::Arc::ptr_eq(&one, &other));
    }
}

#[tokio::test]
pub(crate) async fn one_that_is_not_polled_loses_nothing_and_delays_nobody() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let mut idle = fixture.streams.tail("s", TailFrom::Now);
        let mut quick = fixture.streams.tail("s", TailFrom::Now);
        for tail in [&mut idle, &mut quick] {
            standing(tail).await;
        }
        fixture.add("s", "first").await;
        for tail in [&mut idle, &mut quick] {
            assert_eq!(next_values(tail).await, ["first"]);
        }
        // Much more than a queue holds.
        let all: Vec<String> = (0..1_000).map(|n| format!("{n:01000}")).collect();
        for part in all.chunks(10) {
            for value in part {
                fixture.add("s", value).await;
            }
            assert_eq!(collect(&mut quick, part.len()).await, part);
        }
        assert_eq!(collect(&mut idle, all.len()).await, all);
        fixture.add("s", "last").await;
        for tail in [&mut idle, &mut quick] {
            assert_eq!(next_values(tail).await, ["last"]);
        }
    }
}

#[tokio::test]
pub(crate) async fn tails_that_are_left_alone_while_they_read_hold_up_nobody() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let all: Vec<String> = (0..200).map(|n| n.to_string()).collect();
        for value in &all {
            fixture.add("s", value).await;
        }
        let mut left_alone = Vec::new();
        // More than there are turns.
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
pub(crate) async fn an_error_comes_without_room_too() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    let mut follow = live(&fixture, TailFrom::Now).await;
    fixture.add("s", "first").await;
    assert_eq!(take(&mut *follow, Credit::UNLIMITED).await, ["first"]);
    fixture.add("s", "second").await;
    assert_eq!(take(&mut *follow, Credit::UNLIMITED).await, ["second"]);
    let _: () = fixture.ask("SET s text").await.unwrap();
    let error = next(&mut *follow, Credit::default()).await.unwrap_err();
    assert_eq!(error.code(), "WRONGTYPE");
}
