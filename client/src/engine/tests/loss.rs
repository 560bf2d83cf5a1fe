//! Connections that end, and what becomes of the calls.

use super::*;

#[test]
fn a_lost_connection_ends_only_what_could_be_done_twice() {
    let mut played = Played::open();
    let group = || Operation::CreateGroup {
        stream: "s".into(),
        group: "g".into(),
        id: "0".into(),
    };
    played.call(1, group());
    played.call(2, read());
    played.sent();
    played.call(3, add("b"));
    played.lose(1006);
    assert_eq!(played.codes(), [(1, "UNKNOWN_OUTCOME")]);
    assert_eq!(played.states, ["reconnecting"]);

    played.pass(100);
    assert_eq!(played.actions, [Action::Connect], "within the first bound");
    played.accept();
    let sent = played.sent().concat();
    let ids = [2, 3].map(
        |id| matches!(sent[id - 2], ClientMessage::Request { id: sent, .. } if sent == id as u64),
    );
    assert_eq!(ids, [true, true], "{sent:?}");
    played.answer(3);
    assert_eq!(played.codes().last(), Some(&(3, "OK")));
    assert_eq!(played.states, ["reconnecting", "open"]);
}

#[test]
fn one_attempt_at_a_time() {
    let mut played = Played::open();
    played.lose(1006);
    for _ in 0..20 {
        played.pass_until_connect();
        played.pass(9_000);
        assert_eq!(played.actions, [Action::Connect]);
        played.lose(1006);
    }
}

#[test]
fn an_attempt_that_takes_too_long_is_given_up() {
    let mut played = Played::open();
    played.lose(1006);
    played.pass_until_connect();
    played.pass(9_999);
    assert_eq!(played.actions, [Action::Connect]);
    played.pass(1);
    assert_eq!(played.actions[..2], [Action::Connect, Action::Abandon]);
    played.pass_until_connect();
}

#[test]
fn the_first_attempt_s_failure_is_the_owner_s_answer() {
    let mut played = Played::new();
    played.call(1, add("a"));
    played.lose(1006);
    assert_eq!(played.states, ["connecting", "closed"]);
    assert_eq!(played.codes(), [(1, "DISCONNECTED")]);
    assert!(played.engine.is_closed());
}

#[test]
fn calls_do_not_wait_forever_for_a_connection() {
    let mut played = Played::open();
    played.lose(1006);
    played.call(1, add("a"));
    for _ in 0..100 {
        played.pass(300);
        played.lose(1006);
    }
    assert_eq!(played.codes(), [(1, "DISCONNECTED")]);
}

#[test]
fn a_close_that_blames_the_client_is_final() {
    let mut played = Played::open();
    played.call(1, read());
    played.sent();
    played.call(2, add("a"));
    played.lose(streamgate_protocol::close::DUPLICATE_ID);
    assert_eq!(played.codes(), [(1, "DISCONNECTED"), (2, "CLOSED")]);
    assert_eq!(played.states, ["closed"]);
    played.call(3, read());
    assert_eq!(played.codes().last(), Some(&(3, "CLOSED")));
}

#[test]
fn another_protocol_is_final() {
    let mut played = Played::new();
    played.call(1, read());
    played.engine.handle_opened("", 0);
    played.collect();
    assert!(matches!(played.actions.last(), Some(Action::Close { .. })));
    assert_eq!(played.codes(), [(1, "PROTOCOL")]);
    played.lose(1000);
    assert_eq!(played.states, ["connecting", "closed"]);
    assert_eq!(
        played.closed_with,
        Some(4400),
        "not how the server took the close"
    );
}

#[test]
fn garbage_from_the_server_is_final() {
    for (frame, is_text) in [(&[0xff_u8; 8][..], false), (b"{}", true)] {
        let mut played = Played::open();
        played.call(1, add("a"));
        played.sent();
        played.engine.handle_frame(frame, is_text, 0);
        played.collect();
        assert_eq!(played.codes(), [(1, "UNKNOWN_OUTCOME")]);
        assert!(matches!(
            played.actions[..],
            [Action::Close { code: 4400, .. }]
        ));
    }
}

#[test]
fn closing_ends_every_call_and_waits_for_the_server_but_not_forever() {
    let mut played = Played::open();
    played.call(1, read());
    played.call(2, add("a"));
    played.sent();
    played.call(3, add("b"));
    played.engine.close(played.now);
    played.collect();
    let codes = [(1, "DISCONNECTED"), (2, "UNKNOWN_OUTCOME"), (3, "CLOSED")];
    assert_eq!(played.codes(), codes);
    assert_eq!(
        played.actions,
        [Action::Close {
            code: 1000,
            reason: ""
        }]
    );
    assert!(!played.engine.is_closed());
    played.pass(3_000);
    assert!(played.engine.is_closed());
    assert_eq!(played.states, ["closed"]);
}

#[test]
fn closing_while_reconnecting_is_immediate() {
    let mut played = Played::open();
    played.lose(1006);
    played.engine.close(played.now);
    played.collect();
    assert!(played.engine.is_closed());
    assert_eq!(played.engine.next_deadline(), None);
}
