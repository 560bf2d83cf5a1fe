//! Subscriptions on the wire: credit, ids, order, and their end.

use std::time::Duration;

use streamgate::Config;
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::limits::{MAX_NAME_BYTES, MIN_REQUESTS_IN_FLIGHT};
use streamgate_protocol::message::{Credit, Item, Subscription};
use streamgate_protocol::{CacheResult, ClientMessage, ServerMessage, close};

use crate::client::{TestClient, add, grant, tail, wait};
use crate::stub_backend::VANISHED;
use crate::test_server::TestServer;

/// More than any test uses up.
const PLENTY: Credit = Credit {
    entries: 1_000_000,
    bytes: 1 << 40,
};

/// Far more than the server keeps for one client that does not read, with what the kernel holds.
const BOUND_BYTES: usize = 32 << 20;

#[tokio::test]
async fn nothing_is_pushed_beyond_the_credit() {
    for &encoding in Encoding::ALL {
        let server = TestServer::start().await;
        let mut client = server.client(encoding).await;
        client.send(&[tail(1, "endless", Credit::default())]).await;
        assert_eq!(pushed(&mut client).await, (1, vec![], Some("0-0".into())));
        client.ping(1).await;
        let mut expected = 1;
        for entries in [1, 2, 7, 0, 1] {
            client.send(&[grant(1, entries, 1 << 30)]).await;
            let end = expected + entries;
            while expected < end {
                for id in pushed(&mut client).await.1 {
                    assert_eq!(id, format!("{expected}-0"));
                    expected += 1;
                }
            }
            assert_eq!(expected, end, "not one more");
            client.ping(entries).await;
        }
    }
}

#[tokio::test]
async fn at_most_one_entry_exceeds_the_credit_in_bytes() {
    let server = TestServer::start().await;
    let mut client = server.client(Encoding::Binary).await;
    let credit = Credit {
        entries: 1_000,
        bytes: 0,
    };
    client.send(&[tail(1, "endless", credit)]).await;
    pushed(&mut client).await;
    client.ping(1).await;
    client.send(&[grant(1, 0, 2_500)]).await;
    assert_eq!(pushed(&mut client).await.1, ["1-0", "2-0", "3-0"]);
    client.ping(2).await;
    // The client owes the excess: 509 bytes.
    client.send(&[grant(1, 0, 500)]).await;
    client.ping(3).await;
    client.send(&[grant(1, 0, 10)]).await;
    assert_eq!(pushed(&mut client).await.1, ["4-0"]);
    client.ping(4).await;
}

#[tokio::test]
async fn entries_of_a_consumer_wait_for_credit_too() {
    let server = TestServer::start().await;
    let mut client = server.client(Encoding::Binary).await;
    let credit = Credit {
        entries: 10,
        bytes: 256 << 10,
    };
    client.send(&[consume(1, "large batches", 4, credit)]).await;
    assert_eq!(pushed(&mut client).await.1, ["1-0", "2-0"]);
    client.ping(1).await;
    client.send(&[grant(1, 0, 150 << 10)]).await;
    assert_eq!(pushed(&mut client).await.1, ["3-0"]);
    client.ping(2).await;
    client.send(&[grant(1, 0, 500 << 10)]).await;
    assert_eq!(pushed(&mut client).await.1, ["4-0"]);
}

#[tokio::test]
async fn an_enormous_credit_does_not_overflow() {
    for &encoding in Encoding::ALL {
        let server = TestServer::start().await;
        let mut client = server.client(encoding).await;
        let most = u64::MAX;
        client
            .send(&[
                tail(1, "idle", Credit::UNLIMITED),
                grant(1, most, most),
                grant(1, most, most),
            ])
            .await;
        pushed(&mut client).await;
        client.ping(1).await;
    }
}

#[tokio::test]
async fn a_subscriber_that_never_reads_is_bounded_and_closed_and_harms_no_other_client() {
    let server =
        TestServer::with(Config::default().write_timeout(Duration::from_millis(500))).await;
    let mut deaf = server.client(Encoding::Binary).await;
    let mut other = server.client(Encoding::Binary).await;
    deaf.send(&[tail(1, "endless", Credit::UNLIMITED)]).await;
    server.backend.until_tails(1).await;
    let mut nonce = 0;
    while server.backend.tails() > 0 {
        nonce += 1;
        other.ping(nonce).await;
        let produced = server.backend.produced_bytes();
        assert!(produced < BOUND_BYTES, "{produced} bytes");
    }
    assert_eq!(deaf.closed().await.code, close::SLOW_READER);
    server.serves_other_clients().await;
}

