//! Subscriptions: items, credit, and how they end.

use streamgate_protocol::message::{Credit, Fault, Subscription, TailStart};
use streamgate_protocol::{Entry, Gap, GapReason};

use super::*;
use crate::engine::request_queue::MAX_QUEUED_REQUESTS;
use crate::engine::subscription_window::MAX_FREE_ITEMS;

fn tail() -> Subscription<'static> {
    Subscription::Tail {
        stream: "s".into(),
        from: TailStart::Now {},
    }
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

/// Returns an entry that costs this many bytes.
fn entry(bytes: usize) -> Entry {
    let value = "v".repeat(bytes - 4);
    Entry::new("1-1", [("f", value)])
}

fn entries(count: usize) -> Item {
    Item::Entries {
        entries: vec![entry(10); count],
        position: None,
    }
}

fn large(bytes: usize) -> Item {
    Item::Entries {
        entries: vec![entry(bytes)],
        position: None,
    }
}

fn position() -> Item {
    Item::Entries {
        entries: vec![],
        position: Some("5-0".to_owned()),
    }
}

fn gap() -> Item {
    Item::Gap(Gap::new("1-0", "0-0").reason(GapReason::Recreated))
}

const fn credit(entries: u64, bytes: u64) -> Credit {
    Credit { entries, bytes }
}

impl TestEngine {
    /// Returns one that is connected and has sent a subscription with the id 1.
    fn subscribed(subscription: Subscription<'static>, entries: u32, bytes: u32) -> Self {
        let mut test = Self::with(ClientConfig {
            credit_entries: entries,
            credit_bytes: bytes,
            ..ClientConfig::default()
        });
        test.accept();
        test.subscribe(1, subscription);
        assert_eq!(test.sent().concat().len(), 1);
        test.actions.clear();
        test.states.clear();
        test
    }

    fn subscribe(&mut self, id: u64, subscription: Subscription<'static>) {
        self.engine.subscribe(id, subscription, self.now);
        self.collect();
    }

    fn push(&mut self, item: Item) {
        self.receive(&ServerMessage::Push { id: 1, item });
    }

    /// Lets the owner take this much, and returns the grants that are sent.
    fn consume_and_take_grants(&mut self, taken: Credit) -> Vec<Credit> {
        self.engine.consumed(1, taken);
        let grant = |message| match message {
            ClientMessage::Grant { id: 1, credit } => credit,
            other => panic!("{other:?}"),
        };
        self.sent().concat().into_iter().map(grant).collect()
    }
}

