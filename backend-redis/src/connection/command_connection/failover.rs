//! Finds the new master after a failover.
//!
//! A master that becomes a replica may keep its connections, while its name already belongs to the
//! promoted server. So `READONLY` only suggests a failover: a second connection is opened under
//! the same name, and replaces the first if it reaches a writable master. Commands that were sent
//! on the old connection are answered there.

use std::sync::Weak;
use std::time::Duration;

use super::ping::PING_EVERY;
use super::supervisor::{ConnectionSupervisor, open};

/// Pause before the next search for a master, while Redis goes on refusing writes.
const SEARCH_PAUSE: Duration = Duration::from_secs(1);

/// Searches for a new master whenever a failover is suspected, until the last handle is dropped.
pub(super) async fn reconnect_to_new_masters(supervisor: Weak<ConnectionSupervisor>) {
    while let Some(endpoint) = supervisor.upgrade().map(|it| it.endpoint().clone()) {
        // The time-out is there to notice that the last handle is gone.
        let suspected = tokio::time::timeout(PING_EVERY, endpoint.failover_suspected()).await;
        if suspected.is_ok() {
            reconnect_to_master(&supervisor).await;
            tokio::time::sleep(SEARCH_PAUSE).await;
        }
    }
}

/// Replaces the connection if the endpoint's name leads to a Redis that takes writes. If that Redis
/// does not tell its role, the next write finds out.
async fn reconnect_to_master(supervisor: &Weak<ConnectionSupervisor>) {
    let Some(generation) = supervisor.upgrade().map(|it| it.generation()) else {
        return;
    };
    let Some(Ok(opened)) = open(supervisor, generation + 1).await else {
        return;
    };
    if let Some(supervisor) = supervisor.upgrade()
        && !opened.facts.is_replica
        && supervisor.replace(generation, opened)
    {
        let address = supervisor.address();
        tracing::warn!(address, "moved to the new master");
    }
}
