//! What is missing is told: once, before what comes behind it, and not where nothing is.

use futures_util::{FutureExt, StreamExt};
use streamgate_protocol::{Gap, StreamingBackend, SubscribingBackend, Tail, TailFrom};
use streamgate_test_support::RedisVersion;

use crate::fixture::{Fixture, collect, failure, gap, next_values, standing};

fn told(after: &str, first: Option<&str>, recreated: bool, position: &str) -> Gap {
    Gap {
        after: after.into(),
        first: first.map(str::to_owned),
        recreated,
        position: position.into(),
    }
}

async fn ask(fixture: &Fixture, commands: &[&str]) {
    for command in commands {
        let _: redis::Value = fixture.ask(command).await.unwrap();
    }
}

/// Several commands at once, so that nobody sees what is in between.
async fn at_once(fixture: &Fixture, commands: &[&str]) {
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

fn after(fixture: &Fixture, id: &str) -> Tail {
    fixture.streams.tail("s", TailFrom::After(id.into()))
}

/// A tail that is in the feed and has seen 1-0 to 3-0.
async fn live(fixture: &Fixture) -> Tail {
    ask(fixture, &["XADD s 1-0 f 1", "XADD s 2-0 f 2"]).await;
    let mut tail = fixture.streams.tail("s", TailFrom::Beginning);
    assert_eq!(next_values(&mut tail).await, ["1", "2"]);
    ask(fixture, &["XADD s 3-0 f 3"]).await;
    assert_eq!(next_values(&mut tail).await, ["3"]);
    tail
}

#[tokio::test]
pub(crate) async fn a_tail_that_resumes_where_entries_were_trimmed_is_told() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        for n in 1..=9 {
            ask(&fixture, &[&format!("XADD s {n}-0 f {n}")]).await;
        }
        ask(&fixture, &["XTRIM s MAXLEN 3"]).await;
        let mut tail = after(&fixture, "4-0");
        let gap = gap(&mut tail).await;
        let position = "6-18446744073709551615";
        assert_eq!(gap, told("4-0", Some("7-0"), false, position));
        assert_eq!(next_values(&mut tail).await, ["7", "8", "9"]);
        let mut resumed = after(&fixture, position);
        assert_eq!(next_values(&mut resumed).await, ["7", "8", "9"]);
        for present in ["7-0", "8-0"] {
            next_values(&mut after(&fixture, present)).await;
        }
        assert_eq!(standing(&mut after(&fixture, "9-0")).await, "9-0");
        // From the very start, too; but not for who wants no more than there is.
        assert_eq!(
            crate::fixture::gap(&mut after(&fixture, "0")).await.after,
            "0-0"
        );
        let mut all = fixture.streams.tail("s", TailFrom::Beginning);
        assert_eq!(next_values(&mut all).await, ["7", "8", "9"]);
    }
}

#[tokio::test]
pub(crate) async fn a_deleted_entry_is_no_gap() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    for n in 1..=5 {
        ask(&fixture, &[&format!("XADD s {n}-0 f {n}")]).await;
    }
    ask(&fixture, &["XDEL s 2-0 3-0 5-0"]).await;
    assert_eq!(next_values(&mut after(&fixture, "2-0")).await, ["4"]);
    assert_eq!(standing(&mut after(&fixture, "5-0")).await, "5-0");
}

#[tokio::test]
pub(crate) async fn a_stream_trimmed_to_nothing_under_a_live_tail_is_no_gap_until_something_is_missing()
 {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let mut tail = live(&fixture).await;
        ask(&fixture, &["XTRIM s MAXLEN 0", "XADD s 4-0 f 4"]).await;
        assert_eq!(next_values(&mut tail).await, ["4"]);
        at_once(&fixture, &["XADD s 5-0 f 5", "XTRIM s MAXLEN 0"]).await;
        assert_eq!(gap(&mut tail).await, told("4-0", None, false, "5-0"));
        ask(&fixture, &["XADD s 6-0 f 6"]).await;
        assert_eq!(next_values(&mut tail).await, ["6"]);
        at_once(&fixture, &["XADD s 7-0 f 7", "XADD s MAXLEN = 1 8-0 f 8"]).await;
        let position = "7-18446744073709551615";
        assert_eq!(
            gap(&mut tail).await,
            told("6-0", Some("8-0"), false, position)
        );
        assert_eq!(next_values(&mut tail).await, ["8"]);
    }
}

#[tokio::test]
pub(crate) async fn a_stream_of_one_entry_at_a_time_has_no_gaps() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let mut tail = fixture.streams.tail("s", TailFrom::Now);
        assert_eq!(standing(&mut tail).await, "0-0");
        for n in 1..50 {
            ask(&fixture, &[&format!("XADD s MAXLEN = 1 {n}-0 f {n}")]).await;
            assert_eq!(next_values(&mut tail).await, [n.to_string()]);
        }
        // Used as a queue: what was read is deleted.
        for n in 50..100 {
            ask(&fixture, &[&format!("XADD s {n}-0 f {n}")]).await;
            assert_eq!(next_values(&mut tail).await, [n.to_string()]);
            ask(&fixture, &[&format!("XDEL s {n}-0")]).await;
        }
        ask(&fixture, &["XADD s 100-0 f 100"]).await;
        assert_eq!(next_values(&mut tail).await, ["100"]);
    }
}

