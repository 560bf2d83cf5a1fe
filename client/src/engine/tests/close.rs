//! The owner closes the client, which first finishes its requests.

use streamgate_protocol::message::{Subscription, TailStart};

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
