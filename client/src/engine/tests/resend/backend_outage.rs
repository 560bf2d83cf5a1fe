//! The server loses its backend, while the connection to the server stays.

use streamgate_protocol::limits::MAX_FAILURES;

use super::*;
use crate::engine::availability::SETTLE_MS;

impl TestEngine {
    /// Returns what is sent after a pause of this length, and checks that nothing is sent in its
    /// first half.
    fn sent_after_pause(&mut self, ms: u64) -> Vec<ClientMessage<'static>> {
        self.advance(ms / 2 - 1);
        let early = self.sent().concat();
        let pings = |message: &ClientMessage<'_>| matches!(message, ClientMessage::Ping { .. });
        assert!(early.iter().all(pings), "{early:?}");
        self.advance(ms - ms / 2 + 1);
        let mut sent = self.sent().concat();
        sent.retain(|message| !pings(message));
        self.receive(&ServerMessage::Pong { nonce: 0 });
        sent
    }

    /// Advances the clock, and answers the pings.
    fn advance_answering_pings(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(500) {
            self.advance(500);
            self.sent();
            self.receive(&ServerMessage::Pong { nonce: 0 });
        }
    }
}

fn reclaiming_consume(resumed: Option<bool>) -> Subscription<'static> {
    let options = ConsumeOptions::default().batch(2).claim_after_ms(5);
    let mut consume = Subscription::consume("s", "g", "c", options);
    if let Subscription::Consume { resumed: of, .. } = &mut consume {
        *of = resumed;
    }
    consume
}

#[test]
fn a_group_read_recovers_entries_that_the_server_lost() {
    let mut test = TestEngine::open();
    test.request(1, read_group("c", Some(10_000)));
    test.sent();
    test.reply_entries(1, &["1-0"]);
    test.request(2, read_group("c", Some(10_000)));
    test.sent();
    test.reply_error(2, "UNKNOWN_OUTCOME");
    let arrived = &["1-0"];
    assert_eq!(
        test.sent_after_pause(50),
        [request(2, recovery(arrived, 2))]
    );
    test.reply_entries(2, &["1-0", "2-0"]);
    assert_eq!(test.ids_of_reply(2), ["2-0"]);
}

#[test]
fn a_group_read_that_recovers_nothing_waits_for_the_time_it_has_left() {
    let mut test = TestEngine::open();
    test.request(1, read_group("c", Some(10_000)));
    test.request(2, read_group("d", Some(0)));
    test.sent();
    test.advance(500);
    test.reply_error(1, "UNKNOWN_OUTCOME");
    test.reply_error(2, "UNKNOWN_OUTCOME");
    assert_eq!(test.sent_after_pause(50).len(), 2);
    test.reply_entries(1, &[]);
    test.reply_entries(2, &[]);
    let again = [
        request(1, read_group("c", Some(9_450))),
        request(2, read_group("d", Some(0))),
    ];
    assert_eq!(test.sent().concat(), again);
    assert!(test.finished.is_empty());
}

#[test]
fn a_recovery_is_retried_after_growing_pauses() {
    let mut test = TestEngine::open();
    test.request(1, read_group("c", None));
    test.sent();
    test.reply_error(1, "UNKNOWN_OUTCOME");
    for pause in [50, 100, 200, 400, 800, 1_000, 1_000] {
        let sent = test.sent_after_pause(pause);
        assert_eq!(sent, [request(1, recovery(&[], 2))], "{pause} ms");
        test.reply_error(1, ["DISCONNECTED", "LOADING"][usize::from(pause == 50)]);
    }
    assert_eq!(test.sent_after_pause(1_000), [request(1, recovery(&[], 2))]);
    test.reply_entries(1, &[]);
    assert_eq!(
        test.sent().concat(),
        [request(1, read_group("c", None))],
        "at once"
    );
    // The backend is unavailable again, and nothing was found: the pauses go on.
    test.reply_error(1, "DISCONNECTED");
    assert_eq!(
        test.sent_after_pause(1_000),
        [request(1, read_group("c", None))]
    );
    test.reply_entries(1, &["1-0"]);
    assert_eq!(test.ids_of_reply(1), ["1-0"]);
}

