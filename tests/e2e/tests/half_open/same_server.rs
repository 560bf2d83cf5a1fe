//! The client comes back to the server that still believes in its old socket.

use crate::deployment::{Deployment, add, on_every_backend, pending};
use crate::receiver::{Kind, Receiver};

/// So long that only the client's new socket can end the old one.
const HEARTBEAT_MS: u32 = 600_000;

#[tokio::test]
async fn a_subscription_receives_all_entries_and_none_twice() {
    on_every_backend(HEARTBEAT_MS, async |deployment| {
        receives_all(deployment, Kind::Subscription).await;
    })
    .await;
}

#[tokio::test]
async fn a_waiting_group_read_receives_all_entries_and_none_twice() {
    on_every_backend(HEARTBEAT_MS, async |deployment| {
        receives_all(deployment, Kind::GroupReads).await;
    })
    .await;
}

async fn receives_all(deployment: &Deployment, kind: Kind) {
    let (writer, client) = (deployment.writer().await, deployment.relayed().await);
    let mut receiver = Receiver::start(&client, kind).await;
    deployment.make_half_open().await;
    // The server delivers these to the old socket.
    let mut ids = add(&writer, 5).await;
    deployment.reconnect(&client).await;
    ids.extend(add(&writer, 5).await);
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
