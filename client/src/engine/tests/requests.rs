//! Requests, replies, cancels and pings.

use streamgate_protocol::limits::{
    MAX_PRODUCER_BYTES, MAX_SERVER_FRAME_BYTES, MIN_CLIENT_FRAME_BYTES,
};

use super::*;

#[test]
fn a_new_engine_connects() {
    let test = TestEngine::new();
    assert_eq!(test.actions, [SocketAction::Connect]);
    assert_eq!(test.states, ["connecting"]);
}

#[test]
fn requests_made_before_the_socket_opens_are_sent_once_it_is_open() {
    let mut test = TestEngine::new();
    test.request(1, add("a"));
    assert!(test.sent().is_empty());
    test.engine.handle_opened("streamgate.v1.bin", 0);
    assert_eq!(test.sent().len(), 1, "without waiting for the welcome");
}

/// A server that requires a token takes no large frame before it knows the client.
#[test]
fn a_large_request_is_not_in_the_frame_of_the_hello() {
    let mut test = TestEngine::new();
    let large = "x".repeat(100_000);
    test.request(1, add("small"));
    test.request(2, add(&large));
    test.engine.handle_opened("streamgate.v1.bin", 0);
    let first = test.engine.poll_transmit(0).unwrap();
    assert!(first.len() < 64 * 1024);
    assert_eq!(
        Encoding::Binary
            .messages::<ClientMessage<'_>>(&first)
            .count(),
        2
    );
    let second = test.engine.poll_transmit(0).unwrap();
    assert!(second.len() > large.len());
}

#[test]
fn the_hello_says_which_frames_the_client_takes() {
    let default = u32::try_from(MAX_SERVER_FRAME_BYTES).unwrap();
    for (set, sent) in [
        (None, default),
        (Some(100_000), 100_000),
        (Some(1), MIN_CLIENT_FRAME_BYTES),
    ] {
        let mut config = ClientConfig::default();
        if let Some(bytes) = set {
            config = config.max_frame_bytes(bytes);
        }
        let mut test = TestEngine::with(config);
        test.engine.handle_opened("streamgate.v1.bin", 0);
        let frame = test.engine.poll_transmit(0).unwrap();
        let mut messages = Encoding::Binary.messages::<ClientMessage<'_>>(&frame);
        let Some(Ok(ClientMessage::Hello(hello))) = messages.next() else {
            panic!("no hello")
        };
        assert_eq!(hello.max_frame_bytes, sent);
    }
}

#[test]
fn adds_are_numbered_under_names_that_no_other_client_uses() {
    let mut names = vec![];
    for bits in [[7; 16], [8; 16]] {
        let client_id = ClientId::from_random(bits);
        let mut test = TestEngine::of(&client_id, ClientConfig::default());
        test.accept();
        for (id, stream) in [(1, "s"), (2, "t"), (3, "s")] {
            let fields = vec![("f".into(), "v".into())];
            let stream = stream.into();
            let maxlen = None;
            test.request(
                id,
                Operation::Add {
                    stream,
                    fields,
                    maxlen,
                },
            );
        }
        for message in test.sent().concat() {
            if let ClientMessage::Request {
                operation: Operation::IdempotentAdd { producer, .. },
                ..
            } = message
            {
                assert!(producer.starts_with(&client_id.text()), "{producer}");
                assert!(producer.len() <= MAX_PRODUCER_BYTES, "{producer}");
                let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
                assert!(producer.chars().all(is_allowed), "{producer}");
                names.push(producer.into_owned());
            }
        }
    }
    assert_eq!(names.len(), 6);
    assert_eq!([&names[0], &names[3]], [&names[2], &names[5]]);
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 4, "one name for each client and stream");
}