/// Lets every recovery fail with a code. Returns after how many seconds the read fails, and how.
fn result_if_recoveries_fail(block_ms: Option<u64>, code: &str) -> (u64, String) {
    let mut test = TestEngine::open();
    test.request(1, read_group("c", block_ms));
    test.sent();
    test.set_backend_unavailable(Some("DISCONNECTED"));
    test.reply_error(1, "UNKNOWN_OUTCOME");
    while test.finished.is_empty() {
        assert!(test.now < 3_600_000, "it has no end");
        test.advance(10);
        for message in test.sent().concat() {
            match message {
                ClientMessage::Request { id, .. } => test.reply_error(id, code),
                _ => test.receive(&ServerMessage::Pong { nonce: 0 }),
            }
        }
    }
    (test.now / 1_000, test.codes()[0].1.to_owned())
}

#[test]
fn a_group_read_fails_once_its_wait_and_the_timeout_are_over() {
    let unknown = |at| (at, "UNKNOWN_OUTCOME".to_owned());
    assert_eq!(result_if_recoveries_fail(None, "DISCONNECTED"), unknown(30));
    assert_eq!(
        result_if_recoveries_fail(Some(10_000), "TIMEOUT"),
        unknown(30)
    );
    assert_eq!(
        result_if_recoveries_fail(Some(90_000), "UNKNOWN_OUTCOME"),
        unknown(90)
    );
    assert_eq!(
        result_if_recoveries_fail(Some(90_000), "NOGROUP"),
        (0, "NOGROUP".to_owned())
    );
}

/// The last attempt changed nothing, but the first may have.
#[test]
fn an_acknowledgement_that_may_be_done_never_fails_as_not_done() {
    let ack = || Operation::Ack {
        stream: "s".into(),
        group: "g".into(),
        ids: vec!["1-0".into()],
    };
    let mut test = TestEngine::open();
    test.request(1, ack());
    test.sent();
    assert_eq!(test.reconnect(), [request(1, ack())]);
    test.reply_error(1, "DISCONNECTED");
    assert_eq!(test.sent_after_pause(50), [request(1, ack())]);
    let reply = Outcome::Ok(Reply::Done {});
    test.receive(&ServerMessage::Reply {
        id: 1,
        outcome: reply,
    });
    assert!(matches!(test.finished[..], [(1, Ok(Reply::Done {}))]));

    test.request(2, ack());
    test.sent();
    test.reconnect();
    for _ in 0..40 {
        test.reply_error(2, "DISCONNECTED");
        test.advance_answering_pings(1_000);
    }
    test.request(4, ack());
    test.sent();
    test.reconnect();
    test.reply_error(4, "OVERLOADED");
    assert_eq!(test.sent_after_pause(50), [request(4, ack())]);
    for _ in 0..40 {
        test.reply_error(4, "OVERLOADED");
        test.advance_answering_pings(1_000);
    }
    // A request that was sent once and refused was not performed.
    test.request(3, ack());
    test.sent();
    test.reply_error(3, "DISCONNECTED");
    assert_eq!(
        test.codes()[1..],
        [
            (2, "UNKNOWN_OUTCOME"),
            (4, "UNKNOWN_OUTCOME"),
            (3, "DISCONNECTED")
        ]
    );
}

#[test]
fn a_group_read_without_a_limit_is_retried_without_a_limit() {
    let mut test = TestEngine::open();
    test.request(1, read_group("c", Some(0)));
    test.sent();
    test.set_backend_unavailable(Some("DISCONNECTED"));
    test.reply_error(1, "UNKNOWN_OUTCOME");
    for _ in 0..600 {
        test.advance_answering_pings(1_000);
        test.reply_error(1, "DISCONNECTED");
    }
    assert!(test.finished.is_empty());
    test.advance_answering_pings(1_000);
    test.reply_entries(1, &["1-0"]);
    assert_eq!(test.ids_of_reply(1), ["1-0"]);
}

#[test]
fn a_read_that_the_server_could_not_perform_fails_at_once() {
    let mut test = TestEngine::open();
    test.request(1, read_group("c", Some(10_000)));
    test.request(2, read_from("1-0", Some(10_000)));
    test.sent();
    test.reply_error(1, "DISCONNECTED");
    test.reply_error(2, "DISCONNECTED");
    assert_eq!(
        test.codes(),
        [(1, "DISCONNECTED"), (2, "DISCONNECTED")],
        "nothing was done"
    );
}

