//! The owner closes the client, which first finishes its requests.

use streamgate_protocol::message::{Credit, Subscription, TailStart};
use streamgate_protocol::{ConsumeOptions, Entry};

use super::*;

/// Less than the heartbeat.
const TIMEOUT_MS: u64 = 500;

impl TestEngine {
    fn close(&mut self) {
        self.engine.close(TIMEOUT_MS, self.now);
        self.collect();
    }

    /// Asserts that it closes its socket now.
    fn assert_closes(&mut self) {
        self.advance(0);
        let (code, reason) = (1000, "");
        assert_eq!(self.actions, [SocketAction::Close { code, reason }]);
    }
}

fn tail() -> Subscription<'static> {
    Subscription::Tail {
        stream: "s".into(),
        from: TailStart::Now {},
    }
}

#[test]
fn what_was_requested_before_is_done_first() {
    let mut test = TestEngine::open();
    test.request(1, add("sent"));
    test.sent();
    test.request(2, add("queued"));
    test.close();
    test.advance(TIMEOUT_MS - 1);
    assert_eq!((test.codes(), &*test.actions), (vec![], &[][..]));
    test.sent();
    test.reply_done(1);
    assert!(test.actions.is_empty());
    test.reply_done(2);
    assert_eq!(test.codes(), [(1, "OK"), (2, "OK")]);
    test.assert_closes();
}

#[test]
fn a_client_without_requests_closes_at_once() {
    let mut test = TestEngine::open();
    test.close();
    test.assert_closes();
    test.lose_connection(1000);
    assert!(test.engine.is_closed());
}

#[test]
fn nothing_is_requested_any_more() {
    let mut test = TestEngine::open();
    test.request(1, add("a"));
    test.close();
    test.request(2, add("b"));
    test.engine.subscribe(3, tail(), test.now);
    test.collect();
    assert_eq!(test.codes(), [(2, "CLOSED"), (3, "CLOSED")]);
}

#[test]
fn subscriptions_end_without_an_error_and_waits_with_one() {
    let mut test = TestEngine::open();
    test.engine.subscribe(1, tail(), test.now);
    test.request(2, read());
    test.sent();
    test.engine.subscribe(3, tail(), test.now);
    test.close();
    let mut codes = test.codes();
    codes.sort_unstable();
    assert_eq!(codes, [(1, "OK"), (2, "CLOSED"), (3, "OK")]);
    test.assert_closes();
}

#[test]
fn what_is_not_done_in_time_fails() {
    let mut test = TestEngine::open();
    test.request(1, add("a"));
    test.sent();
    test.request(2, add("b"));
    test.close();
    test.engine.close(0, test.now);
    test.advance(TIMEOUT_MS - 1);
    assert!(test.finished.is_empty(), "a second call changes nothing");
    test.advance(1);
    assert_eq!(test.codes(), [(1, "UNKNOWN_OUTCOME"), (2, "CLOSED")]);
    test.assert_closes();
}

#[test]
fn a_lost_connection_is_made_again_for_the_requests() {
    let mut test = TestEngine::open();
    test.request(1, add("a"));
    test.sent();
    test.close();
    test.lose_connection(1006);
    test.advance_until_connect();
    test.accept();
    test.sent();
    test.actions.clear();
    test.reply_done(1);
    assert_eq!(test.codes(), [(1, "OK")]);
    test.assert_closes();
}

#[test]
fn aborting_a_client_that_closes_ends_it_at_once() {
    let mut test = TestEngine::open();
    test.request(1, add("a"));
    test.close();
    test.engine.abort(test.now);
    test.collect();
    assert_eq!(test.codes(), [(1, "CLOSED")]);
    test.assert_closes();
}

