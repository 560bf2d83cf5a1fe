//! Streams of a `Client`, against a scripted server.

use futures_util::StreamExt;
use streamgate_client::{
    ClientConfig, ConsumeOptions, Gap, StreamingBackend, SubscribingBackend, TailFrom, TailItem,
};
use streamgate_protocol::message::{Credit, Fault, Item, Outcome, Subscription, TailStart};
use streamgate_protocol::{CacheError, ClientMessage, Operation, Reply, ServerMessage};

use crate::scripted_server::{assert_send, connected, entry, is_pending};

fn batch(size: usize) -> ConsumeOptions {
    ConsumeOptions::default().batch(size)
}

#[tokio::test(start_paused = true)]
async fn a_tail_yields_positions_entries_and_gaps() {
    let (client, mut server) = connected(ClientConfig::default()).await;
    let mut tail = assert_send(client.tail("s", TailFrom::Last(3)));
    // The tail may outlive the handle.
    drop(client);
    assert!(is_pending(&mut tail.next()));
    let ClientMessage::Subscribe {
        id, subscription, ..
    } = server.next().await
    else {
        panic!("a subscribe");
    };
    let from = TailStart::Last { count: 3 };
    let stream = "s".into();
    assert_eq!(subscription, Subscription::Tail { stream, from });

    let position = Some("5-0".to_owned());
    let entries = vec![];
    server.push(id, Item::Entries { entries, position });
    server.push_entries(id, &["6-0", "7-0"]);
    let gap = Gap::new("7-0", "8-0").first(Some("9-0".to_owned()));
    server.push(id, Item::Gap(gap.clone()));
    let of = |ids: &[&str], position: &str| TailItem::Entries {
        entries: ids.iter().map(|id| entry(id)).collect(),
        position: position.to_owned(),
    };
    for expected in [
        of(&[], "5-0"),
        of(&["6-0", "7-0"], "7-0"),
        TailItem::Gap(gap),
    ] {
        assert_eq!(tail.next().await.unwrap().unwrap(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_consumer_receives_batches() {
    let (client, mut server) = connected(ClientConfig::default()).await;
    let mut deliveries = assert_send(client.consume("s", "g", "c", batch(2)));
    assert!(is_pending(&mut deliveries.next()));
    let ClientMessage::Subscribe { id, credit, .. } = server.next().await else {
        panic!("a subscribe");
    };
    assert_eq!(credit.entries, 2);
    server.push_entries(id, &["1-0", "2-0"]);
    let entries = deliveries.next().await.unwrap().unwrap();
    assert_eq!(entries, [entry("1-0"), entry("2-0")]);
    let credit = Credit::of(&entries);
    assert_eq!(server.next().await, ClientMessage::Grant { id, credit });
    drop(deliveries);
    assert_eq!(server.next().await, ClientMessage::Cancel { id });
}

#[tokio::test(start_paused = true)]
async fn credit_is_granted_for_taken_items_only() {
    let config = ClientConfig::default().credit_entries(4);
    let (client, mut server) = connected(config).await;
    let mut tail = client.tail("s", TailFrom::Now);
    assert!(is_pending(&mut tail.next()));
    let id = server.next_subscribe().await;
    for entry in ["1-0", "2-0", "3-0", "4-0"] {
        server.push_entries(id, &[entry]);
    }
    // The next message is this request: no grant comes before it.
    let call = client.stream_read_latest("s", 1);
    futures_util::pin_mut!(call);
    assert!(is_pending(&mut call));
    let request = server.next().await;
    assert!(
        matches!(request, ClientMessage::Request { .. }),
        "{request:?}"
    );
    tail.next().await.unwrap().unwrap();
    tail.next().await.unwrap().unwrap();
    let grant = server.next().await;
    assert!(
        matches!(grant, ClientMessage::Grant { credit, .. } if credit.entries == 2),
        "{grant:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_subscription_is_sent_in_its_first_poll_and_in_order_with_requests() {
    let (client, mut server) = connected(ClientConfig::default()).await;
    let mut tail = client.tail("s", TailFrom::Now);
    drop(client.tail("never polled", TailFrom::Now));
    let fields = || vec![("f".to_owned(), "v".to_owned())];
    let before = client.stream_add("before", fields(), None);
    let after = client.stream_add("after", fields(), None);
    futures_util::pin_mut!(before, after);
    assert!(is_pending(&mut before) && is_pending(&mut tail.next()) && is_pending(&mut after));
    let stream = |message| match message {
        ClientMessage::Request {
            operation: Operation::IdempotentAdd { stream, .. },
            ..
        }
        | ClientMessage::Subscribe {
            subscription: Subscription::Tail { stream, .. },
            ..
        } => stream.to_string(),
        other => panic!("{other:?}"),
    };
    let mut sent = vec![];
    for _ in 0..3 {
        sent.push(stream(server.next().await));
    }
    assert_eq!(sent, ["before", "s", "after"]);
}

#[tokio::test(start_paused = true)]
async fn an_error_comes_after_the_pushed_items_and_is_the_last_item() {
    let (client, mut server) = connected(ClientConfig::default()).await;
    let mut tail = client.tail("s", TailFrom::Now);
    assert!(is_pending(&mut tail.next()));
    let id = server.next_subscribe().await;
    server.push_entries(id, &["1-0"]);
    let fault = Fault::from(&CacheError::from_code("WRONGTYPE", "why"));
    let outcome = Outcome::Error(fault);
    server.send(&ServerMessage::Reply { id, outcome });
    assert!(tail.next().await.unwrap().is_ok());
    let error = tail.next().await.unwrap().unwrap_err();
    assert_eq!(error.code(), "WRONGTYPE");
    assert!(tail.next().await.is_none());
    drop(tail);

    // A tail that is over is not cancelled: the next message is the next subscribe.
    let mut tail = client.tail("s", TailFrom::Now);
    assert!(is_pending(&mut tail.next()));
    server.next_subscribe().await;
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_driver_ends_streams() {
    let (client, mut server) = connected(ClientConfig::default()).await;
    let mut tail = client.tail("s", TailFrom::Now);
    let mut deliveries = client.consume("s", "g", "c", ConsumeOptions::default());
    assert!(is_pending(&mut tail.next()) && is_pending(&mut deliveries.next()));
    server.next_subscribe().await;
    server.next_subscribe().await;
    server.drop_driver().await;
    let error = tail.next().await.unwrap().unwrap_err();
    assert_eq!(error.code(), "DISCONNECTED");
    let error = deliveries.next().await.unwrap().unwrap_err();
    assert_eq!(error.code(), "UNKNOWN_OUTCOME");
    assert!(tail.next().await.is_none() && deliveries.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn closing_the_client_ends_its_streams_without_an_error() {
    let (client, mut server) = connected(ClientConfig::default()).await;
    let mut tail = client.tail("s", TailFrom::Now);
    let mut deliveries = client.consume("s", "g", "c", ConsumeOptions::default());
    assert!(is_pending(&mut tail.next()) && is_pending(&mut deliveries.next()));
    server.next_subscribe().await;
    server.next_subscribe().await;
    let closing = client.close();
    futures_util::pin_mut!(closing);
    assert!(is_pending(&mut closing));
    assert!(tail.next().await.is_none() && deliveries.next().await.is_none());
    assert!(tail.next().await.is_none() && deliveries.next().await.is_none());
    let first = client.tail("s", TailFrom::Now).next().await.unwrap();
    assert_eq!(first.unwrap_err().code(), "CLOSED");
    server.lose_connection();
    closing.await;
}

#[tokio::test(start_paused = true)]
async fn closing_the_client_lets_a_consumer_acknowledge_what_it_yielded_last() {
    let (client, mut server) = connected(ClientConfig::default()).await;
    let mut deliveries = client.consume("s", "g", "c", batch(2));
    assert!(is_pending(&mut deliveries.next()));
    let consumer = server.next_subscribe().await;
    server.push_entries(consumer, &["1-0"]);
    server.push_entries(consumer, &["2-0"]);
    assert_eq!(deliveries.next().await.unwrap().unwrap(), [entry("1-0")]);
    let closing = client.close();
    futures_util::pin_mut!(closing);
    assert!(is_pending(&mut closing));
    // The driver has closed the client when it cancels the consumer.
    while !matches!(server.next().await, ClientMessage::Cancel { .. }) {}
    let ids = ["1-0".to_owned()];
    let mut acknowledged = client.stream_ack("s", "g", &ids);
    assert!(is_pending(&mut acknowledged));
    let ClientMessage::Request { id, .. } = server.next().await else {
        panic!("no request");
    };
    let outcome = Outcome::Ok(Reply::Acknowledged { count: 1 });
    server.send(&ServerMessage::Reply { id, outcome });
    acknowledged.await.unwrap();
    assert!(deliveries.next().await.is_none(), "2-0 stays pending");
    server.lose_connection();
    closing.await;
}

#[tokio::test(start_paused = true)]
async fn closing_the_client_waits_for_its_requests() {
    let (client, mut server) = connected(ClientConfig::default()).await;
    let mut latest = client.stream_read_latest("s", 1);
    let mut wait = client.stream_read("s", "0", 1, Some(0));
    assert!(is_pending(&mut latest) && is_pending(&mut wait));
    let ClientMessage::Request { id, .. } = server.next().await else {
        panic!("no request");
    };
    let closing = client.close();
    futures_util::pin_mut!(closing);
    assert!(is_pending(&mut closing));
    assert_eq!(wait.await.unwrap_err().code(), "CLOSED");
    assert!(is_pending(&mut latest) && is_pending(&mut closing));
    let reply = Reply::Entries {
        entries: Vec::new(),
        last_id: None,
        more: false,
    };
    server.send(&ServerMessage::Reply {
        id,
        outcome: Outcome::Ok(reply),
    });
    assert!(latest.await.unwrap().is_empty());
    server.lose_connection();
    closing.await;
}

#[tokio::test(start_paused = true)]
async fn aborting_the_client_ends_its_streams_with_an_error() {
    let (client, mut server) = connected(ClientConfig::default()).await;
    let mut tail = client.tail("s", TailFrom::Now);
    let mut deliveries = client.consume("s", "g", "c", ConsumeOptions::default());
    assert!(is_pending(&mut tail.next()) && is_pending(&mut deliveries.next()));
    server.next_subscribe().await;
    server.next_subscribe().await;
    client.abort();
    let error = tail.next().await.unwrap().unwrap_err();
    assert_eq!(error.code(), "CLOSED");
    let error = deliveries.next().await.unwrap().unwrap_err();
    assert_eq!(error.code(), "UNKNOWN_OUTCOME");
    let first = client.tail("s", TailFrom::Now).next().await.unwrap();
    assert_eq!(first.unwrap_err().code(), "CLOSED");
}

#[tokio::test(start_paused = true)]
async fn invalid_options_are_refused() {
    let (client, _server) = connected(ClientConfig::default()).await;
    let mut deliveries = client.consume("s", "g", "c", batch(0));
    let error = deliveries.next().await.unwrap().unwrap_err();
    assert_eq!(error.code(), "ERR");
    assert!(deliveries.next().await.is_none());
}
