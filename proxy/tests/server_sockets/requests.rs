//! Requests in order, together, cancelled, and waiting.

use std::collections::HashMap;

use streamgate_protocol::codec::Encoding;
use streamgate_protocol::{ClientMessage, Operation, Reply, ServerMessage};

use crate::client::{TestClient, add, wait};
use crate::test_server::{TestServer, serve_memory};

#[tokio::test]
async fn the_welcome_names_the_server_and_its_limits() {
    let server = TestServer::start().await;
    for &encoding in Encoding::ALL {
        let mut client = TestClient::connect(server.address, encoding).await;
        let welcome = client.welcome().await;
        assert_eq!(
            welcome.server,
            concat!("streamgate/", env!("CARGO_PKG_VERSION"))
        );
        assert_eq!(welcome.max_in_flight, 16_384);
        assert_eq!(welcome.max_frame_bytes, 16 * 1024 * 1024);
        assert_eq!(welcome.heartbeat_ms, 15_000);
    }
}

#[tokio::test]
async fn requests_of_one_frame_are_performed_in_order_and_answered_together() {
    for &encoding in Encoding::ALL {
        let server = TestServer::start().await;
        let mut client = server.client(encoding).await;
        // As many as the session dispatches between two looks at the clock.
        let values: Vec<String> = (0..10).map(|i| i.to_string()).collect();
        let requests: Vec<_> = values
            .iter()
            .enumerate()
            .map(|(i, value)| add(i as u64, "s", value))
            .collect();
        let frames_before = client.frames;
        client.send(&requests).await;
        for id in 0..10 {
            let added = Reply::Added {
                id: "1-0".to_owned(),
            };
            assert_eq!(client.reply_to(id).await, Ok(added));
        }
        assert_eq!(
            client.frames,
            frames_before + 1,
            "the replies come in one frame"
        );
        assert_eq!(server.backend.begun_adds(), values);
    }
}

#[tokio::test]
async fn more_messages_than_one_turn_dispatches_are_all_answered_in_order() {
    for &encoding in Encoding::ALL {
        let server = TestServer::start().await;
        let mut client = server.client(encoding).await;
        let values: Vec<String> = (0..5000).map(|i| i.to_string()).collect();
        let messages: Vec<_> = values
            .iter()
            .enumerate()
            .map(|(i, value)| add(i as u64, "s", value))
            .collect();
        client.send(&messages).await;
        for id in 0..5000 {
            assert!(client.reply_to(id).await.is_ok());
        }
        assert_eq!(server.backend.begun_adds(), values);
    }
}

#[tokio::test]
async fn a_waiting_read_from_now_reports_its_position_before_later_replies() {
    for &encoding in Encoding::ALL {
        let address = serve_memory().await;
        let mut client = TestClient::connect(address, encoding).await;
        client.welcome().await;
        let read = |id, last_id: &'static str, block_ms| ClientMessage::Request {
            id,
            operation: Operation::Read {
                stream: "s".into(),
                last_id: last_id.into(),
                count: 1,
                block_ms,
            },
        };
        client.send(&[add(1, "s", "v")]).await;
        let first = client.reply_to(1).await.unwrap().into_added().unwrap();
        let reads = [
            read(2, "$", Some(0)),
            read(3, "$", None),
            read(4, "9999999999999-0", Some(0)),
        ];
        client.send(&reads).await;
        client.send(&[add(5, "s", "v")]).await;
        let mut answered = [0; 3];
        for id in &mut answered {
            *id = client.reply().await.0;
        }
        answered.sort_unstable();
        assert_eq!(answered, [2, 3, 5]);
        assert_eq!(client.positions, [(2, first)]);
    }
}

#[tokio::test]
async fn requests_of_many_frames_keep_their_order() {
    for &encoding in Encoding::ALL {
        let server = TestServer::start().await;
        let mut client = server.client(encoding).await;
        let values: Vec<String> = (0..500).map(|i| i.to_string()).collect();
        for (i, value) in values.iter().enumerate() {
            client.send(&[add(i as u64, "s", value)]).await;
        }
        for id in 0..500 {
            assert!(client.reply_to(id).await.is_ok());
        }
        assert_eq!(server.backend.begun_adds(), values);
    }
}

#[tokio::test]
async fn a_slow_request_delays_no_other_request() {
    for &encoding in Encoding::ALL {
        let server = TestServer::start().await;
        let mut client = server.client(encoding).await;
        client.send(&[add(1, "slow", "a")]).await;
        server.backend.until_slow_adds(1).await;
        client.send(&[add(2, "s", "b")]).await;
        assert!(client.reply_to(2).await.is_ok());
        client.ping(3).await;
        server.backend.finish_slow_adds();
        assert!(client.reply_to(1).await.is_ok());
        assert_eq!(server.backend.begun_adds(), ["a", "b"]);
    }
}