#[tokio::test]
async fn a_client_that_is_pushed_to_without_pause_is_still_heard() {
    for &encoding in Encoding::ALL {
        let server = TestServer::start().await;
        let mut client = server.client(encoding).await;
        client.send(&[tail(1, "endless", Credit::UNLIMITED)]).await;
        pushed(&mut client).await;
        client.send(&[ClientMessage::Ping { nonce: 5 }]).await;
        while client.receive().await.unwrap() != (ServerMessage::Pong { nonce: 5 }) {}
        client
            .send(&[
                ClientMessage::Cancel { id: 1 },
                ClientMessage::Ping { nonce: 6 },
            ])
            .await;
        while client.receive().await.unwrap() != (ServerMessage::Pong { nonce: 6 }) {}
        server.backend.until_tails(0).await;
        client.ping(7).await;
    }
}

#[tokio::test]
async fn an_id_in_use_closes_the_socket_whichever_request_uses_it() {
    for &encoding in Encoding::ALL {
        let server = TestServer::start().await;
        for messages in [
            [tail(1, "idle", PLENTY), tail(1, "idle", PLENTY)],
            [tail(1, "idle", PLENTY), add(1, "s", "v")],
            [wait(1), tail(1, "idle", PLENTY)],
        ] {
            let mut client = server.client(encoding).await;
            client.send(&messages).await;
            assert_eq!(client.closed().await.code, close::DUPLICATE_ID);
        }
        server.backend.until_tails(0).await;
    }
}

#[tokio::test]
async fn a_cancelled_id_is_free_at_once() {
    let server = TestServer::start().await;
    let mut client = server.client(Encoding::Binary).await;
    client
        .send(&[
            tail(1, "idle", PLENTY),
            ClientMessage::Cancel { id: 1 },
            tail(1, "gap", PLENTY),
        ])
        .await;
    // Nothing of the first one may arrive any more.
    assert_eq!(pushed(&mut client).await.0, 1);
    assert!(matches!(
        client.receive().await.unwrap(),
        ServerMessage::Push { id: 1, item: Item::Gap(gap) } if gap.position == "4-0"
    ));
    server.backend.until_tails(1).await;
}

#[tokio::test]
async fn grants_and_cancels_of_unknown_ids_do_nothing() {
    for &encoding in Encoding::ALL {
        let server = TestServer::start().await;
        let mut client = server.client(encoding).await;
        client
            .send(&[
                wait(7),
                grant(7, 1, 1),
                grant(8, 1, 1),
                ClientMessage::Cancel { id: 8 },
            ])
            .await;
        client.ping(1).await;
        server.backend.until_waits(1).await;
    }
}

#[tokio::test]
async fn a_failure_ends_a_subscription_with_a_reply_and_frees_the_id() {
    let long = "n".repeat(MAX_NAME_BYTES + 1);
    for &encoding in Encoding::ALL {
        let server = TestServer::start().await;
        let mut client = server.client(encoding).await;
        client.send(&[tail(1, "broken", PLENTY)]).await;
        pushed(&mut client).await;
        assert_eq!(client.error_code_of(1).await, "WRONGTYPE");
        client.send(&[tail(1, &long, PLENTY)]).await;
        assert_eq!(client.error_code_of(1).await, "LIMIT");
        client.send(&[consume(1, "s", 0, PLENTY)]).await;
        assert_eq!(client.error_code_of(1).await, "ERR");
        server.backend.until_tails(0).await;
        client.ping(1).await;
    }
}

#[tokio::test]
async fn a_subscription_begins_in_order_with_operations() {
    for &encoding in Encoding::ALL {
        let server = TestServer::start().await;
        let mut client = server.client(encoding).await;
        client
            .send(&[
                add(1, "s", "before"),
                tail(2, "idle", PLENTY),
                add(3, "s", "after"),
            ])
            .await;
        server.backend.until_begun_adds(3).await;
        assert_eq!(
            server.backend.begun_adds(),
            ["before", "tail idle", "after"]
        );
    }
}

#[tokio::test]
async fn a_subscription_begins_in_order_however_many_items_wait_to_be_pushed() {
    let server = TestServer::start().await;
    let mut client = server.client(Encoding::Binary).await;
    for id in 0..100 {
        let credit = Credit::UNLIMITED;
        let (before, after) = (format!("before {id}"), format!("after {id}"));
        client
            .send(&[
                tail(3 * id, "endless", credit),
                add(3 * id + 1, "s", &before),
                tail(100_000 + id, "idle", PLENTY),
                add(3 * id + 2, "s", &after),
                ClientMessage::Cancel { id: 3 * id },
            ])
            .await;
        let done = 3 * id + 2;
        while !matches!(client.receive().await.unwrap(), ServerMessage::Reply { id, .. } if id == done)
        {
        }
        let begun = ["tail endless", &before, "tail idle", &after];
        assert!(
            server
                .backend
                .begun_adds()
                .ends_with(&begun.map(str::to_owned))
        );
    }
}

