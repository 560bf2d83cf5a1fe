//! Each bound, hit.

use super::*;
use crate::engine::calls::{MAX_IN_FLIGHT_BYTES, MAX_QUEUED_BYTES, MAX_QUEUED_CALLS};
use crate::engine::transmit::FRAME_TARGET_BYTES;

fn requests(frames: &[Vec<ClientMessage<'static>>]) -> usize {
    frames.iter().map(Vec::len).sum()
}

#[test]
fn before_the_welcome_no_more_than_the_least_is_sent() {
    let mut played = Played::new();
    played.engine.handle_opened("streamgate.v1.bin", 0);
    for id in 0..2_000 {
        played.call(id, read());
    }
    assert_eq!(requests(&played.sent()), 256);
    played.receive(&ServerMessage::Welcome(welcome()));
    assert_eq!(requests(&played.sent()), 1_000 - 256);
    played.answer(0);
    assert_eq!(requests(&played.sent()), 1);
}

#[test]
fn calls_behind_a_full_server_do_not_wait_forever() {
    let mut played = Played::open();
    for id in 0..1_001 {
        played.call(id, read());
    }
    played.sent();
    for _ in 0..40 {
        played.pass(1_000);
        played.sent();
        played.receive(&ServerMessage::Pong { nonce: 0 });
    }
    assert_eq!(played.codes(), [(1_000, "OVERLOADED")]);
}

#[test]
fn too_many_queued_calls_are_refused() {
    let mut played = Played::new();
    for id in 0..MAX_QUEUED_CALLS as u64 {
        played.call(id, read());
    }
    assert!(!played.engine.has_room());
    assert!(played.finished.is_empty());
    played.call(u64::MAX, read());
    assert_eq!(played.codes(), [(u64::MAX, "OVERLOADED")]);
}

#[test]
fn too_many_queued_bytes_are_refused() {
    let mut played = Played::new();
    let value = "v".repeat(1 << 20);
    let mut id = 0;
    while played.engine.has_room() {
        played.call(id, add(&value));
        id += 1;
    }
    assert!(id as usize <= MAX_QUEUED_BYTES / value.len());
    played.call(id, add("small"));
    assert_eq!(played.codes(), [(id, "OVERLOADED")]);
}

#[test]
fn bytes_in_flight_are_bounded_but_one_call_always_goes() {
    let mut played = Played::open();
    let value = "v".repeat(3 << 20);
    for id in 0..10 {
        played.call(id, add(&value));
    }
    let sent = requests(&played.sent());
    assert_eq!(sent, MAX_IN_FLIGHT_BYTES / value.len());
    played.answer(0);
    assert_eq!(requests(&played.sent()), 1);
}

#[test]
fn a_call_that_no_frame_can_hold_is_refused() {
    let mut played = Played::open();
    played.call(1, add(&"v".repeat(16 << 20)));
    played.call(2, add("small"));
    assert_eq!(requests(&played.sent()), 1, "the next one is not held up");
    assert_eq!(played.codes(), [(1, "LIMIT")]);
}

#[test]
fn before_the_welcome_a_large_call_waits_for_it() {
    let mut played = Played::new();
    played.engine.handle_opened("streamgate.v1.bin", 0);
    played.call(1, add("small"));
    played.call(2, add(&"v".repeat(8 << 20)));
    assert_eq!(requests(&played.sent()), 1);
    assert_eq!(requests(&played.sent()), 0);
    assert!(played.finished.is_empty());
    played.receive(&ServerMessage::Welcome(welcome()));
    assert_eq!(requests(&played.sent()), 1);
}

#[test]
fn frames_stay_near_the_target() {
    let mut played = Played::open();
    let value = "v".repeat(1_000);
    for id in 0..200 {
        played.call(id, add(&value));
    }
    let mut frames = 0;
    while let Some(frame) = played.engine.poll_transmit(0) {
        assert!(frame.len() < FRAME_TARGET_BYTES + 2_000);
        frames += 1;
    }
    assert_eq!(frames, 4);
}