/// Asserts that the client, whose server does not answer the close, gives up waiting for it.
fn assert_gives_up(mut test: TestEngine, code: u16) {
    assert_eq!(test.codes(), [(1, "UNKNOWN_OUTCOME")]);
    let wait = u64::from(test.engine.config.close_timeout_ms);
    assert_eq!(test.engine.next_deadline(), Some(test.now + wait));
    test.advance(wait - 1);
    assert!(!test.engine.is_closed());
    test.advance(1);
    assert!(test.engine.is_closed());
    assert_eq!(test.closed_with, Some(code));
    assert_eq!(test.engine.next_deadline(), None);
}

#[test]
fn a_violation_while_closing_is_given_up_without_an_answer() {
    let mut test = TestEngine::open();
    test.request(1, add("a"));
    test.sent();
    test.close();
    test.engine.handle_frame(&[0xff], false, test.now);
    test.collect();
    assert_gives_up(test, 1006);
}

#[test]
fn a_wrong_subprotocol_while_closing_is_given_up_without_an_answer() {
    let mut test = TestEngine::open();
    test.request(1, add("a"));
    test.sent();
    test.close();
    test.lose_connection(1006);
    test.advance_until_connect();
    test.engine.handle_opened("other", test.now);
    test.collect();
    assert_gives_up(test, 1006);
}

fn consume() -> Subscription<'static> {
    Subscription::consume("s", "g", "c", ConsumeOptions::default())
}

fn ack(id: &str) -> Operation<'static> {
    Operation::Ack {
        stream: "s".into(),
        group: "g".into(),
        ids: vec![id.to_owned().into()],
    }
}

impl TestEngine {
    /// Returns one whose owner has taken `1-0` of a consumer, 1, and not `2-0`, and closes it.
    fn close_at_work() -> Self {
        let mut test = Self::open();
        test.engine.subscribe(1, consume(), test.now);
        test.sent();
        for id in ["1-0", "2-0"] {
            let entries = vec![Entry::new(id, [("f", "v")])];
            let taken = Credit::of(&entries);
            let item = Item::Entries {
                entries,
                position: None,
            };
            test.receive(&ServerMessage::Push { id: 1, item });
            if id == "1-0" {
                test.engine.consumed(1, taken);
            }
        }
        test.close();
        assert_eq!(test.codes(), [(1, "OK")]);
        test.advance(TIMEOUT_MS - 1);
        assert!(test.actions.is_empty(), "the owner is at work");
        test
    }
}

#[test]
fn what_the_owner_took_of_a_consumer_can_be_acknowledged() {
    let mut test = TestEngine::close_at_work();
    test.request(2, ack("1-0"));
    test.sent();
    let outcome = Outcome::Ok(Reply::Acknowledged { count: 1 });
    test.receive(&ServerMessage::Reply { id: 2, outcome });
    assert_eq!(test.codes(), [(1, "OK"), (2, "OK")]);
    test.assert_closes();
}

#[test]
fn what_the_owner_took_before_it_heard_of_the_end_can_be_acknowledged_too() {
    let mut test = TestEngine::close_at_work();
    let taken = Credit::of(&[Entry::new("2-0", [("f", "v")])]);
    test.engine.consumed(1, taken);
    for (request, id) in [(2, "1-0"), (3, "2-0")] {
        test.advance(0);
        assert!(test.actions.is_empty(), "the owner is at work");
        test.request(request, ack(id));
        test.sent();
        let outcome = Outcome::Ok(Reply::Acknowledged { count: 1 });
        let id = request;
        test.receive(&ServerMessage::Reply { id, outcome });
    }
    test.assert_closes();
}

#[test]
fn an_owner_that_has_heard_of_the_end_of_its_consumer_is_not_awaited() {
    let mut test = TestEngine::close_at_work();
    test.engine.cancel(1);
    test.assert_closes();
}

#[test]
fn an_owner_that_acknowledges_nothing_is_awaited_until_the_deadline() {
    let mut test = TestEngine::close_at_work();
    test.advance(1);
    test.assert_closes();
    test.request(2, ack("1-0"));
    assert_eq!(test.codes(), [(1, "OK"), (2, "CLOSED")]);
}
