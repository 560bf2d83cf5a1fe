//! Lost connections, and what becomes of the requests.

use streamgate_protocol::close;

use super::*;

fn create_group() -> Operation<'static> {
    Operation::CreateGroup {
        stream: "s".into(),
        group: "g".into(),
        id: "0".into(),
    }
}

#[test]
fn a_lost_connection_fails_only_requests_that_cannot_be_sent_twice() {
    let mut test = TestEngine::open();
    test.request(1, create_group());
    test.request(2, read());
    test.sent();
    test.request(3, add("b"));
    test.lose_connection(1006);
    assert_eq!(test.codes(), [(1, "UNKNOWN_OUTCOME")]);
    assert_eq!(test.states, ["reconnecting"]);

    test.advance(100);
    assert_eq!(
        test.actions,
        [SocketAction::Connect],
        "within the first bound"
    );
    test.accept();
    let sent = test.sent().concat();
    let ids = [2, 3].map(
        |id| matches!(sent[id - 2], ClientMessage::Request { id: sent, .. } if sent == id as u64),
    );
    assert_eq!(ids, [true, true], "{sent:?}");
    test.reply_done(3);
    assert_eq!(test.codes().last(), Some(&(3, "OK")));
    assert_eq!(test.states, ["reconnecting", "open"]);
}

#[test]
fn codes_that_blame_a_side_end_the_client_with_the_reason() {
    for close_code in [1002, 1003, 1007, 1009, 1010, 4400, 4410] {
        let mut test = TestEngine::open();
        test.request(1, read());
        test.request(2, create_group());
        test.sent();
        test.lose_connection(close_code);
        test.request(3, read());
        assert_eq!(test.states, ["closed"], "{close_code}");
        let codes = [(1, "PROTOCOL"), (2, "UNKNOWN_OUTCOME"), (3, "CLOSED")];
        assert_eq!(test.codes(), codes, "{close_code}");
        let error = test.finished[0].1.as_ref().unwrap_err();
        let why = format!("the client stopped after code {close_code}: gone");
        assert_eq!(error.message(), why);
    }
}

#[test]
fn a_message_that_no_websocket_takes_is_explained() {
    let mut test = TestEngine::open();
    test.engine.handle_closed(close::MESSAGE_TOO_LARGE, "", 0);
    let reason = "a message was too large for a WebSocket on its way".to_owned();
    let closed = ConnectionState::Closed { code: 1009, reason };
    assert_eq!(
        test.engine.poll_event(),
        Some(EngineEvent::StateChanged(closed))
    );
}

#[test]
fn there_is_one_attempt_to_connect_at_a_time() {
    let mut test = TestEngine::open();
    test.lose_connection(1006);
    for _ in 0..20 {
        test.advance_until_connect();
        test.advance(9_000);
        assert_eq!(test.actions, [SocketAction::Connect]);
        test.lose_connection(1006);
    }
}

#[test]
fn an_attempt_to_connect_times_out() {
    let mut test = TestEngine::open();
    test.lose_connection(1006);
    test.advance_until_connect();
    test.advance(9_999);
    assert_eq!(test.actions, [SocketAction::Connect]);
    test.advance(1);
    assert_eq!(
        test.actions[..2],
        [SocketAction::Connect, SocketAction::Abandon]
    );
    test.advance_until_connect();
}

/// Any server that echoes the subprotocol opens the socket; only ours sends a welcome.
#[test]
fn an_attempt_to_connect_times_out_without_a_welcome() {
    let mut test = TestEngine::open();
    test.lose_connection(1006);
    test.advance_until_connect();
    test.engine.handle_opened("streamgate.v1.bin", test.now);
    test.sent();
    test.states.clear();
    test.advance(9_999);
    assert_eq!(test.actions, [SocketAction::Connect]);
    assert!(test.states.is_empty());
    test.advance(1);
    assert_eq!(
        test.actions[..2],
        [SocketAction::Connect, SocketAction::Abandon]
    );
    assert_eq!(test.states, ["reconnecting"]);
    test.advance_until_connect();
}

#[test]
fn a_first_connect_that_fails_closes_the_client() {
    let mut test = TestEngine::new();
    test.request(1, add("a"));
    test.lose_connection(1006);
    assert_eq!(test.states, ["connecting", "closed"]);
    assert_eq!(test.codes(), [(1, "DISCONNECTED")]);
    assert!(test.engine.is_closed());
}

#[test]
fn requests_do_not_wait_forever_for_a_connection() {
    let mut test = TestEngine::open();
    test.lose_connection(1006);
    test.request(1, add("a"));
    for _ in 0..100 {
        test.advance(300);
        test.lose_connection(1006);
    }
    assert_eq!(test.codes(), [(1, "DISCONNECTED")]);
}

#[test]
fn a_close_code_that_blames_the_client_closes_it() {
    let mut test = TestEngine::open();
    test.request(1, read());
    test.sent();
    test.request(2, add("a"));
    test.lose_connection(close::DUPLICATE_ID);
    assert_eq!(test.codes(), [(1, "PROTOCOL"), (2, "PROTOCOL")]);
    assert_eq!(test.states, ["closed"]);
    test.request(3, read());
    assert_eq!(test.codes().last(), Some(&(3, "CLOSED")));
}

