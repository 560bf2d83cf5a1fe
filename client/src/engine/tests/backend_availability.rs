//! The availability of the server's backend.

use super::*;
use crate::engine::availability::SETTLE_MS;

impl TestEngine {
    pub(super) fn set_backend_unavailable(&mut self, code: Option<&str>) {
        let unavailable = code.map(|code| Fault::from(&CacheError::from_code(code, "why")));
        self.receive(&ServerMessage::Backend { unavailable });
    }
}

#[test]
fn a_degraded_server_is_reported_and_still_receives_requests() {
    let mut test = TestEngine::open();
    test.set_backend_unavailable(Some("DISCONNECTED"));
    test.request(1, add("a"));
    assert_eq!(test.sent().concat().len(), 1);
    test.set_backend_unavailable(Some("LOADING"));
    test.reply_done(1);
    test.set_backend_unavailable(None);
    test.advance(SETTLE_MS);
    assert_eq!(test.states, ["degraded", "degraded", "open"]);
    assert_eq!(test.codes(), [(1, "OK")]);
}

#[test]
fn the_degraded_state_has_a_code_and_a_message() {
    let mut engine = Engine::new(&client_id(), ClientConfig::default(), 0);
    engine.handle_opened("streamgate.v1.bin", 0);
    while engine.poll_event().is_some() {}
    let unavailable = Some(Fault::from(&CacheError::from_code(
        "LOADING",
        "Redis is starting",
    )));
    let mut frame = Vec::new();
    let message = ServerMessage::Backend { unavailable };
    Encoding::Binary.append(&mut frame, &message);
    engine.handle_frame(&frame, false, 0);
    let degraded = ConnectionState::Degraded {
        code: "LOADING".to_owned(),
        message: "Redis is starting".to_owned(),
    };
    assert_eq!(
        engine.poll_event(),
        Some(EngineEvent::StateChanged(degraded))
    );
}

#[test]
fn an_available_backend_does_not_change_the_state() {
    let mut test = TestEngine::open();
    test.set_backend_unavailable(None);
    assert!(test.states.is_empty());
}

#[test]
fn a_new_connection_is_not_degraded() {
    let mut test = TestEngine::open();
    test.set_backend_unavailable(Some("DISCONNECTED"));
    test.lose_connection(1006);
    test.advance_until_connect();
    test.accept();
    test.set_backend_unavailable(None);
    test.advance(900);
    assert_eq!(test.states, ["degraded", "reconnecting", "open"]);
}

#[test]
fn a_flapping_backend_changes_the_state_once() {
    let mut test = TestEngine::open();
    for _ in 0..100 {
        test.set_backend_unavailable(Some("DISCONNECTED"));
        test.advance(9);
        test.set_backend_unavailable(None);
        test.set_backend_unavailable(None);
        test.advance(SETTLE_MS - 990);
        // Pings.
        test.sent();
    }
    assert_eq!(test.states, ["degraded"]);
    test.advance(SETTLE_MS - 11);
    assert_eq!(test.states, ["degraded"]);
    test.advance(1);
    assert_eq!(test.states, ["degraded", "open"]);
    test.set_backend_unavailable(Some("DISCONNECTED"));
    assert_eq!(test.states, ["degraded", "open", "degraded"]);
}

#[test]
fn a_lost_connection_ends_the_wait_for_the_open_state() {
    let mut test = TestEngine::open();
    test.set_backend_unavailable(Some("DISCONNECTED"));
    test.set_backend_unavailable(None);
    test.lose_connection(1006);
    test.advance_until_connect();
    test.advance(2 * SETTLE_MS);
    assert_eq!(test.states, ["degraded", "reconnecting"]);
}
