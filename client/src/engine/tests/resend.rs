//! What is sent again on the next connection.

use streamgate_protocol::message::{Credit, Subscription, TailStart};
use streamgate_protocol::{ConsumeOptions, Entry};

use super::*;
use crate::engine::delivery_log::MAX_CONSUMERS;

mod backend_outage;
mod idempotent_adds;
mod recovery;

impl TestEngine {
    /// Loses the connection, and returns what is sent on the next one.
    fn reconnect(&mut self) -> Vec<ClientMessage<'static>> {
        self.lose_connection(1006);
        self.advance_until_connect();
        self.accept();
        self.sent().concat()
    }

    fn reply_error(&mut self, id: u64, code: &str) {
        let fault = (&CacheError::from_code(code, "why")).into();
        let outcome = Outcome::Error(fault);
        self.receive(&ServerMessage::Reply { id, outcome });
    }

    fn reply_entries(&mut self, id: u64, entries: &[&str]) {
        let reply = Reply::entries(entries_with_ids(entries));
        let outcome = Outcome::Ok(reply);
        self.receive(&ServerMessage::Reply { id, outcome });
    }

    fn push_entries(&mut self, id: u64, ids: &[&str], position: Option<&str>) {
        let item = entries_item(ids, position);
        self.receive(&ServerMessage::Push { id, item });
    }

    /// Returns the ids of the entries in the result of a request.
    fn ids_of_reply(&self, id: u64) -> Vec<&str> {
        let results: Vec<_> = self.finished.iter().filter(|(of, _)| *of == id).collect();
        match &results[..] {
            [(_, Ok(Reply::Entries { entries, .. }))] => {
                entries.iter().map(|entry| entry.id.as_str()).collect()
            }
            other => panic!("{other:?}"),
        }
    }
}

fn entries_with_ids(ids: &[&str]) -> Vec<Entry> {
    ids.iter().map(|id| Entry::deleted(*id)).collect()
}

fn entries_item(ids: &[&str], position: Option<&str>) -> Item {
    Item::Entries {
        entries: entries_with_ids(ids),
        position: position.map(str::to_owned),
    }
}

fn request(id: u64, operation: Operation<'static>) -> ClientMessage<'static> {
    ClientMessage::Request { id, operation }
}

fn read_from(last_id: &str, block_ms: Option<u64>) -> Operation<'static> {
    Operation::Read {
        stream: "s".into(),
        last_id: last_id.to_owned().into(),
        count: 1,
        block_ms,
    }
}

fn read_group(consumer: &str, block_ms: Option<u64>) -> Operation<'static> {
    Operation::ReadGroup {
        stream: "s".into(),
        group: "g".into(),
        consumer: consumer.to_owned().into(),
        count: 2,
        block_ms,
    }
}

/// Returns the request that looks for lost entries, except those that arrived.
fn recovery(except: &[&str], count: u64) -> Operation<'static> {
    Operation::ReadPending {
        stream: "s".into(),
        group: "g".into(),
        consumer: "c".into(),
        after: "0-0".into(),
        count,
        except: except.iter().map(|id| (*id).to_owned().into()).collect(),
    }
}

fn tail(from: TailStart<'static>) -> Subscription<'static> {
    let stream = "s".into();
    Subscription::Tail { stream, from }
}

fn after(id: &str) -> TailStart<'static> {
    let id = id.to_owned().into();
    TailStart::After { id }
}

fn consume(batch: u64) -> Subscription<'static> {
    Subscription::Consume {
        stream: "s".into(),
        group: "g".into(),
        consumer: "c".into(),
        batch,
        claim_after_ms: None,
        max_deliveries: None,
        dead_letter: None,
        resumed: None,
        create_from: None,
        position: None,
    }
}

fn subscribe(
    id: u64,
    subscription: Subscription<'static>,
    credit: Credit,
) -> ClientMessage<'static> {
    ClientMessage::Subscribe {
        id,
        subscription,
        credit,
    }
}

const fn credit(entries: u64) -> Credit {
    Credit {
        entries,
        bytes: 1 << 20,
    }
}

