//! Connections that end, and what becomes of the calls.

use super::*;

#[test]
fn a_lost_connection_ends_only_what_could_be_done_twice() {
    let mut test = TestEngine::open();
    let group = || Operation::CreateGroup {
        stream: "s".into(),
        group: "g".into(),
        id: "0".into(),
    };
    test.call(1, group());
    test.call(2, read());
    test.sent();
    test.call(3, add("b"));
    test.lose(1006);
    assert_eq!(test.codes(), [(1, "UNKNOWN_OUTCOME")]);
    assert_eq!(test.states, ["reconnecting"]);

    test.pass(100);
    assert_eq!(test.actions, [Action::Connect], "within the first bound");
    test.accept();
    let sent = test.sent().concat();
    let ids = [2, 3].map(
        |id| matches!(sent[id - 2], ClientMessage::Request { id: sent, .. } if sent == id as u64),
    );
    assert_eq!(ids, [true, true], "{sent:?}");
    test.answer(3);
    assert_eq!(test.codes().last(), Some(&(3, "OK")));
    assert_eq!(test.states, ["reconnecting", "open"]);
}

#[test]
fn one_attempt_at_a_time() {
    let mut test = TestEngine::open();
    test.lose(1006);
    for _ in 0..20 {
        test.pass_until_connect();
        test.pass(9_000);
        assert_eq!(test.actions, [Action::Connect]);
        test.lose(1006);
    }
}

#[test]
fn an_attempt_that_takes_too_long_is_given_up() {
    let mut test = TestEngine::open();
    test.lose(1006);
    test.pass_until_connect();
    test.pass(9_999);
    assert_eq!(test.actions, [Action::Connect]);
    test.pass(1);
    assert_eq!(test.actions[..2], [Action::Connect, Action::Abandon]);
    test.pass_until_connect();
}

#[test]
fn the_first_attempt_s_failure_is_the_owner_s_answer() {
    let mut test = TestEngine::new();
    test.call(1, add("a"));
    test.lose(1006);
    assert_eq!(test.states, ["connecting", "closed"]);
    assert_eq!(test.codes(), [(1, "DISCONNECTED")]);
    assert!(test.engine.is_closed());
}

#[test]
fn calls_do_not_wait_forever_for_a_connection() {
    let mut test = TestEngine::open();
    test.lose(1006);
    test.call(1, add("a"));
    for _ in 0..100 {
        test.pass(300);
        test.lose(1006);
    }
    assert_eq!(test.codes(), [(1, "DISCONNECTED")]);
}

#[test]
fn a_close_that_blames_the_client_is_final() {
    let mut test = TestEngine::open();
    test.call(1, read());
    test.sent();
    test.call(2, add("a"));
    test.lose(streamgate_protocol::close::DUPLICATE_ID);
    assert_eq!(test.codes(), [(1, "DISCONNECTED"), (2, "CLOSED")]);
    assert_eq!(test.states, ["closed"]);
    test.call(3, read());
    assert_eq!(test.codes().last(), Some(&(3, "CLOSED")));
}

#[test]
fn another_protocol_is_final() {
    let mut test = TestEngine::new();
    test.call(1, read());
    test.engine.handle_opened("", 0);
    test.collect();
    assert!(matches!(test.actions.last(), Some(Action::Close { .. })));
    assert_eq!(test.codes(), [(1, "PROTOCOL")]);
    test.lose(1000);
    assert_eq!(test.states, ["connecting", "closed"]);
    assert_eq!(
        test.closed_with,
        Some(4400),
        "not how the server took the close"
    );
}

#[test]
fn garbage_from_the_server_is_final() {
    for (frame, is_text) in [(&[0xff_u8; 8][..], false), (b"{}", true)] {
        let mut test = TestEngine::open();
        test.call(1, add("a"));
        test.sent();
        test.engine.handle_frame(frame, is_text, 0);
        test.collect();
        assert_eq!(test.codes(), [(1, "UNKNOWN_OUTCOME")]);
        assert!(matches!(
            test.actions[..],
            [Action::Close { code: 4400, .. }]
        ));
    }
}

#[test]
fn closing_ends_every_call_and_waits_for_the_server_but_not_forever() {
    let mut test = TestEngine::open();
    test.call(1, read());
    test.call(2, add("a"));
    test.sent();
    test.call(3, add("b"));
    test.engine.close(test.now);
    test.collect();
    let codes = [(1, "DISCONNECTED"), (2, "UNKNOWN_OUTCOME"), (3, "CLOSED")];
    assert_eq!(test.codes(), codes);
    assert_eq!(
        test.actions,
        [Action::Close {
            code: 1000,
            reason: ""
        }]
    );
    assert!(!test.engine.is_closed());
    test.pass(3_000);
    assert!(test.engine.is_closed());
    assert_eq!(test.states, ["closed"]);
}

#[test]
fn closing_while_reconnecting_is_immediate() {
    let mut test = TestEngine::open();
    test.lose(1006);
    test.engine.close(test.now);
    test.collect();
    assert!(test.engine.is_closed());
    assert_eq!(test.engine.next_deadline(), None);
}
