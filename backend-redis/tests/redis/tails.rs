//! Tails: the backlog, then what is added.

use futures_util::StreamExt;
use streamgate_protocol::{
    ConsumeOptions, StreamingBackend, SubscribingBackend, TailFrom, TailItem,
};
use streamgate_test_support::RedisVersion;

use crate::fixture::{
    Fixture, collect, direct, failure, next, next_values, soon, standing, values,
};

const FOLLOWERS: usize = 1_000;

#[tokio::test]
pub(crate) async fn a_tail_from_the_beginning_gives_the_backlog_then_what_is_added() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let expected: Vec<String> = (0..500).map(|n| n.to_string()).collect();
        for value in &expected[..400] {
            fixture.add("s", value).await;
        }
        let mut tail = fixture.streams.tail("s", TailFrom::Beginning);
        assert_eq!(collect(&mut tail, 400).await, expected[..400]);
        for value in &expected[400..] {
            fixture.add("s", value).await;
        }
        assert_eq!(collect(&mut tail, 100).await, expected[400..]);
    }
}

#[tokio::test]
pub(crate) async fn the_first_item_says_where_a_tail_stands() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let tail = |from| fixture.streams.tail("s", from);
        for from in [TailFrom::Beginning, TailFrom::Now, TailFrom::Last(3)] {
            assert_eq!(standing(&mut tail(from)).await, "0-0");
        }
        let _: String = fixture.ask("XADD s 5-0 f a").await.unwrap();
        let _: String = fixture.ask("XADD s 6-0 f b").await.unwrap();
        assert_eq!(standing(&mut tail(TailFrom::Now)).await, "6-0");
        assert_eq!(standing(&mut tail(TailFrom::Last(0))).await, "6-0");
        assert_eq!(
            standing(&mut tail(TailFrom::After("6".into()))).await,
            "6-0"
        );
        let item = next(&mut tail(TailFrom::Last(1))).await.unwrap();
        let TailItem::Entries { entries, position } = item else {
            panic!("no entries: {item:?}")
        };
        assert_eq!((values(&entries), &*position), (vec!["b"], "6-0"));
        // What was deleted last has given its id away.
        let _: u64 = fixture.ask("XDEL s 6-0").await.unwrap();
        assert_eq!(standing(&mut tail(TailFrom::Now)).await, "6-0");
        let _: u64 = fixture.ask("XDEL s 5-0").await.unwrap();
        assert_eq!(standing(&mut tail(TailFrom::Beginning)).await, "6-0");
    }
}

#[tokio::test]
pub(crate) async fn the_last_entries_are_counted_backwards() {
    let fixture = Fixture::new(RedisVersion::V8_2).await;
    let all: Vec<String> = (0..3_000).map(|n| n.to_string()).collect();
    for value in &all {
        fixture.add("s", value).await;
    }
    for count in [1, 3, 4, 5, 36, 37, 2_000, 2_999, 3_000, 4_000] {
        let mut tail = fixture.streams.tail("s", TailFrom::Last(count));
        let expected = &all[all.len() - count.min(all.len())..];
        assert_eq!(
            collect(&mut tail, expected.len()).await,
            expected,
            "{count}"
        );
    }
}

#[tokio::test]
pub(crate) async fn now_is_when_a_tail_is_first_polled() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        fixture.add("s", "before").await;
        for from in [TailFrom::Now, TailFrom::Last(1)] {
            let mut tail = fixture.streams.tail("s", from.clone());
            let add = fixture
                .streams
                .stream_add("s", vec![("f".into(), "behind".into())], None);
            let (first, added) = soon(async { tokio::join!(tail.next(), add) }).await;
            added.unwrap();
            let mut found = match first.unwrap().unwrap() {
                TailItem::Entries { entries, .. } => entries,
                other => panic!("{other:?}"),
            };
            while found
                .last()
                .is_none_or(|(_, fields)| fields[0].1 != "behind")
            {
                match next(&mut tail).await.unwrap() {
                    TailItem::Entries { entries, .. } => found.extend(entries),
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(found.len(), if from == TailFrom::Now { 1 } else { 2 });
        }
    }
}

#[tokio::test]
pub(crate) async fn a_thousand_followers_of_one_stream_are_one_read_an_entry() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        fixture.add("s", "before").await;
        let mut tails: Vec<_> = (0..FOLLOWERS)
            .map(|_| fixture.streams.tail("s", TailFrom::Now))
            .collect();
        for tail in &mut tails {
            standing(tail).await;
        }
        // Everybody is in the feed once it has had this.
        let first = fixture.add("s", "first").await;
        for tail in &mut tails {
            assert_eq!(next_values(tail).await, ["first"]);
        }
        let reads = fixture.calls("xrange").await;
        for n in 0..20 {
            fixture.add("s", &n.to_string()).await;
            for tail in &mut tails {
                assert_eq!(next_values(tail).await, [n.to_string()]);
            }
        }
        assert!(fixture.calls("xrange").await <= reads + 21);
        assert_eq!(fixture.connections().await, 2);
        assert!(!first.is_empty());
    }
}

