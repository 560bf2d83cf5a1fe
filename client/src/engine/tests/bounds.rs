//! Each limit, reached.

use super::*;
use crate::engine::request_queue::{MAX_IN_FLIGHT_BYTES, MAX_QUEUED_BYTES, MAX_QUEUED_REQUESTS};
use crate::engine::transmit::FRAME_TARGET_BYTES;

fn requests(frames: &[Vec<ClientMessage<'static>>]) -> usize {
    frames.iter().map(Vec::len).sum()
}

#[test]
fn before_the_welcome_only_the_guaranteed_requests_are_in_flight() {
    let mut test = TestEngine::new();
    test.engine.handle_opened("streamgate.v1.bin", 0);
    for id in 0..2_000 {
        test.request(id, read());
    }
    assert_eq!(requests(&test.sent()), 256);
    test.receive(&ServerMessage::Welcome(welcome()));
    assert_eq!(requests(&test.sent()), 1_000 - 256);
    test.reply_done(0);
    assert_eq!(requests(&test.sent()), 1);
}

#[test]
fn requests_do_not_wait_forever_for_a_full_server() {
    let mut test = TestEngine::open();
    for id in 0..1_001 {
        test.request(id, read());
    }
    test.sent();
    for _ in 0..40 {
        test.advance(1_000);
        test.sent();
        test.receive(&ServerMessage::Pong { nonce: 0 });
    }
    assert_eq!(test.codes(), [(1_000, "OVERLOADED")]);
}

#[test]
fn too_many_queued_requests_are_refused() {
    let mut test = TestEngine::new();
    for id in 0..MAX_QUEUED_REQUESTS as u64 {
        test.request(id, read());
    }
    assert!(!test.engine.has_room());
    assert!(test.finished.is_empty());
    test.request(u64::MAX, read());
    assert_eq!(test.codes(), [(u64::MAX, "OVERLOADED")]);
}

#[test]
fn too_many_queued_bytes_are_refused() {
    let mut test = TestEngine::new();
    let value = "v".repeat(1 << 20);
    let mut id = 0;
    while test.engine.has_room() {
        test.request(id, add(&value));
        id += 1;
    }
    assert!(id as usize <= MAX_QUEUED_BYTES / value.len());
    test.request(id, add("small"));
    assert_eq!(test.codes(), [(id, "OVERLOADED")]);
}

#[test]
fn bytes_in_flight_are_bounded_but_one_request_is_always_sent() {
    let mut test = TestEngine::open();
    let value = "v".repeat(3 << 20);
    for id in 0..10 {
        test.request(id, add(&value));
    }
    let sent = requests(&test.sent());
    assert_eq!(sent, MAX_IN_FLIGHT_BYTES / value.len());
    test.reply_done(0);
    assert_eq!(requests(&test.sent()), 1);
}

#[test]
fn a_request_that_no_frame_can_hold_is_refused() {
    let mut test = TestEngine::open();
    test.request(1, add(&"v".repeat(16 << 20)));
    test.request(2, add("small"));
    assert_eq!(requests(&test.sent()), 1, "the next one is not held up");
    assert_eq!(test.codes(), [(1, "LIMIT")]);
}

#[test]
fn a_large_request_waits_for_the_welcome() {
    let mut test = TestEngine::new();
    test.engine.handle_opened("streamgate.v1.bin", 0);
    test.request(1, add("small"));
    test.request(2, add(&"v".repeat(8 << 20)));
    assert_eq!(requests(&test.sent()), 1);
    assert_eq!(requests(&test.sent()), 0);
    assert!(test.finished.is_empty());
    test.receive(&ServerMessage::Welcome(welcome()));
    assert_eq!(requests(&test.sent()), 1);
}

#[test]
fn frames_stay_near_the_target() {
    let mut test = TestEngine::open();
    let value = "v".repeat(1_000);
    for id in 0..200 {
        test.request(id, add(&value));
    }
    let mut frames = 0;
    while let Some(frame) = test.engine.poll_transmit(0) {
        assert!(frame.len() < FRAME_TARGET_BYTES + 2_000);
        frames += 1;
    }
    assert_eq!(frames, 4);
}
