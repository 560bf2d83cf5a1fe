//! Recovery after lost connections finds every entry, and counts no delivery.

use streamgate_client::{ConsumeOptions, StreamingBackend};
use streamgate_test_support::relay::{Cut, Direction, Flow, Scope};

use crate::deployment::{GROUP, STREAM, add, on_every_backend, pending};
use crate::receiver::{Kind, Receiver};

/// No session ends because of silence.
const HEARTBEAT_MS: u32 = 600_000;

const CUTS: usize = 4;

#[tokio::test]
async fn an_entry_that_was_received_once_has_one_delivery_after_four_cuts() {
    on_every_backend(HEARTBEAT_MS, async |deployment| {
        let (writer, client) = (deployment.writer().await, deployment.relayed().await);
        let mut receiver = Receiver::start(&client, Kind::Subscription).await;
        let mut ids = add(&writer, 1).await;
        receiver.next(1).await;
        for _ in 0..CUTS {
            deployment.relay.cut(Cut::Reset);
            // It arrives after the recovery is over.
            let id = add(&writer, 1).await;
            assert_eq!(receiver.next(1).await, id);
            ids.extend(id);
        }
        let held = pending(&writer).await;
        assert!(held.iter().all(|entry| entry.deliveries == 1), "{held:?}");
        client.close().await;
        // So another consumer gets all of them, and takes none for an entry that nobody can handle.
        let options = ConsumeOptions::default()
            .claim_after_ms(1)
            .dead_letter("dead", 2);
        let mut other = Receiver::subscribe(&writer, "d", options);
        assert_eq!(other.next(ids.len()).await, ids);
    })
    .await;
}

#[tokio::test]
async fn a_reclaimed_entry_whose_push_was_lost_is_found() {
    on_every_backend(HEARTBEAT_MS, async |deployment| {
        let (writer, client) = (deployment.writer().await, deployment.relayed().await);
        let ids = add(&writer, 2).await;
        let read = async |client: &streamgate_client::Client, consumer| {
            let entries = client.stream_read_group(STREAM, GROUP, consumer, 1, None);
            entries.await.unwrap()[0].0.clone()
        };
        assert_eq!(read(&writer, "a").await, ids[0]);
        // The client knows a later id than that of the entry that it loses.
        assert_eq!(read(&client, "b").await, ids[1]);
        client.stream_ack(STREAM, GROUP, &ids[1..]).await.unwrap();
        let lost = Flow::CutAfter(0, Cut::Reset);
        deployment
            .relay
            .set(Scope::Present, Direction::ToClient, lost);
        let options = ConsumeOptions::default().claim_after_ms(1);
        let mut receiver = Receiver::subscribe(&client, "b", options);
        assert_eq!(receiver.next(1).await, ids[..1]);
        assert_eq!(deployment.relay.counts().cut, 1);
        let held = pending(&writer).await;
        assert_eq!(held.len(), 1);
        assert_eq!((&*held[0].consumer.to_text(), held[0].deliveries), ("b", 2));
    })
    .await;
}