/// The connection was lost, and the next server has no backend yet.
#[test]
fn a_wait_that_is_sent_again_outlives_an_unavailable_backend() {
    let mut test = TestEngine::open();
    test.request(1, read_from("1-0", Some(10_000)));
    test.sent();
    assert_eq!(test.reconnect().len(), 1);
    test.reply_error(1, "DISCONNECTED");
    let again = test.sent_after_pause(50);
    assert!(
        matches!(again[..], [ClientMessage::Request { id: 1, .. }]),
        "{again:?}"
    );
    test.reply_entries(1, &["2-0"]);
    assert_eq!(test.ids_of_reply(1), ["2-0"]);
}

/// The request itself may be what makes the backend unavailable.
#[test]
fn an_available_backend_does_not_end_a_pause() {
    let mut test = TestEngine::open();
    test.request(1, read_group("c", None));
    test.sent();
    test.set_backend_unavailable(Some("DISCONNECTED"));
    test.reply_error(1, "UNKNOWN_OUTCOME");
    test.set_backend_unavailable(None);
    assert!(test.sent().is_empty());
    assert_eq!(test.sent_after_pause(50), [request(1, recovery(&[], 2))]);
}

/// Lets the backend become unavailable whenever a subscription or a wait begins, and return at
/// once. Returns how often it was sent, and after how many milliseconds it ended.
fn under_a_flapping_backend(test: &mut TestEngine) -> (usize, u64) {
    let mut sent = 0;
    while test.finished.is_empty() {
        assert!(test.now < 3_600_000, "it has no end");
        for message in test.sent().concat() {
            match message {
                ClientMessage::Subscribe { id, .. } => {
                    sent += 1;
                    test.push_entries(id, &[], Some("0-0"));
                    test.flap(id);
                }
                ClientMessage::Request { id, .. } => {
                    sent += 1;
                    test.flap(id);
                }
                _ => test.receive(&ServerMessage::Pong { nonce: 0 }),
            }
        }
        test.advance(1);
    }
    (sent, test.now)
}

impl TestEngine {
    fn flap(&mut self, id: u64) {
        self.set_backend_unavailable(Some("DISCONNECTED"));
        self.reply_error(id, "DISCONNECTED");
        self.set_backend_unavailable(None);
    }
}

#[test]
fn a_tail_under_a_flapping_backend_ends_after_growing_pauses() {
    let mut test = TestEngine::open();
    test.engine.subscribe(1, tail(TailStart::Beginning {}), 0);
    let (sent, ms) = under_a_flapping_backend(&mut test);
    assert_eq!(sent, MAX_FAILURES as usize);
    assert!((14_000..28_600).contains(&ms), "after {ms} ms");
    assert_eq!(test.codes(), [(1, "DISCONNECTED")]);
    assert_eq!(test.states, ["degraded"], "reported once");
    test.advance(SETTLE_MS);
    assert_eq!(test.states, ["degraded", "open"]);
}

#[test]
fn a_wait_under_a_flapping_backend_ends() {
    let mut test = TestEngine::open();
    test.request(1, read_group("c", Some(0)));
    test.sent();
    test.reply_error(1, "UNKNOWN_OUTCOME");
    let (sent, ms) = under_a_flapping_backend(&mut test);
    assert!((30_000..32_000).contains(&ms), "after {ms} ms");
    assert!((30..63).contains(&sent), "{sent} times");
    assert_eq!(test.codes(), [(1, "UNKNOWN_OUTCOME")]);
}

#[test]
fn a_page_between_two_flaps_is_progress() {
    let mut test = TestEngine::open();
    test.engine.subscribe(1, tail(after("0-0")), 0);
    test.sent();
    for page in 1..=2 * MAX_FAILURES {
        test.push_entries(1, &[&format!("{page}-0")], None);
        test.flap(1);
        assert_eq!(test.sent_after_pause(50).len(), 1, "page {page}");
    }
    assert!(test.finished.is_empty());
}

#[test]
fn a_subscription_that_lasted_for_some_seconds_had_progress() {
    let mut test = TestEngine::open();
    test.engine.subscribe(1, tail(TailStart::Now {}), 0);
    test.sent();
    for _ in 0..2 * MAX_FAILURES {
        test.advance_answering_pings(5_000);
        test.flap(1);
        assert_eq!(test.sent_after_pause(50).len(), 1);
    }
    assert!(test.finished.is_empty());
}

