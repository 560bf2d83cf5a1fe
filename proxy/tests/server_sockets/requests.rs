//! Requests in order, together, cancelled, and waiting.

use std::collections::HashMap;
use std::sync::Arc;

use streamgate::{Config, Server};
use streamgate_memory::MemoryStreams;
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::{ClientMessage, Operation, Reply};
use tokio::net::TcpListener;

use crate::client::{add, wait};
use crate::test_server::Service;

#[tokio::test]
async fn the_welcome_says_what_is_granted() {
    let service = Service::start().await;
    for &encoding in Encoding::ALL {
        let mut client = crate::client::Client::connect(service.address, encoding).await;
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
        let service = Service::start().await;
        let mut client = service.client(encoding).await;
        let values: Vec<String> = (0..1000).map(|i| i.to_string()).collect();
        let requests: Vec<_> = values
            .iter()
            .enumerate()
            .map(|(i, value)| add(i as u64, "s", value))
            .collect();
        let frames_before = client.frames;
        client.send(&requests).await;
        for id in 0..1000 {
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
        assert_eq!(service.backend.added(), values);
    }
}

#[tokio::test]
async fn more_messages_than_one_turn_takes_are_all_answered_in_order() {
    for &encoding in Encoding::ALL {
        let service = Service::start().await;
        let mut client = service.client(encoding).await;
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
        assert_eq!(service.backend.added(), values);
    }
}

#[tokio::test]
async fn a_read_from_now_that_waits_says_from_where_before_what_follows_it() {
    for &encoding in Encoding::ALL {
        let server = Server::new(Arc::new(MemoryStreams::new()), Config::default()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(server.serve(listener, std::future::pending()));
        let mut client = crate::client::Client::connect(address, encoding).await;
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
        let service = Service::start().await;
        let mut client = service.client(encoding).await;
        let values: Vec<String> = (0..500).map(|i| i.to_string()).collect();
        for (i, value) in values.iter().enumerate() {
            client.send(&[add(i as u64, "s", value)]).await;
        }
        for id in 0..500 {
            assert!(client.reply_to(id).await.is_ok());
        }
        assert_eq!(service.backend.added(), values);
    }
}

#[tokio::test]
async fn a_slow_request_delays_no_other() {
    for &encoding in Encoding::ALL {
        let service = Service::start().await;
        let mut client = service.client(encoding).await;
        client.send(&[add(1, "slow", "a")]).await;
        service.backend.until_slow(1).await;
        client.send(&[add(2, "s", "b")]).await;
        assert!(client.reply_to(2).await.is_ok());
        client.ping(3).await;
        service.backend.open();
        assert!(client.reply_to(1).await.is_ok());
        assert_eq!(service.backend.added(), ["a", "b"]);
    }
}

#[tokio::test]
async fn a_wait_is_ended_by_an_entry_and_delays_no_other() {
    for &encoding in Encoding::ALL {
        let service = Service::start().await;
        let mut client = service.client(encoding).await;
        client.send(&[wait(1), add(2, "s", "v"), wait(3)]).await;
        assert!(client.reply_to(2).await.is_ok());
        service.backend.until_waits(2).await;
        service.backend.wake();
        let mut ended = Vec::new();
        for _ in 0..2 {
            let (id, result) = client.reply().await;
            assert_eq!(result.and_then(Reply::into_entries).unwrap()[0].0, "7-0");
            ended.push(id);
        }
        ended.sort_unstable();
        assert_eq!(ended, [1, 3]);
    }
}

#[tokio::test]
async fn pongs_come_in_the_order_of_the_pings() {
    for &encoding in Encoding::ALL {
        let service = Service::start().await;
        let mut client = service.client(encoding).await;
        let pings: Vec<_> = (0..100)
            .map(|nonce| ClientMessage::Ping { nonce })
            .collect();
        client.send(&pings[..50]).await;
        client.send(&pings[50..]).await;
        for nonce in 0..100 {
            client.pong(nonce).await;
        }
    }
}

#[tokio::test]
async fn a_cancelled_wait_ends_unanswered_and_frees_its_id() {
    for &encoding in Encoding::ALL {
        let service = Service::start().await;
        let mut client = service.client(encoding).await;
        client.send(&[wait(1), wait(2)]).await;
        service.backend.until_waits(2).await;
        client.send(&[ClientMessage::Cancel { id: 1 }]).await;
        service.backend.until_waits(1).await;
        client.send(&[add(1, "s", "v")]).await;
        assert!(matches!(client.reply_to(1).await, Ok(Reply::Added { .. })));
        service.backend.wake();
        assert!(client.reply_to(2).await.is_ok());
        client.ping(3).await;
    }
}

#[tokio::test]
async fn a_request_cancelled_while_it_is_performed_is_not_answered() {
    for &encoding in Encoding::ALL {
        let service = Service::start().await;
        let mut client = service.client(encoding).await;
        // The wait stands behind the slow add, so it is not even asked yet.
        client
            .send(&[add(1, "slow", "a"), wait(2), add(3, "s", "b")])
            .await;
        service.backend.until_slow(1).await;
        client
            .send(&[1, 2].map(|id| ClientMessage::Cancel { id }))
            .await;
        client.ping(4).await;
        // The ids are free: their new requests are answered, the old ones are not.
        client.send(&[add(1, "s", "c")]).await;
        assert!(client.reply_to(1).await.is_ok());
        service.backend.open();
        assert!(client.reply_to(3).await.is_ok());
        client.ping(5).await;
        service.backend.until_waits(0).await;
        assert_eq!(service.backend.added(), ["a", "c", "b"]);
    }
}

#[tokio::test]
async fn what_is_cancelled_before_its_turn_is_handed_nothing() {
    let streams = Arc::new(MemoryStreams::new());
    let server = Server::new(streams, Config::default()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(server.serve(listener, std::future::pending()));
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
        let mut client = crate::client::Client::connect(address, encoding).await;
        client.welcome().await;
        let operation = Operation::CreateGroup {
            stream: "s".into(),
            group: "g".into(),
            id: "$".into(),
        };
        let create = ClientMessage::Request { id: 1, operation };
        // The server takes all that is there at once, so these are performed together.
        let gone = [read(2, "gone"), ClientMessage::Cancel { id: 2 }];
        let rest = [read(2, "next"), add(3, "s", "v")];
        client.send(&[&[create][..], &gone, &rest].concat()).await;
        // The first is that of the group, which the second encoding finds there.
        let mut replies = HashMap::new();
        while replies.len() < 3 {
            let (id, result) = client.reply().await;
            replies.insert(id, result);
        }
        let mut reply = |id| replies.remove(&id).unwrap();
        let (taken, added) = (reply(2).unwrap(), reply(3).unwrap());
        assert_eq!(
            taken.into_entries().unwrap()[0].0,
            added.into_added().unwrap()
        );
        client.close().await;
    }
}

#[tokio::test]
async fn a_cancel_of_nothing_is_no_error() {
    for &encoding in Encoding::ALL {
        let service = Service::start().await;
        let mut client = service.client(encoding).await;
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