#[test]
fn requests_and_subscriptions_are_sent_in_their_order() {
    let mut test = TestEngine::open();
    test.request(1, add("before"));
    test.subscribe(2, tail());
    test.request(3, add("after"));
    test.subscribe(4, consume(7));
    let sent = test.sent().concat();
    let ids: Vec<u64> = sent
        .iter()
        .map(|message| match message {
            ClientMessage::Request { id, .. } | ClientMessage::Subscribe { id, .. } => *id,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ids, [1, 2, 3, 4]);
    let subscribe = |id, subscription, credit| ClientMessage::Subscribe {
        id,
        subscription,
        credit,
    };
    assert_eq!(sent[1], subscribe(2, tail(), credit(1_024, 1 << 20)));
    let batch = credit(7, 1 << 20);
    assert_eq!(sent[3], subscribe(4, consume(7), batch), "not more at once");
}

#[test]
fn pushed_items_are_delivered() {
    let mut test = TestEngine::subscribed(tail(), 10, 1_000);
    let items = [position(), entries(3), gap(), entries(1)];
    for item in items.clone() {
        test.push(item);
    }
    assert_eq!(test.pushed, items.map(|item| (1, item)));
    let mut test = TestEngine::subscribed(consume(5), 10, 1_000);
    test.push(entries(5));
    assert_eq!(test.pushed, [(1, entries(5))]);
    assert!(test.finished.is_empty());
}

#[test]
fn an_error_ends_a_subscription_once() {
    let mut test = TestEngine::subscribed(tail(), 10, 1_000);
    let fault = Fault::from(&CacheError::from_code(code::WRONGTYPE, "why"));
    for _ in 0..2 {
        let outcome = Outcome::Error(fault.clone());
        test.receive(&ServerMessage::Reply { id: 1, outcome });
    }
    test.push(entries(1));
    assert_eq!(test.codes(), [(1, "WRONGTYPE")]);
    assert!(test.pushed.is_empty());
    assert!(
        test.consume_and_take_grants(credit(10, 1_000)).is_empty(),
        "it is over"
    );
}

#[test]
fn entries_are_granted_by_halves_of_the_window() {
    let mut test = TestEngine::subscribed(tail(), 10, 1_000);
    test.push(entries(10));
    for _ in 0..4 {
        assert!(test.consume_and_take_grants(credit(1, 10)).is_empty());
    }
    assert_eq!(test.consume_and_take_grants(credit(1, 10)), [credit(5, 50)]);
    assert!(test.consume_and_take_grants(credit(4, 40)).is_empty());
    assert_eq!(test.consume_and_take_grants(credit(1, 10)), [credit(5, 50)]);
    test.push(entries(10));
    assert!(test.finished.is_empty(), "all of it was granted again");
}

#[test]
fn bytes_are_granted_by_halves_of_the_window() {
    let mut test = TestEngine::subscribed(tail(), 100, 1_000);
    test.push(large(499));
    assert!(test.consume_and_take_grants(credit(1, 499)).is_empty());
    test.push(large(10));
    assert_eq!(
        test.consume_and_take_grants(credit(1, 10)),
        [credit(2, 509)]
    );
}

#[test]
fn the_grants_of_a_subscription_are_merged() {
    let mut test = TestEngine::subscribed(tail(), 4, 1_000);
    test.push(entries(4));
    test.engine.consumed(1, credit(2, 20));
    test.engine.consumed(1, credit(2, 20));
    let grant = ClientMessage::Grant {
        id: 1,
        credit: credit(4, 40),
    };
    assert_eq!(test.sent(), [[grant]]);
}

#[test]
fn one_entry_may_exceed_the_bytes_and_does_not_widen_the_window() {
    let mut test = TestEngine::subscribed(tail(), 10, 1_000);
    for _ in 0..3 {
        test.push(large(5_000));
        assert_eq!(
            test.consume_and_take_grants(credit(1, 5_000)),
            [credit(1, 5_000)]
        );
    }
    assert!(test.finished.is_empty());
    test.push(large(1_000));
    test.push(large(10));
    assert_eq!(test.codes(), [(1, "PROTOCOL")]);
}

#[test]
fn the_smallest_window_still_grants_credit() {
    let mut test = TestEngine::subscribed(consume(1), 0, 0);
    for _ in 0..3 {
        test.push(large(10));
        assert_eq!(test.consume_and_take_grants(credit(1, 10)), [credit(1, 10)]);
    }
}

#[test]
fn positions_and_gaps_cost_no_credit() {
    let mut test = TestEngine::subscribed(tail(), 1, 1_000);
    test.push(position());
    test.push(entries(1));
    test.push(gap());
    test.push(gap());
    assert_eq!(test.pushed.len(), 4);
    assert!(test.consume_and_take_grants(Credit::default()).is_empty());
    assert_eq!(test.consume_and_take_grants(credit(1, 10)), [credit(1, 10)]);
}

#[test]
fn a_push_that_violates_the_protocol_closes_the_client() {
    let with_position = Item::Entries {
        entries: vec![entry(10)],
        position: Some("1-1".to_owned()),
    };
    let nothing = Item::Entries {
        entries: vec![],
        position: None,
    };
    for (subscription, items, code) in [
        (tail(), vec![entries(11)], "PROTOCOL"),
        (tail(), vec![entries(10), entries(1)], "PROTOCOL"),
        (tail(), vec![large(1_000), large(10)], "PROTOCOL"),
        (tail(), vec![nothing.clone()], "PROTOCOL"),
        (tail(), vec![position(), position()], "PROTOCOL"),
        (tail(), vec![entries(1), position()], "PROTOCOL"),
        (consume(5), vec![entries(6)], "UNKNOWN_OUTCOME"),
        (consume(5), vec![position()], "UNKNOWN_OUTCOME"),
        (consume(5), vec![nothing], "UNKNOWN_OUTCOME"),
        (consume(5), vec![with_position], "UNKNOWN_OUTCOME"),
        (consume(5), vec![gap()], "UNKNOWN_OUTCOME"),
    ] {
        let mut test = TestEngine::subscribed(subscription, 10, 1_000);
        let about = format!("{items:?}");
        for item in items {
            assert!(test.finished.is_empty(), "{about}");
            test.push(item);
        }
        assert_eq!(test.codes(), [(1, code)], "{about}");
        assert!(
            matches!(test.actions[..], [SocketAction::Close { code: 4400, .. }]),
            "{about}"
        );
    }
}

#[test]
fn a_push_to_a_request_and_a_reply_to_a_subscription_are_violations() {
    let mut test = TestEngine::open();
    test.request(1, read());
    test.sent();
    test.push(entries(1));
    assert_eq!(test.codes(), [(1, "PROTOCOL")]);
    let mut test = TestEngine::subscribed(tail(), 10, 1_000);
    test.reply_done(1);
    assert_eq!(test.codes(), [(1, "PROTOCOL")]);
    assert!(matches!(test.actions[..], [SocketAction::Close { .. }]));
}

#[test]
fn too_many_gaps_that_nobody_takes_end_only_the_subscription() {
    let mut test = TestEngine::subscribed(tail(), 10, 1_000);
    for _ in 0..MAX_FREE_ITEMS {
        test.push(gap());
    }
    test.consume_and_take_grants(Credit::default());
    test.push(gap());
    assert!(test.finished.is_empty(), "there is room again");
    test.push(gap());
    assert_eq!(test.codes(), [(1, "OVERLOADED")]);
    assert_eq!(test.sent(), [[ClientMessage::Cancel { id: 1 }]]);
    assert!(test.actions.is_empty());
}

#[test]
fn a_cancelled_subscription_receives_nothing_more() {
    let mut test = TestEngine::subscribed(tail(), 10, 1_000);
    test.push(entries(10));
    test.engine.consumed(1, credit(10, 100));
    test.engine.cancel(1);
    let cancel = ClientMessage::Cancel { id: 1 };
    assert_eq!(test.sent(), [[cancel]], "and no grant");
    test.push(entries(1));
    test.push(gap());
    test.engine.consumed(1, credit(10, 100));
    assert!(test.sent().is_empty());
    assert_eq!(test.pushed.len(), 1);
    assert!(test.finished.is_empty() && test.actions.is_empty());
}

#[test]
fn a_subscription_that_is_cancelled_before_it_was_sent_is_never_sent() {
    let mut test = TestEngine::open();
    test.subscribe(1, tail());
    test.engine.cancel(1);
    assert!(test.sent().is_empty());
}

#[test]
fn aborting_ends_subscriptions() {
    let mut test = TestEngine::subscribed(tail(), 10, 1_000);
    test.subscribe(2, consume(1));
    test.sent();
    test.subscribe(3, tail());
    test.engine.abort(test.now);
    test.subscribe(4, tail());
    let codes = [
        (1, "CLOSED"),
        (2, "UNKNOWN_OUTCOME"),
        (3, "CLOSED"),
        (4, "CLOSED"),
    ];
    assert_eq!(test.codes(), codes);
}

#[test]
fn subscriptions_count_as_requests_in_flight_and_in_the_queue() {
    let mut test = TestEngine::open();
    for id in 1..=1_001 {
        test.subscribe(id, tail());
    }
    assert_eq!(test.sent().concat().len(), 1_000);
    test.engine.cancel(1);
    let sent = test.sent().concat();
    assert!(matches!(
        sent[..],
        [
            ClientMessage::Cancel { id: 1 },
            ClientMessage::Subscribe { id: 1_001, .. }
        ]
    ));

    let mut test = TestEngine::new();
    for id in 0..MAX_QUEUED_REQUESTS as u64 {
        test.subscribe(id, tail());
    }
    assert!(test.finished.is_empty());
    test.subscribe(u64::MAX, tail());
    assert_eq!(test.codes(), [(u64::MAX, "OVERLOADED")]);
}

#[test]
fn subscriptions_do_not_wait_forever_to_be_sent() {
    let mut test = TestEngine::open();
    test.lose_connection(1006);
    test.subscribe(1, consume(1));
    for _ in 0..100 {
        test.advance(300);
        test.lose_connection(1006);
    }
    assert_eq!(test.codes(), [(1, "DISCONNECTED")]);
}
