//! What the server learns of adds that are sent again.

use super::*;

/// Returns the ids of the adds that are sent now, and whether they are marked as resent.
fn marks(sent: Vec<ClientMessage<'static>>) -> Vec<(u64, bool)> {
    let mark = |message| match message {
        ClientMessage::Request {
            id,
            operation: Operation::IdempotentAdd { resent, .. },
        } => Some((id, resent)),
        _ => None,
    };
    sent.into_iter().filter_map(mark).collect()
}

/// A server that may have forgotten the producer refuses an add that is marked as resent.
#[test]
fn an_add_is_marked_as_resent_only_if_it_may_be_stored() {
    let mut test = TestEngine::of(&client_id(), ClientConfig::default());
    test.accept();
    for id in 1..=3 {
        test.request(id, add("a"));
    }
    assert_eq!(
        marks(test.sent().concat()),
        [(1, false), (2, false), (3, false)]
    );
    test.reply_error(1, "OOM");
    test.reply_error(2, "OUT_OF_ORDER");
    test.reply_error(3, "TRYAGAIN");
    test.advance(100);
    let refused = marks(test.sent().concat());
    assert_eq!(refused, [(2, false), (3, false)]);
    test.reply_error(2, "UNKNOWN_OUTCOME");
    test.reply_error(3, "OUT_OF_ORDER");
    test.advance(1_000);
    let unknown = marks(test.sent().concat());
    assert_eq!(unknown, [(2, true), (3, false)]);
    assert_eq!(marks(test.reconnect()), [(2, true), (3, true)]);
}

/// Else the server would store the new add first, and never those before it.
#[test]
fn a_new_add_waits_for_those_in_flight_after_a_failed_one() {
    let mut test = TestEngine::of(&client_id(), ClientConfig::default());
    test.accept();
    test.request(1, add("a"));
    test.request(2, add("a"));
    assert_eq!(marks(test.sent().concat()), [(1, false), (2, false)]);
    test.reply_error(1, "OOM");
    test.request(3, add("a"));
    assert_eq!(marks(test.sent().concat()), []);
    test.reply_error(2, "OUT_OF_ORDER");
    test.advance(100);
    assert_eq!(marks(test.sent().concat()), [(2, false), (3, false)]);
}

/// Concurrent callers take their ids before their requests are admitted.
#[test]
fn adds_are_sent_again_in_the_order_in_which_they_were_admitted() {
    let mut test = TestEngine::of(&client_id(), ClientConfig::default());
    test.accept();
    let numbers = |sent: Vec<ClientMessage<'static>>| {
        let number = |message| match message {
            ClientMessage::Request {
                id,
                operation: Operation::IdempotentAdd { number, after, .. },
            } => Some((id, number, after)),
            _ => None,
        };
        sent.into_iter().filter_map(number).collect::<Vec<_>>()
    };
    for id in [2, 3, 1] {
        test.request(id, add("a"));
    }
    let sent = [(2, 1, 0), (3, 2, 1), (1, 3, 2)];
    assert_eq!(numbers(test.sent().concat()), sent);
    assert_eq!(numbers(test.reconnect()), sent);
    for id in [2, 3, 1] {
        test.reply_error(id, "TRYAGAIN");
    }
    test.advance(1_000);
    assert_eq!(numbers(test.sent().concat()), sent);
}

/// The earlier server may have stored it.
#[test]
fn an_add_that_the_next_server_does_not_accept_has_an_unknown_outcome() {
    let mut test = TestEngine::open();
    let value = "v".repeat(5 << 20);
    test.request(1, add(&value));
    test.sent();
    test.lose_connection(1006);
    test.advance_until_connect();
    test.engine.handle_opened("streamgate.v1.bin", test.now);
    let mut small = welcome();
    small.max_frame_bytes = 4 << 20;
    test.receive(&ServerMessage::Welcome(small));
    test.request(2, add(&value));
    test.request(3, add("a"));
    assert_eq!(marks(test.sent().concat()), [(3, false)]);
    assert_eq!(test.codes(), [(1, "UNKNOWN_OUTCOME"), (2, "LIMIT")]);
}

/// A server refuses an add that is to follow a later one.
#[test]
fn an_add_is_sent_again_although_a_later_one_is_stored() {
    let mut test = TestEngine::open();
    for id in 1..=3 {
        test.request(id, add("a"));
    }
    test.sent();
    test.reply_error(2, "UNKNOWN_OUTCOME");
    for id in [1, 3] {
        let outcome = Outcome::Ok(Reply::Added { id: "1-0".into() });
        test.receive(&ServerMessage::Reply { id, outcome });
    }
    test.advance(1_000);
    let sent = test.sent().concat();
    let numbers = sent.iter().find_map(|message| match message {
        ClientMessage::Request {
            operation: Operation::IdempotentAdd { number, after, .. },
            ..
        } => Some((*number, *after)),
        _ => None,
    });
    assert_eq!(numbers, Some((2, 1)));
}
