//! The client comes back to another server, so that nothing ends its old session but silence.

use crate::deployment::{Deployment, add, on_every_backend, pending};
use crate::receiver::{Kind, Receiver};

const HEARTBEAT_MS: u32 = 1_000;

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
    deployment.relay.set_target(deployment.other);
    deployment.make_half_open().await;
    deployment.reconnect(&client).await;
    // The old session has waited for longer than the new one, so it takes some of these, which the
    // new one did not find when it began.
    let ids = add(&writer, 10).await;
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
