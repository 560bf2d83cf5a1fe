//! Gaps: a tail reports missing entries once, before the entries after them, and nowhere else.

use futures_util::{FutureExt, StreamExt};
use streamgate_protocol::{EntryOperations, Gap, GapReason, SubscribingBackend, Tail, TailFrom};
use streamgate_test_support::RedisVersion;

use crate::fixture::{Fixture, collect, first_position, next_gap, next_values};

fn expected_gap(after: &str, first: Option<&str>, reason: GapReason, position: &str) -> Gap {
    Gap::new(after, position)
        .first(first.map(str::to_owned))
        .reason(reason)
}

async fn commands(fixture: &Fixture, commands: &[&str]) {
    for command in commands {
        let _: redis::Value = fixture.command(command).await.unwrap();
    }
}

/// Sends commands as one transaction, so that no reader sees a state in between.
async fn in_one_transaction(fixture: &Fixture, commands: &[&str]) {
    let mut pipe = redis::pipe();
    pipe.atomic();
    for command in commands {
        let mut words = command.split(' ');
        pipe.cmd(words.next().unwrap());
        words.for_each(|word| {
            pipe.arg(word);
        });
    }
    let () = pipe.exec_async(&mut fixture.direct.clone()).await.unwrap();
}

fn tail_after(fixture: &Fixture, id: &str) -> Tail {
    fixture.streams.tail("s", TailFrom::After(id.into()))
}

/// Returns a tail that is in the feed and has seen 1-0 to 3-0.
async fn live_tail(fixture: &Fixture) -> Tail {
    commands(fixture, &["XADD s 1-0 f 1", "XADD s 2-0 f 2"]).await;
    let mut tail = fixture.streams.tail("s", TailFrom::Beginning);
    assert_eq!(next_values(&mut tail).await, ["1", "2"]);
    commands(fixture, &["XADD s 3-0 f 3"]).await;
    assert_eq!(next_values(&mut tail).await, ["3"]);
    tail
}

#[tokio::test]
pub(crate) async fn an_emptied_stream_is_a_gap_only_if_entries_were_missed() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let mut tail = live_tail(&fixture).await;
        commands(&fixture, &["XTRIM s MAXLEN 0", "XADD s 4-0 f 4"]).await;
        assert_eq!(next_values(&mut tail).await, ["4"]);
        in_one_transaction(&fixture, &["XADD s 5-0 f 5", "XTRIM s MAXLEN 0"]).await;
        assert_eq!(
            next_gap(&mut tail).await,
            expected_gap("4-0", None, GapReason::Trimmed, "5-0")
        );
        commands(&fixture, &["XADD s 6-0 f 6"]).await;
        assert_eq!(next_values(&mut tail).await, ["6"]);
        in_one_transaction(&fixture, &["XADD s 7-0 f 7", "XADD s MAXLEN = 1 8-0 f 8"]).await;
        let position = "7-18446744073709551615";
        assert_eq!(
            next_gap(&mut tail).await,
            expected_gap("6-0", Some("8-0"), GapReason::Trimmed, position)
        );
        assert_eq!(next_values(&mut tail).await, ["8"]);
    }
}

#[tokio::test]
pub(crate) async fn a_tail_that_read_everything_sees_no_gap_when_the_stream_is_trimmed() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        // More entries than the first page has.
        for n in 1..=100 {
            commands(&fixture, &[&format!("XADD s {n}-0 f {n}")]).await;
        }
        let starts = [
            (TailFrom::Beginning, 100),
            (TailFrom::Last(90), 90),
            (TailFrom::After("5-0".into()), 95),
            (TailFrom::After("99-0".into()), 1),
            (TailFrom::After("100-0".into()), 0),
        ];
        let mut tails = Vec::new();
        for (from, count) in starts {
            let mut tail = fixture.streams.tail("s", from);
            if count == 0 {
                first_position(&mut tail).await;
            }
            assert_eq!(collect(&mut tail, count).await.len(), count);
            tails.push(tail);
        }
        for n in 101..150 {
            commands(&fixture, &[&format!("XADD s MAXLEN = 1 {n}-0 f {n}")]).await;
            for tail in &mut tails {
                assert_eq!(next_values(tail).await, [n.to_string()]);
            }
        }
    }
}