#[test]
fn the_next_read_continues_the_recovery_of_a_cancelled_one() {
    let mut test = TestEngine::open();
    test.request(1, read_group("c", Some(10_000)));
    test.sent();
    test.reply_error(1, "UNKNOWN_OUTCOME");
    test.engine.cancel(1);
    test.request(2, read_group("c", None));
    assert_eq!(test.sent().concat(), [request(2, recovery(&[], 2))]);
    test.reply_entries(2, &["1-0"]);
    assert_eq!(test.ids_of_reply(2), ["1-0"]);
}

#[test]
fn claimed_entries_are_not_recovered_again() {
    let mut test = TestEngine::open();
    let claim = Operation::Claim {
        stream: "s".into(),
        group: "g".into(),
        consumer: "c".into(),
        min_idle_ms: 1,
        start: "0-0".into(),
        count: 9,
    };
    test.request(1, claim);
    test.sent();
    let entries = vec![streamgate_protocol::Entry::deleted("1-0")];
    let claimed = streamgate_protocol::Claimed::new("0-0", entries, vec![]);
    let outcome = Outcome::Ok(Reply::Claimed(claimed));
    test.receive(&ServerMessage::Reply { id: 1, outcome });
    test.request(2, read_group("c", None));
    test.sent();
    test.reply_error(2, "UNKNOWN_OUTCOME");
    let arrived = &["1-0"];
    assert_eq!(
        test.sent_after_pause(50),
        [request(2, recovery(arrived, 2))]
    );
    test.reply_entries(2, &["1-0", "2-0"]);
    assert_eq!(test.ids_of_reply(2), ["2-0"]);
}

#[test]
fn a_recovery_after_a_lost_connection_outlives_an_unavailable_backend() {
    let mut test = TestEngine::open();
    test.request(1, read_group("c", None));
    test.sent();
    assert_eq!(test.reconnect(), [request(1, recovery(&[], 2))]);
    test.reply_error(1, "DISCONNECTED");
    assert_eq!(test.sent_after_pause(50), [request(1, recovery(&[], 2))]);
    test.reply_entries(1, &["1-0"]);
    assert_eq!(test.ids_of_reply(1), ["1-0"]);
}

#[test]
fn a_consumer_continues_after_an_outage() {
    let mut test = TestEngine::open();
    test.engine.subscribe(1, consume(2), 0);
    test.sent();
    test.push_entries(1, &["1-0"], None);
    test.reply_error(1, "UNKNOWN_OUTCOME");
    // The credit of what the owner takes meanwhile is granted with the rest.
    let taken = Credit {
        entries: 1,
        bytes: 3,
    };
    test.engine.consumed(1, taken);
    assert_eq!(
        test.sent_after_pause(50),
        [request(1, recovery(&["1-0"], 2))]
    );
    test.reply_error(1, "DISCONNECTED");
    assert_eq!(
        test.sent_after_pause(100),
        [request(1, recovery(&["1-0"], 2))]
    );
    test.reply_entries(1, &["2-0"]);
    assert_eq!(test.pushed.last(), Some(&(1, entries_item(&["2-0"], None))));
    let arrived = &["1-0", "2-0"];
    assert_eq!(test.sent().concat(), [request(1, recovery(arrived, 1))]);
    test.reply_entries(1, &[]);
    let left = Credit {
        entries: 1,
        bytes: (1 << 20) - 3,
    };
    assert_eq!(test.sent().concat(), [subscribe(1, consume(2), left)]);
    // Without a limit, and without a recovery, because nothing was delivered.
    for pause in [50, 100, 200, 400, 800, 1_000, 1_000] {
        test.reply_error(1, "DISCONNECTED");
        let again = [subscribe(1, consume(2), left)];
        assert_eq!(test.sent_after_pause(pause), again);
    }
    test.push_entries(1, &["3-0"], None);
    test.reply_error(1, "LOADING");
    let nothing = Credit {
        entries: 0,
        bytes: (1 << 20) - 6,
    };
    assert_eq!(
        test.sent_after_pause(50),
        [subscribe(1, consume(2), nothing)],
        "its owner has two"
    );
    assert!(test.finished.is_empty());
    test.reply_error(1, "NOGROUP");
    assert_eq!(test.codes(), [(1, "NOGROUP")]);
}