#[test]
fn a_wait_is_sent_again_with_the_time_it_has_left() {
    let mut test = TestEngine::open();
    test.request(1, read_from("5-0", Some(10_000)));
    test.request(2, read_from("5-0", Some(0)));
    test.request(3, read_from("5-0", None));
    test.request(4, read_from("5-0", Some(50)));
    // Its time is over to the millisecond, and 0 would be no limit.
    test.request(5, read_from("5-0", Some(6_000)));
    test.sent();
    test.advance(4_000);
    test.lose_connection(1006);
    test.now += 2_000;
    test.engine.handle_timeout(test.now);
    test.collect();
    test.accept();
    let waits = [Some(4_000), Some(0), None, None, None];
    let again = (1..)
        .zip(waits)
        .map(|(id, wait)| request(id, read_from("5-0", wait)));
    assert_eq!(test.sent().concat(), again.collect::<Vec<_>>());
    assert!(test.finished.is_empty());
}

#[test]
fn a_read_from_the_end_is_sent_again_from_its_position() {
    let mut test = TestEngine::open();
    test.request(1, read_from("$", Some(0)));
    test.request(2, read_from("$", Some(0)));
    test.sent();
    let last_id = "7-0".to_owned();
    test.receive(&ServerMessage::Position { id: 1, last_id });
    let again = [
        request(1, read_from("7-0", Some(0))),
        request(2, read_from("$", Some(0))),
    ];
    assert_eq!(test.reconnect(), again);
    assert_eq!(test.reconnect(), again, "as often as it takes");
}

#[test]
fn acknowledgements_are_sent_again_in_their_order() {
    let mut test = TestEngine::open();
    let ack = || Operation::Ack {
        stream: "s".into(),
        group: "g".into(),
        ids: vec!["1-0".into()],
    };
    test.request(1, ack());
    test.sent();
    test.request(2, ack());
    assert_eq!(test.reconnect(), [request(1, ack()), request(2, ack())]);
    test.reply_done(1);
    assert_eq!(test.codes(), [(1, "OK")]);
}

#[test]
fn a_request_that_may_be_done_has_an_unknown_outcome_if_no_connection_comes() {
    let mut test = TestEngine::open();
    let ack = Operation::Ack {
        stream: "s".into(),
        group: "g".into(),
        ids: vec!["1-0".into()],
    };
    test.request(1, ack);
    test.request(2, read_from("1-0", None));
    test.request(3, read_group("c", None));
    test.sent();
    for _ in 0..200 {
        test.lose_connection(1006);
        test.advance(300);
    }
    let codes = [
        (1, "UNKNOWN_OUTCOME"),
        (2, "DISCONNECTED"),
        (3, "UNKNOWN_OUTCOME"),
    ];
    assert_eq!(test.codes(), codes);
}

#[test]
fn a_group_read_recovers_lost_entries_and_none_twice() {
    let mut test = TestEngine::open();
    test.request(1, read_group("c", None));
    test.request(2, read_group("c", None));
    test.sent();
    test.reply_entries(1, &["1-0", "2-0"]);
    let arrived = &["1-0", "2-0"];
    assert_eq!(test.reconnect(), [request(2, recovery(arrived, 2))]);
    // A server that returns them nevertheless.
    test.reply_entries(2, &["1-0", "2-0"]);
    assert_eq!(test.sent().concat(), [request(2, recovery(arrived, 2))]);
    test.reply_entries(2, &["3-0", "4-0"]);
    assert_eq!(test.ids_of_reply(2), ["3-0", "4-0"]);

    test.request(3, read_group("c", Some(10_000)));
    test.sent();
    test.advance(1_000);
    test.reconnect();
    test.reply_entries(3, &["1-0", "2-0"]);
    test.sent();
    test.reply_entries(3, &["3-0", "4-0"]);
    let arrived = &["1-0", "2-0", "3-0", "4-0"];
    assert_eq!(test.sent().concat(), [request(3, recovery(arrived, 2))]);
    test.reply_entries(3, &[]);
    let sent = test.sent().concat();
    let left = match &sent[..] {
        [ClientMessage::Request { id: 3, operation }] => operation.block_ms(),
        other => panic!("{other:?}"),
    };
    assert!(left.is_some_and(|left| left < 9_000), "{left:?}");
    test.reply_entries(3, &["5-0"]);
    assert_eq!(test.ids_of_reply(3), ["5-0"]);
}