#[tokio::test]
pub(crate) async fn a_tail_resumes_behind_its_position() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    let ids = [
        fixture.add("s", "a").await,
        fixture.add("s", "b").await,
        fixture.add("s", "c").await,
    ];
    let mut tail = fixture.streams.tail("s", TailFrom::After(ids[0].clone()));
    assert_eq!(next_values(&mut tail).await, ["b", "c"]);
    fixture.add("s", "d").await;
    assert_eq!(next_values(&mut tail).await, ["d"]);
}

#[tokio::test]
pub(crate) async fn what_cannot_be_followed_is_refused() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    let tail = |stream: &str, from| fixture.streams.tail(stream, from);
    for id in ["", "$", "+", "abc", "5-"] {
        let error = failure(&mut tail("s", TailFrom::After(id.into()))).await;
        assert_eq!(error.code(), "ERR", "{id:?}");
    }
    let long = "x".repeat(17 * 1024);
    assert_eq!(
        failure(&mut tail(&long, TailFrom::Now)).await.code(),
        "LIMIT"
    );
    let _: () = fixture.ask("SET s text").await.unwrap();
    for from in [
        TailFrom::Beginning,
        TailFrom::Now,
        TailFrom::Last(2),
        TailFrom::After("1-1".into()),
    ] {
        assert_eq!(failure(&mut tail("s", from)).await.code(), "WRONGTYPE");
    }
}

#[tokio::test]
pub(crate) async fn a_live_tail_outlives_its_connections_and_a_dropped_one_leaves_nothing() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let mut tail = fixture.streams.tail("s", TailFrom::Now);
        standing(&mut tail).await;
        fixture.add("s", "live").await;
        assert_eq!(next_values(&mut tail).await, ["live"]);
        // In one transaction, so that the entry comes when nobody is connected.
        let _: () = redis::pipe()
            .atomic()
            .cmd("CLIENT")
            .arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"])
            .cmd("XADD")
            .arg(&["s", "*", "f", "meanwhile"])
            .exec_async(&mut fixture.direct.clone())
            .await
            .unwrap();
        assert_eq!(next_values(&mut tail).await, ["meanwhile"]);
        drop(tail);
        let waits = fixture.start_read("s", "$", 50).await;
        waits.finish().await.unwrap();
        let reads = fixture.calls("xrange").await;
        let waiting = fixture.start_read("s", "$", 9_000).await;
        soon(async {
            while fixture
                .streams
                .stream_add("s", vec![("f".into(), "v".into())], None)
                .await
                .is_err()
            {}
        })
        .await;
        soon(waiting.finish()).await.unwrap();
        assert_eq!(fixture.calls("xrange").await, reads, "nobody follows");
    }
}

#[tokio::test]
pub(crate) async fn while_redis_is_away_a_tail_that_begins_is_told_and_one_that_lives_goes_on() {
    let mut fixture = Fixture::new(RedisVersion::V7_0).await;
    let mut tail = fixture.streams.tail("s", TailFrom::Now);
    assert_eq!(standing(&mut tail).await, "0-0");
    fixture.add("s", "live").await;
    assert_eq!(next_values(&mut tail).await, ["live"]);
    fixture.server.kill().unwrap();
    soon(async { while fixture.streams.stream_read_latest("s", 1).await.is_ok() {} }).await;
    let mut other = fixture.streams.tail("s", TailFrom::Now);
    assert_eq!(failure(&mut other).await.code(), "DISCONNECTED");
    fixture.server.restart().unwrap();
    fixture.direct = direct(&fixture.server).await;
    // Everything is gone.
    let gap = crate::fixture::gap(&mut tail).await;
    assert!(gap.recreated);
    let _: String = fixture.ask("XADD s * f new").await.unwrap();
    assert_eq!(next_values(&mut tail).await, ["new"]);
}

#[tokio::test]
pub(crate) async fn consumers_share_a_groups_entries() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let consume = |consumer: &str, batch| {
            let options = ConsumeOptions {
                batch,
                ..ConsumeOptions::default()
            };
            fixture.streams.consume("s", "g", consumer, options)
        };
        let missing = soon(consume("c", 1).next()).await.unwrap();
        assert_eq!(missing.unwrap_err().code(), "NOGROUP");
        let none = soon(consume("c", 0).next()).await.unwrap();
        assert_eq!(none.unwrap_err().code(), "ERR");
        fixture
            .streams
            .stream_create_group("s", "g", "$")
            .await
            .unwrap();
        let mut one = consume("one", 2);
        let adding = async {
            for n in 0..5 {
                fixture.add("s", &n.to_string()).await;
            }
        };
        let consuming = async {
            let mut found = Vec::new();
            while found.len() < 5 {
                let batch = one.next().await.unwrap().unwrap();
                assert!((1..=2).contains(&batch.len()));
                found.extend(values(&batch).into_iter().map(str::to_owned));
            }
            found
        };
        let (found, ()) = soon(async { tokio::join!(consuming, adding) }).await;
        assert_eq!(found, ["0", "1", "2", "3", "4"]);
        assert_eq!(fixture.pending().await.len(), 5);
    }
}
