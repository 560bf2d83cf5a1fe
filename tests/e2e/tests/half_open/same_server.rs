//! The client comes back to the server that still believes in its old socket.

use crate::deployment::{Deployment, add, on_every_backend, pending};
use crate::receiver::{Kind, Receiver};

/// So long that only the client's new socket can end the old one.
const HEARTBEAT_MS: u32 = 600_000;

#[tokio::test]
async fn a_subscription_receives_all_entries_and_none_twice() {
    on_every_backend(HEARTBEAT_MS, async |deployment| {
        // The server delivers half of the entries to the old socket.
        receives_all(deployment, Kind::Subscription, 5).await;
    })
    .await;
}

#[tokio::test]
async fn a_waiting_group_read_receives_all_entries_and_none_twice() {
    on_every_backend(HEARTBEAT_MS, async |deployment| {
        // A dead wait would be served first, and nobody would look for what it takes.
        receives_all(deployment, Kind::GroupReads, 0).await;
    })
    .await;
}

/// Adds ten entries, some of them before the client comes back.
async fn receives_all(deployment: &Deployment, kind: Kind, before: usize) {
    let (writer, client) = (deployment.writer().await, deployment.relayed().await);
    let mut receiver = Receiver::start(&client, kind).await;
    deployment.make_half_open().await;
    let mut ids = add(&writer, before).await;
    deployment.reconnect(&client).await;
    ids.extend(add(&writer, 10 - before).await);
    assert_eq!(receiver.next(10).await, ids);
    let last = add(&writer, 1).await;
    assert_eq!(receiver.next(1).await, last);
    for entry in pending(&writer).await {
        assert_eq!(
            (&*entry.consumer.to_text(), entry.deliveries),
            ("c", 1),
            "{entry:?}"
        );
    }
}