#[test]
fn entries_that_a_recovery_did_not_reach_go_to_the_next_reads() {
    let mut test = TestEngine::open();
    test.request(1, read_group("c", None));
    test.sent();
    test.reply_entries(1, &["1-0"]);
    test.request(2, read_group("c", None));
    test.sent();
    test.reconnect();
    test.reply_entries(2, &["2-0"]);
    assert_eq!(test.ids_of_reply(2), ["2-0"]);
    // One lost entry is left; the next read must find it before anything else.
    test.request(3, read_group("c", None));
    let arrived = &["1-0", "2-0"];
    assert_eq!(test.sent().concat(), [request(3, recovery(arrived, 2))]);
    test.engine.cancel(3);
    test.request(4, read_group("c", None));
    let sent = test.sent().concat();
    assert_eq!(sent[1..], [request(4, recovery(arrived, 2))]);
    test.reply_entries(4, &["3-0"]);
    assert_eq!(test.ids_of_reply(4), ["3-0"]);
    test.request(5, read_group("c", None));
    let arrived = &["1-0", "2-0", "3-0"];
    assert_eq!(test.sent().concat(), [request(5, recovery(arrived, 2))]);
    test.reply_entries(5, &[]);
    assert_eq!(test.sent().concat(), [request(5, read_group("c", None))]);
    test.reply_entries(5, &["4-0"]);
    test.request(6, read_group("c", None));
    let plain = [request(6, read_group("c", None))];
    assert_eq!(test.sent().concat(), plain);
}

#[test]
fn two_lost_reads_do_not_recover_the_same_entries() {
    let mut test = TestEngine::open();
    test.request(1, read_group("c", None));
    test.request(2, read_group("c", None));
    test.sent();
    // One after the other.
    assert_eq!(test.reconnect(), [request(1, recovery(&[], 2))]);
    test.reply_entries(1, &["1-0", "2-0"]);
    let arrived = &["1-0", "2-0"];
    assert_eq!(test.sent().concat(), [request(2, recovery(arrived, 2))]);
    test.reply_entries(2, &["3-0"]);
    assert_eq!(
        (test.ids_of_reply(1), test.ids_of_reply(2)),
        (vec!["1-0", "2-0"], vec!["3-0"])
    );
}

#[test]
fn a_consumer_beyond_the_log_has_an_unknown_outcome() {
    let mut test = TestEngine::open();
    for n in 0..MAX_CONSUMERS as u64 {
        test.request(n, read_group(&n.to_string(), None));
        test.sent();
        test.reply_entries(n, &["1-0"]);
    }
    test.finished.clear();
    test.request(2_000, read_group("c", None));
    test.sent();
    test.lose_connection(1006);
    assert_eq!(test.codes(), [(2_000, "UNKNOWN_OUTCOME")]);
}

#[test]
fn a_consumer_after_many_others_survives_a_loss() {
    let mut test = TestEngine::open();
    for n in 0..MAX_CONSUMERS as u64 {
        test.request(n, read_group(&n.to_string(), None));
        test.sent();
        test.reply_entries(n, &["1-0"]);
    }
    test.request(
        2_000,
        Operation::Ack {
            stream: "s".into(),
            group: "g".into(),
            ids: vec!["1-0".into()],
        },
    );
    test.sent();
    test.reply_done(2_000);
    test.engine.subscribe(2_001, consume(4), test.now);
    test.sent();
    assert_eq!(test.reconnect(), [request(2_001, recovery(&[], 4))]);
}

#[test]
fn a_tail_continues_at_its_position() {
    let mut test = TestEngine::open();
    let from = || tail(TailStart::Now {});
    test.engine.subscribe(1, from(), 0);
    assert_eq!(test.sent().concat(), [subscribe(1, from(), credit(1_024))]);
    assert_eq!(
        test.reconnect(),
        [subscribe(1, from(), credit(1_024))],
        "it had not begun"
    );
    test.push_entries(1, &[], Some("5-0"));
    let on = tail(after("5-0"));
    assert_eq!(test.reconnect(), [subscribe(1, on, credit(1_024))]);
    // The owner knows that position already.
    test.push_entries(1, &[], Some("5-0"));
    test.push_entries(1, &["6-0", "7-0"], None);
    assert_eq!(
        test.pushed,
        [
            (1, entries_item(&[], Some("5-0"))),
            (1, entries_item(&["6-0", "7-0"], None))
        ]
    );
    // Entries that the owner has not taken are not granted again.
    let left = Credit {
        entries: 1_022,
        bytes: (1 << 20) - 6,
    };
    assert_eq!(test.reconnect(), [subscribe(1, tail(after("7-0")), left)]);
    test.engine.consumed(
        1,
        Credit {
            entries: 2,
            bytes: 6,
        },
    );
    assert_eq!(
        test.reconnect(),
        [subscribe(1, tail(after("7-0")), credit(1_024))]
    );
    assert!(test.finished.is_empty());
}