#[tokio::test]
async fn subscriptions_cancelled_in_the_same_frame_leave_nothing_behind() {
    let server = TestServer::start().await;
    let mut client = server.client(Encoding::Binary).await;
    let pairs =
        (0..100_000u64).flat_map(|_| [tail(5, "idle", PLENTY), ClientMessage::Cancel { id: 5 }]);
    let messages: Vec<_> = pairs.collect();
    client.send(&messages).await;
    client.send(&[ClientMessage::Ping { nonce: 1 }]).await;
    while client.receive().await.unwrap() != (ServerMessage::Pong { nonce: 1 }) {}
    server.backend.until_tails(0).await;
    server.serves_other_clients().await;
}

/// Otherwise a client that subscribes and cancels could ask the backend for any amount of work.
#[tokio::test]
async fn what_cancelled_subscriptions_asked_of_the_backend_counts_until_it_is_answered() {
    let cancelled = |subscription: fn(u64) -> ClientMessage<'static>| -> Vec<_> {
        let pair = |id| [subscription(id), ClientMessage::Cancel { id }];
        (0..1_000).flat_map(pair).collect()
    };
    let tails = cancelled(|id| tail(id, "unanswered", PLENTY));
    let consumers = cancelled(|id| creating_consumer(id, "unanswered"));
    for (messages, expected) in [(tails, [16, 0]), (consumers, [0, 16])] {
        let server = TestServer::start().await;
        let mut client = server.client(Encoding::Binary).await;
        client.send(&messages).await;
        client.send(&[ClientMessage::Ping { nonce: 1 }]).await;
        server.backend.until_tails(expected[0]).await;
        server.backend.until_creations(expected[1]).await;
        let asked = || server.backend.tails() + server.backend.creations();
        server.until_unchanged(asked).await;
        assert_eq!(asked(), 16, "the replies of 16 MiB are expected");
        server.backend.answer();
        while client.receive().await.unwrap() != (ServerMessage::Pong { nonce: 1 }) {}
        server.backend.until_tails(0).await;
        server.backend.until_creations(0).await;
    }
}

/// Otherwise the group's other consumers would wait for it.
#[tokio::test]
async fn a_read_that_has_begun_ends_although_its_client_does_not_read() {
    let server = TestServer::start().await;
    let mut deaf = server.client(Encoding::Binary).await;
    deaf.send(&[
        consume(1, "waiting", 1, PLENTY),
        tail(2, "endless", Credit::UNLIMITED),
    ])
    .await;
    server.backend.until_waits(1).await;
    // Until the server has stopped pushing to the client that does not read.
    server
        .until_unchanged(|| server.backend.produced_bytes())
        .await;
    server.backend.wake_waits();
    server.backend.until_waits(0).await;
}

/// More subscriptions than items are pushed in one turn.
#[tokio::test]
async fn of_many_subscriptions_each_gets_its_turn() {
    const TAILS: u64 = 300;
    let server = TestServer::start().await;
    let mut client = server.client(Encoding::Binary).await;
    for round in 1..=3 {
        let credit = Credit {
            entries: 10,
            bytes: 1 << 30,
        };
        let messages: Vec<_> = (0..TAILS)
            .map(|id| match round {
                1 => tail(id, "endless", credit),
                _ => grant(id, credit.entries, 0),
            })
            .collect();
        client.send(&messages).await;
        let mut entries = 0;
        while entries < TAILS * credit.entries {
            entries += pushed(&mut client).await.1.len() as u64;
        }
        client.ping(round).await;
    }
}

#[tokio::test]
async fn subscriptions_count_as_requests_in_flight() {
    let max_in_flight = MIN_REQUESTS_IN_FLIGHT;
    let server = TestServer::with(Config::default().max_in_flight(max_in_flight)).await;
    let mut client = server.client(Encoding::Binary).await;
    let granted = u64::from(max_in_flight);
    for id in 0..granted {
        client.send(&[tail(id, "idle", PLENTY)]).await;
        pushed(&mut client).await;
    }
    client.send(&[tail(granted, "idle", PLENTY)]).await;
    assert_eq!(client.error_code_of(granted).await, "OVERLOADED");
    client
        .send(&[
            ClientMessage::Cancel { id: 0 },
            tail(granted, "idle", PLENTY),
        ])
        .await;
    assert_eq!(pushed(&mut client).await.0, granted);
    client.close().await;
    server.backend.until_tails(0).await;
}