#[tokio::test]
pub(crate) async fn a_deleted_or_recreated_stream_is_reported_to_a_live_tail() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let mut tail = live_tail(&fixture).await;
        commands(&fixture, &["DEL s"]).await;
        assert_eq!(
            next_gap(&mut tail).await,
            expected_gap("3-0", None, GapReason::Recreated, "0-0")
        );
        commands(&fixture, &["XADD s 2-0 f again"]).await;
        assert_eq!(next_values(&mut tail).await, ["again"]);
        in_one_transaction(
            &fixture,
            &["DEL s", "XADD s 1-0 f smaller", "XADD s 1-1 f next"],
        )
        .await;
        let position = "0-18446744073709551615";
        assert_eq!(
            next_gap(&mut tail).await,
            expected_gap("2-0", Some("1-0"), GapReason::Recreated, position)
        );
        assert_eq!(next_values(&mut tail).await, ["smaller", "next"]);
        in_one_transaction(&fixture, &["DEL s", "XADD s 9-0 f greater"]).await;
        let gap = next_gap(&mut tail).await;
        assert_eq!(
            (gap.after.as_str(), gap.first.as_deref()),
            ("1-1", Some("9-0"))
        );
        assert_eq!(next_values(&mut tail).await, ["greater"]);
    }
}

#[tokio::test]
pub(crate) async fn a_gap_found_in_the_backlog_is_not_reported_again_by_the_feed() {
    for version in RedisVersion::ALL {
        // Ids after and before the feed's position in the earlier stream.
        for anew in [[200, 201, 202, 203, 204], [70, 71, 72, 73, 80]] {
            let fixture = Fixture::new(version).await;
            let mut other = live_tail(&fixture).await;
            let mut tail = tail_after(&fixture, "3-0");
            assert_eq!(first_position(&mut tail).await, "3-0");
            for n in [4, 99, 100] {
                commands(&fixture, &[&format!("XADD s {n}-0 f {n}")]).await;
                assert_eq!(next_values(&mut other).await, [n.to_string()]);
            }
            assert!(tail.next().now_or_never().is_none(), "it joins the feed");
            fixture.sync_with_hub().await;
            let [a, b, c, d, e] = anew.map(|n| format!("XADD s MAXLEN = 1 {n}-0 f {n}"));
            in_one_transaction(&fixture, &["DEL s", &a, &b, &c, &d, &e]).await;
            let left = [anew[4].to_string()];
            assert_eq!(next_gap(&mut other).await.reason, GapReason::Recreated);
            assert_eq!(next_values(&mut other).await, left);
            assert_eq!(next_gap(&mut tail).await.after, "3-0");
            assert_eq!(next_values(&mut tail).await, left);
            commands(&fixture, &["XADD s 300-0 f 300"]).await;
            for tail in [&mut other, &mut tail] {
                assert_eq!(next_values(tail).await, ["300"]);
            }
        }
    }
}

#[tokio::test]
pub(crate) async fn a_tail_of_the_last_entries_never_begins_with_a_gap() {
    for version in RedisVersion::ALL {
        let trimmed = ["XTRIM s MAXLEN 2"].as_slice();
        let emptied = ["XTRIM s MAXLEN 0", "XADD s 10-0 f 10"].as_slice();
        let anew = ["DEL s", "XADD s 1-0 f new", "XADD s 2-0 f newer"].as_slice();
        let starts = [
            (trimmed, vec!["8", "9"]),
            (emptied, vec!["10"]),
            (anew, vec!["new", "newer"]),
        ];
        for (meanwhile, expected) in starts {
            let fixture = Fixture::new(version).await;
            for n in 1..=9 {
                commands(&fixture, &[&format!("XADD s {n}-0 f {n}")]).await;
            }
            let mut tail = fixture.streams.tail("s", TailFrom::Last(5));
            assert!(tail.next().now_or_never().is_none(), "it reads backwards");
            // Answered after the tail's first page, on the same connection.
            fixture.streams.read_latest_entries("s", 1).await.unwrap();
            in_one_transaction(&fixture, meanwhile).await;
            assert_eq!(collect(&mut tail, expected.len()).await, expected);
            commands(&fixture, &["XADD s 11-0 f 11"]).await;
            assert_eq!(next_values(&mut tail).await, ["11"]);
        }
    }
}
