//! Subscriptions on the wire: credit, ids, order, and their end.

use std::time::Duration;

use streamgate::Config;
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::limits::{MAX_NAME_BYTES, MIN_REQUESTS_IN_FLIGHT};
use streamgate_protocol::message::{Credit, Item, Subscription};
use streamgate_protocol::{CacheResult, ClientMessage, ServerMessage, close};

use crate::client::{Client, add, grant, tail, wait};
use crate::stub_backend::VANISHED;
use crate::test_server::Service;

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
        let service = Service::start().await;
        let mut client = service.client(encoding).await;
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
async fn bytes_are_credit_too_and_only_one_entry_goes_beyond() {
    let service = Service::start().await;
    let mut client = service.client(Encoding::Binary).await;
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
    // What it went beyond is owed: 509 bytes.
    client.send(&[grant(1, 0, 500)]).await;
    client.ping(3).await;
    client.send(&[grant(1, 0, 10)]).await;
    assert_eq!(pushed(&mut client).await.1, ["4-0"]);
    client.ping(4).await;
}

#[tokio::test]
async fn a_consumer_s_entries_wait_for_credit_too() {
    let service = Service::start().await;
    let mut client = service.client(Encoding::Binary).await;
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
async fn an_enormous_credit_is_no_more_than_all_there_is() {
    for &encoding in Encoding::ALL {
        let service = Service::start().await;
        let mut client = service.client(encoding).await;
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
async fn a_subscriber_that_never_reads_is_bounded_closed_and_disturbs_nobody() {
    let service = Service::with(Config {
        write_timeout: Duration::from_millis(500),
        ..Config::default()
    })
    .await;
    let mut deaf = service.client(Encoding::Binary).await;
    let mut other = service.client(Encoding::Binary).await;
    deaf.send(&[tail(1, "endless", Credit::UNLIMITED)]).await;
    service.backend.until_followed(1).await;
    let mut nonce = 0;
    while service.backend.followed() > 0 {
        nonce += 1;
        other.ping(nonce).await;
        let produced = service.backend.produced();
        assert!(produced < BOUND_BYTES, "{produced} bytes");
    }
    assert_eq!(deaf.closed().await.code, close::SLOW_READER);
    service.serves_others().await;
}

#[tokio::test]
async fn who_is_pushed_without_end_is_still_heard() {
    for &encoding in Encoding::ALL {
        let service = Service::start().await;
        let mut client = service.client(encoding).await;
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
        service.backend.until_followed(0).await;
        client.ping(7).await;
    }
}

#[tokio::test]
async fn an_id_in_use_closes_the_socket_whatever_uses_it() {
    for &encoding in Encoding::ALL {
        let service = Service::start().await;
        for messages in [
            [tail(1, "idle", PLENTY), tail(1, "idle", PLENTY)],
            [tail(1, "idle", PLENTY), add(1, "s", "v")],
            [wait(1), tail(1, "idle", PLENTY)],
        ] {
            let mut client = service.client(encoding).await;
            client.send(&messages).await;
            assert_eq!(client.closed().await.code, close::DUPLICATE_ID);
        }
        service.backend.until_followed(0).await;
    }
}

#[tokio::test]
async fn a_cancelled_id_is_free_at_once() {
    let service = Service::start().await;
    let mut client = service.client(Encoding::Binary).await;
    client
        .send(&[
            tail(1, "idle", PLENTY),
            ClientMessage::Cancel { id: 1 },
            tail(1, "gap", PLENTY),
        ])
        .await;
    // Of the first one, nothing has to come any more.
    assert_eq!(pushed(&mut client).await.0, 1);
    assert!(matches!(
        client.receive().await.unwrap(),
        ServerMessage::Push { id: 1, item: Item::Gap(gap) } if gap.position == "4-0"
    ));
    service.backend.until_followed(1).await;
}

#[tokio::test]
async fn what_is_not_there_can_be_granted_and_cancelled() {
    for &encoding in Encoding::ALL {
        let service = Service::start().await;
        let mut client = service.client(encoding).await;
        client
            .send(&[
                wait(7),
                grant(7, 1, 1),
                grant(8, 1, 1),
                ClientMessage::Cancel { id: 8 },
            ])
            .await;
        client.ping(1).await;
        service.backend.until_waits(1).await;
    }
}

#[tokio::test]
async fn a_failure_ends_it_with_a_reply_and_frees_the_id() {
    let long = "n".repeat(MAX_NAME_BYTES + 1);
    for &encoding in Encoding::ALL {
        let service = Service::start().await;
        let mut client = service.client(encoding).await;
        client.send(&[tail(1, "broken", PLENTY)]).await;
        pushed(&mut client).await;
        assert_eq!(client.error_of(1).await, "WRONGTYPE");
        client.send(&[tail(1, "huge", PLENTY)]).await;
        pushed(&mut client).await;
        assert_eq!(client.error_of(1).await, "LIMIT");
        client.send(&[tail(1, &long, PLENTY)]).await;
        assert_eq!(client.error_of(1).await, "LIMIT");
        client.send(&[consume(1, "s", 0, PLENTY)]).await;
        assert_eq!(client.error_of(1).await, "ERR");
        service.backend.until_followed(0).await;
        client.ping(1).await;
    }
}

#[tokio::test]
async fn it_begins_in_its_turn() {
    for &encoding in Encoding::ALL {
        let service = Service::start().await;
        let mut client = service.client(encoding).await;
        client
            .send(&[
                add(1, "s", "before"),
                tail(2, "idle", PLENTY),
                add(3, "s", "after"),
            ])
            .await;
        service.backend.until_added(3).await;
        assert_eq!(service.backend.added(), ["before", "follow idle", "after"]);
    }
}

#[tokio::test]
async fn it_begins_in_its_turn_however_much_waits_to_be_pushed() {
    let service = Service::start().await;
    let mut client = service.client(Encoding::Binary).await;
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
        let begun = ["follow endless", &before, "follow idle", &after];
        assert!(service.backend.added().ends_with(&begun.map(str::to_owned)));
    }
}

#[tokio::test]
async fn what_is_cancelled_in_the_same_frame_leaves_nothing_behind() {
    let service = Service::start().await;
    let mut client = service.client(Encoding::Binary).await;
    let pairs =
        (0..100_000u64).flat_map(|_| [tail(5, "idle", PLENTY), ClientMessage::Cancel { id: 5 }]);
    let messages: Vec<_> = pairs.collect();
    client.send(&messages).await;
    client.send(&[ClientMessage::Ping { nonce: 1 }]).await;
    while client.receive().await.unwrap() != (ServerMessage::Pong { nonce: 1 }) {}
    service.backend.until_followed(0).await;
    service.serves_others().await;
}

/// The group's other consumers would wait for it.
#[tokio::test]
async fn what_was_asked_of_the_backend_ends_though_its_client_does_not_read() {
    let service = Service::start().await;
    let mut deaf = service.client(Encoding::Binary).await;
    deaf.send(&[
        consume(1, "waiting", 1, PLENTY),
        tail(2, "endless", Credit::UNLIMITED),
    ])
    .await;
    service.backend.until_waits(1).await;
    let mut other = service.client(Encoding::Binary).await;
    // Until the server has stopped pushing to one that does not read.
    let mut produced = 0;
    for nonce in 0.. {
        other.ping(nonce).await;
        if nonce % 100 == 0
            && produced == std::mem::replace(&mut produced, service.backend.produced())
        {
            break;
        }
    }
    service.backend.wake();
    service.backend.until_waits(0).await;
}

/// More than are taken from their sources in one go.
#[tokio::test]
async fn of_many_subscriptions_none_is_passed_over() {
    const TAILS: u64 = 300;
    let service = Service::start().await;
    let mut client = service.client(Encoding::Binary).await;
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
async fn subscriptions_are_requests_in_flight() {
    let max_in_flight = MIN_REQUESTS_IN_FLIGHT;
    let service = Service::with(Config {
        max_in_flight,
        ..Config::default()
    })
    .await;
    let mut client = service.client(Encoding::Binary).await;
    let granted = u64::from(max_in_flight);
    for id in 0..granted {
        client.send(&[tail(id, "idle", PLENTY)]).await;
        pushed(&mut client).await;
    }
    client.send(&[tail(granted, "idle", PLENTY)]).await;
    assert_eq!(client.error_of(granted).await, "OVERLOADED");
    client
        .send(&[
            ClientMessage::Cancel { id: 0 },
            tail(granted, "idle", PLENTY),
        ])
        .await;
    assert_eq!(pushed(&mut client).await.0, granted);
    client.close().await;
    service.backend.until_followed(0).await;
}

#[tokio::test]
async fn a_consumer_is_read_for_as_far_as_batch_and_credit_go() {
    for &encoding in Encoding::ALL {
        let service = Service::start().await;
        let mut client = service.client(encoding).await;
        let credit = Credit {
            entries: 5,
            bytes: 1 << 20,
        };
        client.send(&[consume(1, "batches", 2, credit)]).await;
        for count in [2, 2, 1] {
            assert_eq!(pushed(&mut client).await.1.len(), count);
        }
        client.ping(1).await;
        client.send(&[grant(1, 1, 0)]).await;
        assert_eq!(pushed(&mut client).await.1.len(), 1);
        client.send(&[consume(2, "waiting", 2, credit)]).await;
        service.backend.until_waits(1).await;
        client.send(&[ClientMessage::Cancel { id: 2 }]).await;
        service.backend.until_waits(0).await;
    }
}

#[tokio::test]
async fn what_is_taken_over_keeps_to_batch_and_credit_too() {
    for &encoding in Encoding::ALL {
        let service = Service::start().await;
        let mut client = service.client(encoding).await;
        let credit = Credit {
            entries: 5,
            bytes: 1 << 20,
        };
        client.send(&[reclaim(1, "vanished", 2, credit)]).await;
        let mut taken = Vec::new();
        for count in [2, 2, 1] {
            let ids = pushed(&mut client).await.1;
            assert_eq!(ids.len(), count);
            taken.extend(ids);
        }
        client.ping(1).await;
        client.send(&[grant(1, 2, 0)]).await;
        taken.extend(pushed(&mut client).await.1);
        let all: Vec<_> = (1..=VANISHED).map(|n| format!("{n}-0")).collect();
        assert_eq!(taken, all);
        client.send(&[ClientMessage::Cancel { id: 1 }]).await;
        client.ping(2).await;
    }
}

#[tokio::test]
async fn a_consumer_that_cannot_take_over_ends_with_the_reason() {
    for &encoding in Encoding::ALL {
        let service = Service::start().await;
        let mut client = service.client(encoding).await;
        client.send(&[reclaim(1, "waiting", 2, PLENTY)]).await;
        let ServerMessage::Reply { id: 1, outcome } = client.receive().await.unwrap() else {
            panic!("it does not end");
        };
        assert_eq!(CacheResult::from(outcome).unwrap_err().code(), "NOGROUP");
        service.backend.until_waits(0).await;
    }
}

/// The next message, which has to be a push of entries: whose, their ids, and the position.
async fn pushed(client: &mut Client) -> (u64, Vec<String>, Option<String>) {
    match client.receive().await.unwrap() {
        ServerMessage::Push {
            id,
            item: Item::Entries { entries, position },
        } => (
            id,
            entries.into_iter().map(|(id, _)| id).collect(),
            position,
        ),
        ServerMessage::Reply { outcome, .. } => panic!("{:?}", CacheResult::from(outcome)),
        other => panic!("{other:?} where entries were due"),
    }
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
        },
        credit,
    }
}