#[test]
fn a_consumer_that_reclaims_recovers_what_it_reclaimed() {
    let mut test = TestEngine::open();
    test.engine.subscribe(1, reclaiming_consume(None), 0);
    test.sent();
    test.reply_error(1, "DISCONNECTED");
    assert_eq!(test.sent_after_pause(50), [request(1, recovery(&[], 2))]);
    test.reply_entries(1, &[]);
    let again = subscribe(1, reclaiming_consume(Some(true)), credit(2));
    assert_eq!(test.sent().concat(), [again]);
}

#[test]
fn a_tail_continues_after_an_outage() {
    let mut test = TestEngine::open();
    test.engine.subscribe(1, tail(TailStart::Now {}), 0);
    test.sent();
    test.reply_error(1, "DISCONNECTED");
    let begun = subscribe(1, tail(TailStart::Now {}), credit(1_024));
    assert_eq!(test.sent_after_pause(50), [begun]);
    test.push_entries(1, &[], Some("5-0"));
    let on = || subscribe(1, tail(after("5-0")), credit(1_024));
    assert_eq!(
        test.reconnect(),
        [on()],
        "another server, without its backend"
    );
    for pause in [100, 200, 400] {
        test.reply_error(1, "LOADING");
        assert_eq!(test.sent_after_pause(pause), [on()]);
    }
    test.push_entries(1, &[], Some("5-0"));
    test.reply_error(1, "LOADING");
    assert_eq!(test.sent_after_pause(800), [on()], "it had no progress");
    test.push_entries(1, &["6-0"], None);
    test.reply_error(1, "LOADING");
    let left = Credit {
        entries: 1_023,
        bytes: (1 << 20) - 3,
    };
    let on = subscribe(1, tail(after("6-0")), left);
    assert_eq!(test.sent_after_pause(50), [on], "pauses start again");
    test.reply_error(1, "WRONGTYPE");
    assert_eq!(test.codes(), [(1, "WRONGTYPE")]);
}

#[test]
fn a_subscription_too_many_for_the_server_fails() {
    let mut test = TestEngine::open();
    test.engine.subscribe(1, tail(TailStart::Now {}), 0);
    test.engine.subscribe(2, consume(2), 0);
    test.sent();
    test.reply_error(1, "OVERLOADED");
    test.reply_error(2, "OVERLOADED");
    assert_eq!(test.codes(), [(1, "OVERLOADED"), (2, "OVERLOADED")]);
}

#[test]
fn an_acknowledgement_is_sent_again() {
    let ack = || Operation::Ack {
        stream: "s".into(),
        group: "g".into(),
        ids: vec!["1-0".into()],
    };
    let mut test = TestEngine::open();
    test.request(1, ack());
    test.request(2, ack());
    test.sent();
    test.reply_error(2, "DISCONNECTED");
    assert_eq!(test.codes(), [(2, "DISCONNECTED")], "nothing was done");
    test.finished.clear();
    test.reply_error(1, "UNKNOWN_OUTCOME");
    assert_eq!(test.sent_after_pause(50), [request(1, ack())]);
    test.reply_error(1, "DISCONNECTED");
    assert_eq!(test.sent_after_pause(100), [request(1, ack())]);
    test.advance_answering_pings(40_000);
    test.reply_error(1, "DISCONNECTED");
    assert_eq!(
        test.codes(),
        [(1, "UNKNOWN_OUTCOME")],
        "the first may have been done"
    );
}

#[test]
fn a_request_that_cannot_be_sent_twice_has_an_unknown_outcome() {
    let mut test = TestEngine::open();
    let operation = Operation::CreateGroup {
        stream: "s".into(),
        group: "g".into(),
        id: "0".into(),
    };
    test.request(1, operation);
    test.sent();
    test.reply_error(1, "UNKNOWN_OUTCOME");
    assert_eq!(test.codes(), [(1, "UNKNOWN_OUTCOME")]);
}

#[test]
fn cancelling_during_a_pause_sends_nothing() {
    let mut test = TestEngine::open();
    test.engine.subscribe(1, consume(2), 0);
    test.request(2, read_group("c", Some(0)));
    test.sent();
    test.reply_error(1, "DISCONNECTED");
    test.reply_error(2, "UNKNOWN_OUTCOME");
    test.engine.cancel(1);
    test.engine.cancel(2);
    assert_eq!(test.sent_after_pause(50), []);
    assert_eq!(test.codes(), []);
}