#[test]
fn requests_share_a_frame_and_keep_their_order() {
    let mut test = TestEngine::open();
    for id in 1..=64 {
        test.request(id, add("a"));
    }
    let frames = test.sent();
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
fn replies_come_in_any_order_and_count_once() {
    let mut test = TestEngine::open();
    for id in 1..=3 {
        test.request(id, add("a"));
    }
    test.sent();
    for id in [3, 1, 3, 2, 99] {
        test.reply_done(id);
    }
    assert_eq!(test.codes(), [(3, "OK"), (1, "OK"), (2, "OK")]);
}

#[test]
fn a_cancelled_request_is_cancelled_at_the_server_and_has_no_result() {
    let mut test = TestEngine::open();
    test.request(1, read());
    test.sent();
    test.engine.cancel(1);
    assert_eq!(test.sent(), [[ClientMessage::Cancel { id: 1 }]]);
    test.reply_done(1);
    assert!(test.finished.is_empty());
}

#[test]
fn a_request_that_is_cancelled_before_it_was_sent_is_never_sent() {
    let mut test = TestEngine::open();
    test.request(1, read());
    test.engine.cancel(1);
    test.engine.cancel(7);
    assert!(test.sent().is_empty());
}

#[test]
fn a_silent_connection_is_pinged_and_then_abandoned() {
    let mut test = TestEngine::open();
    test.advance(1_000);
    assert_eq!(test.sent(), [[ClientMessage::Ping { nonce: 1 }]]);
    test.advance(999);
    assert!(test.states.is_empty());
    test.advance(1);
    assert_eq!(test.states, ["reconnecting"]);
    assert_eq!(test.actions[0], SocketAction::Abandon);
}

#[test]
fn an_answered_ping_keeps_the_connection() {
    let mut test = TestEngine::open();
    for nonce in 1..10 {
        test.advance(1_000);
        assert_eq!(test.sent(), [[ClientMessage::Ping { nonce }]]);
        test.advance(10);
        test.receive(&ServerMessage::Pong { nonce });
    }
    assert!(test.states.is_empty());
}

#[test]
fn a_ping_of_the_server_is_answered_with_its_nonce() {
    let mut test = TestEngine::open();
    test.sent();
    test.receive(&ServerMessage::Ping { nonce: 7 });
    assert_eq!(test.sent(), [[ClientMessage::Pong { nonce: 7 }]]);
    assert!(test.sent().is_empty());
}

#[test]
fn a_client_that_hears_nothing_pings_while_it_sends() {
    let mut test = TestEngine::open();
    let mut pings = 0;
    for id in 1..=15 {
        test.request(id, read());
        test.advance(100);
        pings += test
            .sent()
            .concat()
            .iter()
            .filter(|message| matches!(message, ClientMessage::Ping { .. }))
            .count();
    }
    assert_eq!(pings, 1, "silence of the server is noticed while sending");
}

#[test]
fn a_client_that_was_frozen_for_too_long_reconnects_at_once() {
    let mut test = TestEngine::open();
    test.now += 1_999;
    test.engine.handle_timeout(test.now);
    test.collect();
    assert!(test.states.is_empty(), "{:?}", test.states);
    assert_eq!(test.sent().len(), 1, "it asks first");
    // The server has heard nothing for two heartbeats.
    test.now += 3_600_000;
    test.engine.handle_timeout(test.now);
    test.collect();
    assert_eq!(test.states, ["reconnecting"]);
    assert_eq!(test.actions, [SocketAction::Abandon, SocketAction::Connect]);
}

/// Its pings wait behind the frame; those of the server come in.
#[test]
fn a_client_that_is_sending_a_large_frame_is_alive_as_long_as_it_hears_the_server() {
    let mut test = TestEngine::open();
    test.request(1, add(&"v".repeat(1 << 20)));
    assert_eq!(test.sent().len(), 1);
    for nonce in 1..20 {
        test.advance(500);
        test.receive(&ServerMessage::Ping { nonce });
        test.engine.handle_sending();
        assert!(test.states.is_empty(), "{:?} at {}", test.states, test.now);
    }
    // The server is gone, or has given the client up.
    test.engine.handle_sending();
    test.advance(1_999);
    assert!(test.states.is_empty(), "{:?}", test.states);
    test.advance(1);
    assert_eq!(test.states, ["reconnecting"]);
}

/// A browser takes every frame at once, and sends it when it can.
#[test]
fn a_client_whose_pings_wait_behind_a_large_frame_is_alive_as_long_as_it_hears_the_server() {
    let mut test = TestEngine::open();
    test.request(1, add(&"v".repeat(1 << 20)));
    for nonce in 1..20 {
        test.sent();
        test.advance(500);
        test.receive(&ServerMessage::Ping { nonce });
    }
    assert!(test.states.is_empty(), "{:?}", test.states);
}

#[test]
fn a_change_of_the_network_probes_or_reconnects_at_once() {
    let mut test = TestEngine::open();
    test.advance(10);
    test.engine.network_changed(test.now);
    assert_eq!(test.sent(), [[ClientMessage::Ping { nonce: 1 }]]);
    test.lose_connection(1006);
    assert!(test.actions.is_empty());
    test.engine.network_changed(test.now);
    test.collect();
    assert_eq!(test.actions, [SocketAction::Connect]);
    test.engine.network_changed(test.now);
    test.collect();
    assert_eq!(
        test.actions,
        [SocketAction::Connect],
        "one attempt at a time"
    );
}
