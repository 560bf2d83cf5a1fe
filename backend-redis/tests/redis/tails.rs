//! Tails: the backlog, then what is added.

use streamgate_protocol::{
    EntryOperations, GapReason, StreamingBackend, SubscribingBackend, TailFrom, TailItem,
};
use streamgate_test_support::RedisVersion;

use crate::fixture::{
    Fixture, collect, connect_directly, first_position, next, next_error, next_values, values,
    within_limit,
};

const TAILS: usize = 1_000;

#[tokio::test]
pub(crate) async fn the_first_item_names_the_position_of_a_tail() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let tail = |from| fixture.streams.tail("s", from);
        for from in [TailFrom::Beginning, TailFrom::Now, TailFrom::Last(3)] {
            assert_eq!(first_position(&mut tail(from)).await, "0-0");
        }
        let _: String = fixture.command("XADD s 5-0 f a").await.unwrap();
        let _: String = fixture.command("XADD s 6-0 f b").await.unwrap();
        assert_eq!(first_position(&mut tail(TailFrom::Now)).await, "6-0");
        assert_eq!(first_position(&mut tail(TailFrom::Last(0))).await, "6-0");
        assert_eq!(
            first_position(&mut tail(TailFrom::After("6".into()))).await,
            "6-0"
        );
        let item = next(&mut tail(TailFrom::Last(1))).await.unwrap();
        let TailItem::Entries { entries, position } = item else {
            panic!("no entries: {item:?}")
        };
        assert_eq!((values(&entries), &*position), (vec!["b"], "6-0"));
        // The last generated id stays, though its entry is deleted.
        let _: u64 = fixture.command("XDEL s 6-0").await.unwrap();
        assert_eq!(first_position(&mut tail(TailFrom::Now)).await, "6-0");
        let _: u64 = fixture.command("XDEL s 5-0").await.unwrap();
        assert_eq!(first_position(&mut tail(TailFrom::Beginning)).await, "6-0");
    }
}

#[tokio::test]
pub(crate) async fn the_last_entries_are_found_backwards_page_by_page() {
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
pub(crate) async fn a_thousand_tails_of_one_stream_cost_one_read_per_entry() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        fixture.add("s", "before").await;
        let mut tails: Vec<_> = (0..TAILS)
            .map(|_| fixture.streams.tail("s", TailFrom::Now))
            .collect();
        for tail in &mut tails {
            first_position(tail).await;
        }
        // Every tail is in the feed once it has received this.
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
        assert_eq!(fixture.connections().await, 1);
        assert!(!first.is_empty());
    }
}

#[tokio::test]
pub(crate) async fn a_live_tail_survives_lost_connections_and_a_dropped_one_leaves_nothing() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let mut tail = fixture.streams.tail("s", TailFrom::Now);
        first_position(&mut tail).await;
        fixture.add("s", "live").await;
        assert_eq!(next_values(&mut tail).await, ["live"]);
        // In one transaction, so that the entry is added while the backend has no connection.
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
        fixture.sync_with_hub().await;
        let reads = fixture.calls("xrange").await;
        let waiting = fixture.start_read("s", "$", 9_000).await;
        within_limit(async {
            while fixture
                .streams
                .stream_add("s", vec![("f".into(), "v".into())], None)
                .await
                .is_err()
            {}
        })
        .await;
        within_limit(waiting.finish()).await.unwrap();
        assert_eq!(fixture.calls("xrange").await, reads, "no tail is left");
    }
}

#[tokio::test]
pub(crate) async fn while_redis_is_down_a_new_tail_fails_and_a_live_one_survives() {
    let mut fixture = Fixture::new(RedisVersion::V7_0).await;
    let mut tail = fixture.streams.tail("s", TailFrom::Now);
    assert_eq!(first_position(&mut tail).await, "0-0");
    fixture.add("s", "live").await;
    assert_eq!(next_values(&mut tail).await, ["live"]);
    fixture.server.kill().unwrap();
    within_limit(async { while fixture.streams.read_latest_entries("s", 1).await.is_ok() {} })
        .await;
    let mut other = fixture.streams.tail("s", TailFrom::Now);
    assert_eq!(next_error(&mut other).await.code(), "DISCONNECTED");
    fixture.server.restart().unwrap();
    fixture.direct = connect_directly(&fixture.server).await;
    // The restarted Redis is empty.
    let gap = crate::fixture::next_gap(&mut tail).await;
    assert_eq!(gap.reason, GapReason::Recreated);
    let _: String = fixture.command("XADD s * f new").await.unwrap();
    assert_eq!(next_values(&mut tail).await, ["new"]);
}