#[test]
fn another_subprotocol_closes_the_client() {
    let mut test = TestEngine::new();
    test.request(1, read());
    test.engine.handle_opened("", 0);
    test.collect();
    assert!(matches!(
        test.actions.last(),
        Some(SocketAction::Close { .. })
    ));
    assert_eq!(test.codes(), [(1, "PROTOCOL")]);
    test.lose_connection(1000);
    assert_eq!(test.states, ["connecting", "closed"]);
    assert_eq!(
        test.closed_with,
        Some(4400),
        "the violation, not the code of the close"
    );
}

#[test]
fn a_frame_that_cannot_be_decoded_closes_the_client() {
    for (frame, is_text, code) in [(&[0xff_u8; 8][..], false, 4400), (b"{}", true, 4405)] {
        let mut test = TestEngine::open();
        test.request(1, add("a"));
        test.sent();
        test.engine.handle_frame(frame, is_text, 0);
        test.collect();
        assert_eq!(test.codes(), [(1, "UNKNOWN_OUTCOME")]);
        let [SocketAction::Close { code: closed, .. }] = test.actions[..] else {
            panic!("{:?}", test.actions);
        };
        assert_eq!(closed, code);
        test.lose_connection(1000);
        assert_eq!(test.closed_with, Some(code));
    }
}

#[test]
fn aborting_ends_every_request_and_waits_for_the_server_but_not_forever() {
    let mut test = TestEngine::open();
    test.request(1, read());
    test.request(2, add("a"));
    test.sent();
    test.request(3, add("b"));
    test.engine.abort(test.now);
    test.collect();
    let codes = [(1, "CLOSED"), (2, "UNKNOWN_OUTCOME"), (3, "CLOSED")];
    assert_eq!(test.codes(), codes);
    assert_eq!(
        test.actions,
        [SocketAction::Close {
            code: 1000,
            reason: ""
        }]
    );
    assert!(!test.engine.is_closed());
    test.advance(3_000);
    assert!(test.engine.is_closed());
    assert_eq!(test.states, ["closed"]);
}

#[test]
fn aborting_while_reconnecting_is_immediate() {
    let mut test = TestEngine::open();
    test.lose_connection(1006);
    test.engine.abort(test.now);
    test.collect();
    assert!(test.engine.is_closed());
    assert_eq!(test.engine.next_deadline(), None);
}

fn with_retried_first_connect() -> TestEngine {
    TestEngine::with(ClientConfig::default().retry_first_connect(true))
}

#[test]
fn a_first_connect_is_retried_if_asked() {
    let mut test = with_retried_first_connect();
    test.request(1, add("a"));
    for _ in 0..3 {
        test.lose_connection(1006);
        test.advance_until_connect();
    }
    assert_eq!(test.states, ["connecting"], "until an attempt succeeds");
    assert!(test.finished.is_empty());
    test.accept();
    assert_eq!(test.sent().concat().len(), 1);
    test.reply_done(1);
    assert_eq!(test.codes(), [(1, "OK")]);
    assert_eq!(test.states, ["connecting", "open"]);
}

#[test]
fn a_first_connect_is_not_retried_if_the_server_blames_the_client() {
    let mut test = with_retried_first_connect();
    test.request(1, add("a"));
    test.lose_connection(close::DUPLICATE_ID);
    assert_eq!(test.states, ["connecting", "closed"]);
    assert_eq!(test.codes(), [(1, "PROTOCOL")]);
}

#[test]
fn a_change_of_the_network_ends_the_pause_of_a_first_connect() {
    let mut test = with_retried_first_connect();
    test.lose_connection(1006);
    test.actions.clear();
    test.engine.network_changed(test.now);
    test.collect();
    assert_eq!(test.actions, [SocketAction::Connect]);
}

#[test]
fn the_server_decides_when_a_client_connects_again() {
    let mut test = TestEngine::open();
    test.lose_connection(503);
    test.engine.postpone_connect(20_000, test.now);
    test.actions.clear();
    test.advance(10_000);
    test.engine.network_changed(test.now);
    test.collect();
    test.advance(9_999);
    assert_eq!(test.actions, []);
    test.advance(1);
    assert_eq!(test.actions, [SocketAction::Connect]);
}

#[test]
fn a_status_that_blames_the_client_ends_it_with_an_error_that_names_it() {
    for (status, code) in [
        (400, "PROTOCOL"),
        (401, "NOAUTH"),
        (403, "NOPERM"),
        (404, "PROTOCOL"),
    ] {
        let mut test = TestEngine::open();
        test.lose_connection(1006);
        test.request(1, read());
        test.lose_connection(status);
        test.advance_until_connect();
        test.engine.handle_closed(status, "refused", test.now);
        test.collect();
        assert_eq!(test.codes(), [(1, code)], "{status}");
        let (_, result) = &test.finished[0];
        let why = result.as_ref().unwrap_err().message().to_owned();
        assert!(why.contains(&status.to_string()), "{why}");
        assert_eq!(test.closed_with, Some(status));
    }
}