#[test]
fn a_tail_continues_after_a_gap_that_was_reported() {
    let mut test = TestEngine::open();
    test.engine.subscribe(1, tail(after("1-0")), 0);
    test.sent();
    let gap = streamgate_protocol::Gap::new("1-0", "0-0")
        .reason(streamgate_protocol::GapReason::Recreated);
    test.receive(&ServerMessage::Push {
        id: 1,
        item: Item::Gap(gap),
    });
    assert_eq!(
        test.reconnect(),
        [subscribe(1, tail(after("0-0")), credit(1_024))]
    );
}

#[test]
fn subscriptions_wait_for_a_connection_without_a_limit() {
    let mut test = TestEngine::open();
    test.engine.subscribe(1, tail(TailStart::Now {}), 0);
    test.engine.subscribe(2, consume(4), 0);
    test.sent();
    for _ in 0..1_000 {
        test.lose_connection(1006);
        test.advance(1_000);
    }
    let sent = test.reconnect();
    assert_eq!(
        sent,
        [
            subscribe(1, tail(TailStart::Now {}), credit(1_024)),
            request(2, recovery(&[], 4)),
        ]
    );
    assert!(test.finished.is_empty());
    test.engine.cancel(1);
    test.engine.cancel(2);
    assert_eq!(test.reconnect(), []);
}

#[test]
fn a_consumer_recovers_lost_entries_and_then_continues() {
    let mut test = TestEngine::open();
    test.engine.subscribe(1, consume(2), 0);
    test.sent();
    test.push_entries(1, &["1-0"], None);
    test.engine.consumed(
        1,
        Credit {
            entries: 1,
            bytes: 3,
        },
    );
    assert_eq!(test.sent().concat().len(), 1, "a grant");
    assert_eq!(test.reconnect(), [request(1, recovery(&["1-0"], 2))]);
    test.reply_entries(1, &["2-0"]);
    assert_eq!(test.pushed.last(), Some(&(1, entries_item(&["2-0"], None))));
    // There is room for one more entry beside the one that the owner has.
    let arrived = &["1-0", "2-0"];
    assert_eq!(test.sent().concat(), [request(1, recovery(arrived, 1))]);
    test.reply_entries(1, &["3-0"]);
    assert!(
        test.sent().concat().is_empty(),
        "until its owner takes something"
    );
    test.engine.consumed(
        1,
        Credit {
            entries: 1,
            bytes: 3,
        },
    );
    let arrived = &["1-0", "2-0", "3-0"];
    assert_eq!(test.sent().concat(), [request(1, recovery(arrived, 1))]);
    test.reply_entries(1, &[]);
    let left = Credit {
        entries: 1,
        bytes: (1 << 20) - 3,
    };
    assert_eq!(test.sent().concat(), [subscribe(1, consume(2), left)]);
    test.push_entries(1, &["4-0"], None);
    let delivered: Vec<_> = test.pushed.iter().map(|(_, item)| item.clone()).collect();
    assert_eq!(
        delivered,
        [&["1-0"], &["2-0"], &["3-0"], &["4-0"]].map(|ids| entries_item(ids, None))
    );
}

#[test]
fn a_consumer_that_reclaims_says_that_it_resumes() {
    let options = ConsumeOptions::default().batch(2).claim_after_ms(5);
    let consume = Subscription::consume("s", "g", "c", options);
    let mut test = TestEngine::open();
    test.engine.subscribe(1, consume.clone(), 0);
    let left = credit(2);
    assert_eq!(test.sent().concat(), [subscribe(1, consume.clone(), left)]);
    assert_eq!(test.reconnect(), [request(1, recovery(&[], 2))]);
    test.reply_entries(1, &[]);
    let mut resumed = consume;
    if let Subscription::Consume { resumed, .. } = &mut resumed {
        *resumed = Some(true);
    }
    assert_eq!(test.sent().concat(), [subscribe(1, resumed, left)]);
}

#[test]
fn an_error_of_a_recovery_ends_the_consumer() {
    let mut test = TestEngine::open();
    test.engine.subscribe(1, consume(2), 0);
    test.sent();
    test.reconnect();
    let fault = (&CacheError::from_code(code::NOGROUP, "why")).into();
    let outcome = Outcome::Error(fault);
    test.receive(&ServerMessage::Reply { id: 1, outcome });
    assert_eq!(test.codes(), [(1, "NOGROUP")]);
    assert_eq!(test.reconnect(), []);
}
