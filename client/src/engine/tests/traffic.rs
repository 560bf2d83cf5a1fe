//! Calls, answers, cancels, pings.

use super::*;

#[test]
fn the_first_thing_is_to_connect() {
    let played = Played::new();
    assert_eq!(played.actions, [Action::Connect]);
    assert_eq!(played.states, ["connecting"]);
}

#[test]
fn calls_made_before_the_socket_opens_are_sent_behind_the_handshake() {
    let mut played = Played::new();
    played.call(1, add("a"));
    assert!(played.sent().is_empty());
    played.engine.handle_opened("streamgate.v1.bin", 0);
    assert_eq!(played.sent().len(), 1, "without waiting for the welcome");
}

#[test]
fn calls_share_a_frame_and_keep_their_order() {
    let mut played = Played::open();
    for id in 1..=64 {
        played.call(id, add("a"));
    }
    let frames = played.sent();
    assert_eq!(frames.len(), 1);
    let ids: Vec<u64> = frames[0]
        .iter()
        .map(|message| match message {
            ClientMessage::Request { id, .. } => *id,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ids, (1..=64).collect::<Vec<_>>());
}

#[test]
fn answers_come_in_any_order_and_once() {
    let mut played = Played::open();
    for id in 1..=3 {
        played.call(id, add("a"));
    }
    played.sent();
    for id in [3, 1, 3, 2, 99] {
        played.answer(id);
    }
    assert_eq!(played.codes(), [(3, "OK"), (1, "OK"), (2, "OK")]);
}

#[test]
fn a_cancelled_call_is_cancelled_at_the_server_and_not_answered() {
    let mut played = Played::open();
    played.call(1, read());
    played.sent();
    played.engine.cancel(1);
    assert_eq!(played.sent(), [[ClientMessage::Cancel { id: 1 }]]);
    played.answer(1);
    assert!(played.finished.is_empty());
}

#[test]
fn a_call_cancelled_before_it_was_sent_never_is() {
    let mut played = Played::open();
    played.call(1, read());
    played.engine.cancel(1);
    played.engine.cancel(7);
    assert!(played.sent().is_empty());
}

#[test]
fn invalid_calls_are_refused_without_being_sent() {
    let mut played = Played::open();
    let fields = vec![];
    played.call(
        1,
        Operation::Add {
            stream: "s".into(),
            fields,
            maxlen: None,
        },
    );
    assert!(played.sent().is_empty());
    assert_eq!(played.codes(), [(1, "ERR")]);
}

#[test]
fn a_silent_connection_is_pinged_and_then_given_up() {
    let mut played = Played::open();
    played.pass(1_000);
    assert_eq!(played.sent(), [[ClientMessage::Ping { nonce: 1 }]]);
    played.pass(999);
    assert!(played.states.is_empty());
    played.pass(1);
    assert_eq!(played.states, ["reconnecting"]);
    assert_eq!(played.actions[0], Action::Abandon);
}

#[test]
fn an_answered_ping_keeps_the_connection() {
    let mut played = Played::open();
    for nonce in 1..10 {
        played.pass(1_000);
        assert_eq!(played.sent(), [[ClientMessage::Ping { nonce }]]);
        played.pass(10);
        played.receive(&ServerMessage::Pong { nonce });
    }
    assert!(played.states.is_empty());
}

#[test]
fn a_client_that_only_sends_pings_too() {
    let mut played = Played::open();
    let mut pings = 0;
    for id in 1..=15 {
        played.call(id, read());
        played.pass(100);
        pings += played
            .sent()
            .concat()
            .iter()
            .filter(|message| matches!(message, ClientMessage::Ping { .. }))
            .count();
    }
    assert_eq!(pings, 1, "silence of the server is noticed while sending");
}

#[test]
fn who_slept_for_too_long_connects_again_at_once() {
    let mut played = Played::open();
    played.now += 1_999;
    played.engine.handle_timeout(played.now);
    played.collect();
    assert!(played.states.is_empty(), "{:?}", played.states);
    assert_eq!(played.sent().len(), 1, "it asks first");
    // The server has not heard of it for two heartbeats.
    played.now += 3_600_000;
    played.engine.handle_timeout(played.now);
    played.collect();
    assert_eq!(played.states, ["reconnecting"]);
    assert_eq!(played.actions, [Action::Abandon, Action::Connect]);
}

#[test]
fn in_a_hurry_it_does_not_wait() {
    let mut played = Played::open();
    played.pass(10);
    played.engine.hurry(played.now);
    assert_eq!(played.sent(), [[ClientMessage::Ping { nonce: 1 }]]);
    played.lose(1006);
    assert!(played.actions.is_empty());
    played.engine.hurry(played.now);
    played.collect();
    assert_eq!(played.actions, [Action::Connect]);
    played.engine.hurry(played.now);
    played.collect();
    assert_eq!(played.actions, [Action::Connect], "one attempt at a time");
}