#[test]
fn a_pausing_request_does_not_delay_others() {
    let mut test = TestEngine::open();
    test.request(1, read_group("c", None));
    test.sent();
    test.reply_error(1, "UNKNOWN_OUTCOME");
    test.request(2, read_from("1-0", None));
    assert_eq!(test.sent().concat(), [request(2, read_from("1-0", None))]);
}

/// A driver calls at every deadline; a deadline that stays would make it spin.
#[test]
fn a_blocked_socket_does_not_make_the_deadline_stay() {
    let mut test = TestEngine::open();
    test.request(1, add("1"));
    test.sent();
    test.reply_error(1, "TRYAGAIN");
    let pause = test.engine.next_deadline().unwrap();
    assert!((25..=50).contains(&(pause - test.now)));
    let mut calls = 0;
    while test.states.is_empty() {
        let deadline = test.engine.next_deadline().unwrap();
        assert!(deadline > test.now || calls == 0, "again at {deadline}");
        test.now = deadline;
        test.engine.handle_timeout(deadline);
        test.collect();
        calls += 1;
    }
    assert_eq!(test.states, ["reconnecting"]);
    assert_eq!(test.now, 2 * u64::from(welcome().heartbeat_ms));
    assert!(calls <= 4, "{calls} calls");
}

/// Returns a fault that says how the request may be retried.
fn fault_with(code: &str, retry: &str, retry_after_ms: Option<u64>) -> Outcome {
    let mut fault = Fault::from(&CacheError::from_code(code, "why"));
    fault.retry = retry.to_owned();
    fault.retry_after_ms = retry_after_ms;
    Outcome::Error(fault)
}

#[test]
fn a_request_is_not_sent_again_before_the_server_wants_it() {
    let mut test = TestEngine::open();
    test.engine.subscribe(1, tail(after("5-0")), 0);
    test.request(2, add("a"));
    test.sent();
    let outcome = fault_with("DISCONNECTED", "later", Some(5_000));
    test.receive(&ServerMessage::Reply { id: 1, outcome });
    let outcome = fault_with("UNKNOWN_OUTCOME", "unknown", Some(6_000));
    test.receive(&ServerMessage::Reply { id: 2, outcome });
    let mut sent_at = Vec::new();
    while test.now < 7_000 {
        test.advance(100);
        for message in test.sent().concat() {
            match message {
                ClientMessage::Subscribe { id, .. } | ClientMessage::Request { id, .. } => {
                    sent_at.push((id, test.now));
                }
                _ => test.receive(&ServerMessage::Pong { nonce: 0 }),
            }
        }
    }
    assert_eq!(sent_at, [(1, 5_000), (2, 6_000)]);
}

#[test]
fn a_request_fails_at_once_if_the_server_wants_it_too_late() {
    for ms in [30_000, u64::MAX] {
        let mut test = TestEngine::open();
        test.request(1, read_group("c", None));
        test.sent();
        let outcome = fault_with("UNKNOWN_OUTCOME", "unknown", Some(ms));
        test.receive(&ServerMessage::Reply { id: 1, outcome });
        assert_eq!(test.codes(), [(1, "UNKNOWN_OUTCOME")]);
        test.engine.subscribe(2, tail(after("5-0")), 0);
        test.sent();
        let outcome = fault_with("DISCONNECTED", "later", Some(ms));
        test.receive(&ServerMessage::Reply { id: 2, outcome });
        test.advance_answering_pings(1_000);
        assert_eq!(test.codes().len(), 1, "a subscription waits");
    }
}

/// The code is one of a later version.
#[test]
fn the_fault_says_whether_a_subscription_goes_on() {
    for (retry, goes_on) in [("later", true), ("never", false), ("sometimes", false)] {
        let mut test = TestEngine::open();
        test.engine.subscribe(1, tail(after("5-0")), 0);
        test.sent();
        let outcome = fault_with("NEWCODE", retry, None);
        test.receive(&ServerMessage::Reply { id: 1, outcome });
        assert_eq!(test.codes().is_empty(), goes_on, "{retry}");
    }
}