#[tokio::test]
async fn an_entry_ends_a_wait_and_a_wait_delays_no_other_request() {
    for &encoding in Encoding::ALL {
        let server = TestServer::start().await;
        let mut client = server.client(encoding).await;
        client.send(&[wait(1), add(2, "s", "v"), wait(3)]).await;
        assert!(client.reply_to(2).await.is_ok());
        server.backend.until_waits(2).await;
        server.backend.wake_waits();
        let mut ended = Vec::new();
        for _ in 0..2 {
            let (id, result) = client.reply().await;
            assert_eq!(result.and_then(Reply::into_entries).unwrap()[0].id, "7-0");
            ended.push(id);
        }
        ended.sort_unstable();
        assert_eq!(ended, [1, 3]);
    }
}

#[tokio::test]
async fn the_last_of_several_pings_is_answered() {
    for &encoding in Encoding::ALL {
        let server = TestServer::start().await;
        let mut client = server.client(encoding).await;
        let pings: Vec<_> = (0..100)
            .map(|nonce| ClientMessage::Ping { nonce })
            .collect();
        client.send(&pings[..50]).await;
        client.send(&pings[50..]).await;
        let mut last = None;
        while last != Some(99) {
            let ServerMessage::Pong { nonce } = client.receive().await.unwrap() else {
                panic!("not a pong");
            };
            assert!(last < Some(nonce), "{nonce} after {last:?}");
            last = Some(nonce);
        }
    }
}

#[tokio::test]
async fn a_cancelled_wait_gets_no_reply_and_frees_its_id() {
    for &encoding in Encoding::ALL {
        let server = TestServer::start().await;
        let mut client = server.client(encoding).await;
        client.send(&[wait(1), wait(2)]).await;
        server.backend.until_waits(2).await;
        client.send(&[ClientMessage::Cancel { id: 1 }]).await;
        server.backend.until_waits(1).await;
        client.send(&[add(1, "s", "v")]).await;
        assert!(matches!(client.reply_to(1).await, Ok(Reply::Added { .. })));
        server.backend.wake_waits();
        assert!(client.reply_to(2).await.is_ok());
        client.ping(3).await;
    }
}

#[tokio::test]
async fn a_request_cancelled_while_it_is_performed_gets_no_reply() {
    for &encoding in Encoding::ALL {
        let server = TestServer::start().await;
        let mut client = server.client(encoding).await;
        // The wait comes after the slow add, so it has not begun yet.
        client
            .send(&[add(1, "slow", "a"), wait(2), add(3, "s", "b")])
            .await;
        server.backend.until_slow_adds(1).await;
        client
            .send(&[1, 2].map(|id| ClientMessage::Cancel { id }))
            .await;
        client.ping(4).await;
        // The ids are free: their new requests are answered, the old ones are not.
        client.send(&[add(1, "s", "c")]).await;
        assert!(client.reply_to(1).await.is_ok());
        server.backend.finish_slow_adds();
        assert!(client.reply_to(3).await.is_ok());
        client.ping(5).await;
        server.backend.until_waits(0).await;
        assert_eq!(server.backend.begun_adds(), ["a", "c", "b"]);
    }
}

#[tokio::test]
async fn a_read_cancelled_before_it_begins_takes_no_entry() {
    let address = serve_memory().await;
    let read = |id, consumer: &'static str| ClientMessage::Request {
        id,
        operation: Operation::ReadGroup {
            stream: "s".into(),
            group: "g".into(),
            consumer: consumer.into(),
            count: 1,
            block_ms: Some(0),
        },
    };
    for &encoding in Encoding::ALL {
        let mut client = TestClient::connect(address, encoding).await;
        client.welcome().await;
        let operation = Operation::CreateGroup {
            stream: "s".into(),
            group: "g".into(),
            id: "$".into(),
        };
        let create = ClientMessage::Request { id: 1, operation };
        // In one frame, so they are performed together.
        let cancelled = [read(2, "cancelled"), ClientMessage::Cancel { id: 2 }];
        let rest = [read(2, "next"), add(3, "s", "v")];
        client
            .send(&[&[create][..], &cancelled, &rest].concat())
            .await;
        // The first creates the group, which exists already for the second encoding.
        let mut replies = HashMap::new();
        while replies.len() < 3 {
            let (id, result) = client.reply().await;
            replies.insert(id, result);
        }
        let mut reply = |id| replies.remove(&id).unwrap();
        let (taken, added) = (reply(2).unwrap(), reply(3).unwrap());
        assert_eq!(
            taken.into_entries().unwrap()[0].id,
            added.into_added().unwrap()
        );
        client.close().await;
    }
}

#[tokio::test]
async fn a_cancel_of_an_unknown_id_is_no_error() {
    for &encoding in Encoding::ALL {
        let server = TestServer::start().await;
        let mut client = server.client(encoding).await;
        client.send(&[add(1, "s", "v")]).await;
        assert!(client.reply_to(1).await.is_ok());
        client
            .send(&[
                ClientMessage::Cancel { id: 1 },
                ClientMessage::Cancel { id: 77 },
            ])
            .await;
        client.ping(2).await;
    }
}