#[tokio::test]
async fn a_consumer_reads_as_far_as_batch_and_credit_go() {
    for &encoding in Encoding::ALL {
        let server = TestServer::start().await;
        let mut client = server.client(encoding).await;
        let credit = Credit {
            entries: 5,
            bytes: 1 << 20,
        };
        client.send(&[consume(1, "batches", 2, credit)]).await;
        pushed_in_batches(&mut client, [2, 2, 1]).await;
        client.ping(1).await;
        client.send(&[grant(1, 1, 0)]).await;
        assert_eq!(pushed(&mut client).await.1.len(), 1);
        client.send(&[consume(2, "waiting", 2, credit)]).await;
        server.backend.until_waits(1).await;
        client.send(&[ClientMessage::Cancel { id: 2 }]).await;
        server.backend.until_waits(0).await;
    }
}

#[tokio::test]
async fn reclaimed_entries_keep_to_batch_and_credit_too() {
    for &encoding in Encoding::ALL {
        let server = TestServer::start().await;
        let mut client = server.client(encoding).await;
        let credit = Credit {
            entries: 5,
            bytes: 1 << 20,
        };
        client.send(&[reclaim(1, "vanished", 2, credit)]).await;
        let mut reclaimed = pushed_in_batches(&mut client, [2, 2, 1]).await;
        client.ping(1).await;
        client.send(&[grant(1, 2, 0)]).await;
        reclaimed.extend(pushed(&mut client).await.1);
        let all: Vec<_> = (1..=VANISHED).map(|n| format!("{n}-0")).collect();
        assert_eq!(reclaimed, all);
        client.send(&[ClientMessage::Cancel { id: 1 }]).await;
        client.ping(2).await;
    }
}

#[tokio::test]
async fn a_consumer_that_cannot_reclaim_ends_with_the_reason() {
    for &encoding in Encoding::ALL {
        let server = TestServer::start().await;
        let mut client = server.client(encoding).await;
        client.send(&[reclaim(1, "waiting", 2, PLENTY)]).await;
        let ServerMessage::Reply { id: 1, outcome } = client.receive().await.unwrap() else {
            panic!("not a reply");
        };
        assert_eq!(CacheResult::from(outcome).unwrap_err().code(), "NOGROUP");
        server.backend.until_waits(0).await;
    }
}

/// Receives the next message, which must be a push of entries; returns its id, the ids of the
/// entries, and the position.
async fn pushed(client: &mut TestClient) -> (u64, Vec<String>, Option<String>) {
    match client.receive().await.unwrap() {
        ServerMessage::Push {
            id,
            item: Item::Entries { entries, position },
        } => (
            id,
            entries.into_iter().map(|entry| entry.id).collect(),
            position,
        ),
        ServerMessage::Reply { outcome, .. } => panic!("{:?}", CacheResult::from(outcome)),
        other => panic!("not a push of entries: {other:?}"),
    }
}

/// Receives pushes of these numbers of entries; returns the ids.
async fn pushed_in_batches<const N: usize>(
    client: &mut TestClient,
    counts: [usize; N],
) -> Vec<String> {
    let mut all = Vec::new();
    for count in counts {
        let ids = pushed(client).await.1;
        assert_eq!(ids.len(), count);
        all.extend(ids);
    }
    all
}

fn reclaim(id: u64, stream: &str, batch: u64, credit: Credit) -> ClientMessage<'_> {
    let mut message = consume(id, stream, batch, credit);
    if let ClientMessage::Subscribe {
        subscription: Subscription::Consume { claim_after_ms, .. },
        ..
    } = &mut message
    {
        *claim_after_ms = Some(3_600_000);
    }
    message
}

fn creating_consumer(id: u64, stream: &str) -> ClientMessage<'_> {
    let mut message = consume(id, stream, 1, PLENTY);
    if let ClientMessage::Subscribe {
        subscription: Subscription::Consume { create_from, .. },
        ..
    } = &mut message
    {
        *create_from = Some("0".into());
    }
    message
}

fn consume(id: u64, stream: &str, batch: u64, credit: Credit) -> ClientMessage<'_> {
    ClientMessage::Subscribe {
        id,
        subscription: Subscription::Consume {
            stream: stream.into(),
            group: "g".into(),
            consumer: "c".into(),
            batch,
            claim_after_ms: None,
            max_deliveries: None,
            dead_letter: None,
            resumed: None,
            create_from: None,
            position: None,
        },
        credit,
    }
}