#[tokio::test]
pub(crate) async fn who_has_read_all_there_is_misses_nothing_when_it_is_trimmed() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        // Some pages of them.
        for n in 1..=100 {
            ask(&fixture, &[&format!("XADD s {n}-0 f {n}")]).await;
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
                standing(&mut tail).await;
            }
            assert_eq!(collect(&mut tail, count).await.len(), count);
            tails.push(tail);
        }
        for n in 101..150 {
            ask(&fixture, &[&format!("XADD s MAXLEN = 1 {n}-0 f {n}")]).await;
            for tail in &mut tails {
                assert_eq!(next_values(tail).await, [n.to_string()]);
            }
        }
    }
}

#[tokio::test]
pub(crate) async fn a_stream_that_is_deleted_or_made_anew_under_a_live_tail_is_told() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let mut tail = live(&fixture).await;
        ask(&fixture, &["DEL s"]).await;
        assert_eq!(gap(&mut tail).await, told("3-0", None, true, "0-0"));
        ask(&fixture, &["XADD s 2-0 f again"]).await;
        assert_eq!(next_values(&mut tail).await, ["again"]);
        at_once(
            &fixture,
            &["DEL s", "XADD s 1-0 f smaller", "XADD s 1-1 f next"],
        )
        .await;
        let position = "0-18446744073709551615";
        assert_eq!(
            gap(&mut tail).await,
            told("2-0", Some("1-0"), true, position)
        );
        assert_eq!(next_values(&mut tail).await, ["smaller", "next"]);
        at_once(&fixture, &["DEL s", "XADD s 9-0 f greater"]).await;
        let gap = gap(&mut tail).await;
        assert_eq!(
            (gap.after.as_str(), gap.first.as_deref()),
            ("1-1", Some("9-0"))
        );
        assert_eq!(next_values(&mut tail).await, ["greater"]);
    }
}

#[tokio::test]
pub(crate) async fn who_finds_a_gap_by_itself_is_not_told_of_it_again() {
    for version in RedisVersion::ALL {
        // Behind the feed's place in the stream before, and in front of it.
        for anew in [[200, 201, 202, 203, 204], [70, 71, 72, 73, 80]] {
            let fixture = Fixture::new(version).await;
            let mut other = live(&fixture).await;
            let mut tail = after(&fixture, "3-0");
            assert_eq!(standing(&mut tail).await, "3-0");
            for n in [4, 99, 100] {
                ask(&fixture, &[&format!("XADD s {n}-0 f {n}")]).await;
                assert_eq!(next_values(&mut other).await, [n.to_string()]);
            }
            assert!(tail.next().now_or_never().is_none(), "it joins");
            // Ends once the hub has handled all that came before it.
            let handled = fixture.start_read("other", "$", 50).await;
            handled.finish().await.unwrap();
            let [a, b, c, d, e] = anew.map(|n| format!("XADD s MAXLEN = 1 {n}-0 f {n}"));
            at_once(&fixture, &["DEL s", &a, &b, &c, &d, &e]).await;
            let left = [anew[4].to_string()];
            assert!(gap(&mut other).await.recreated);
            assert_eq!(next_values(&mut other).await, left);
            assert_eq!(gap(&mut tail).await.after, "3-0");
            assert_eq!(next_values(&mut tail).await, left);
            ask(&fixture, &["XADD s 300-0 f 300"]).await;
            for tail in [&mut other, &mut tail] {
                assert_eq!(next_values(tail).await, ["300"]);
            }
        }
    }
}

#[tokio::test]
pub(crate) async fn the_last_entries_never_begin_with_a_gap() {
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
                ask(&fixture, &[&format!("XADD s {n}-0 f {n}")]).await;
            }
            let mut tail = fixture.streams.tail("s", TailFrom::Last(5));
            assert!(tail.next().now_or_never().is_none(), "it reads backwards");
            // Behind that on the same connection.
            fixture.streams.stream_read_latest("s", 1).await.unwrap();
            at_once(&fixture, meanwhile).await;
            assert_eq!(collect(&mut tail, expected.len()).await, expected);
            ask(&fixture, &["XADD s 11-0 f 11"]).await;
            assert_eq!(next_values(&mut tail).await, ["11"]);
        }
    }
}

#[tokio::test]
pub(crate) async fn a_key_of_another_type_ends_a_live_tail() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let mut tail = live(&fixture).await;
        at_once(&fixture, &["DEL s", "SET s text"]).await;
        assert_eq!(failure(&mut tail).await.code(), "WRONGTYPE");
    }
}

#[tokio::test]
pub(crate) async fn the_position_of_a_gap_without_a_first_entry_is_no_gap() {
    let fixture = Fixture::new(RedisVersion::V8_2).await;
    for n in 1..=5 {
        ask(&fixture, &[&format!("XADD s {n}-0 f {n}")]).await;
    }
    ask(&fixture, &["XTRIM s MAXLEN 0"]).await;
    assert_eq!(
        gap(&mut after(&fixture, "2-0")).await,
        told("2-0", None, false, "5-0")
    );
    let mut resumed = after(&fixture, "5-0");
    assert_eq!(standing(&mut resumed).await, "5-0");
    ask(&fixture, &["XADD s 6-0 f 6"]).await;
    assert_eq!(next_values(&mut resumed).await, ["6"]);
    ask(&fixture, &["DEL s"]).await;
    assert_eq!(
        gap(&mut after(&fixture, "5-0")).await,
        told("5-0", None, true, "0-0")
    );
}
