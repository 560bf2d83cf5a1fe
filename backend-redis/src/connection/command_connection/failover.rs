//! Finds the new master after a failover.
//!
//! A master that becomes a replica may keep its connections, while its name already belongs to the
//! promoted server. So `READONLY` only suggests a failover: a second connection is opened under
//! the same name, and replaces the first if it reaches a writable master. Commands that were sent
//! on the old connection are answered there.

use std::sync::Weak;
use std::time::Duration;

use redis::Value;

use super::ping::PING_EVERY;
use super::supervisor::{ConnectionSupervisor, open, parts};
use crate::wire::commands;
use crate::wire::packing::PackedCommands;

/// Pause before the next search for a master, while Redis goes on refusing writes.
const SEARCH_PAUSE: Duration = Duration::from_secs(1);

/// Searches for a new master whenever a failover is suspected, until the last handle is dropped.
pub(super) async fn reconnect_to_new_masters(supervisor: Weak<ConnectionSupervisor>) {
    while let Some((endpoint, _)) = parts(&supervisor) {
        // The time-out is there to notice that the last handle is gone.
        let suspected = tokio::time::timeout(PING_EVERY, endpoint.failover_suspected()).await;
        if suspected.is_ok() {
            reconnect_to_master(&supervisor).await;
            tokio::time::sleep(SEARCH_PAUSE).await;
        }
    }
}

/// Replaces the connection if the endpoint's name leads to a Redis that takes writes.
async fn reconnect_to_master(supervisor: &Weak<ConnectionSupervisor>) {
    let Some((endpoint, barrier)) = parts(supervisor) else {
        return;
    };
    let Some(generation) = supervisor.upgrade().map(|it| it.generation()) else {
        return;
    };
    let opening = open(&endpoint, &barrier, supervisor.clone(), generation + 1);
    let Ok(opened) = opening.await else {
        return;
    };
    let mut packed = PackedCommands::default();
    commands::role(&mut packed);
    let Ok(mut answers) = opened.connection.send(packed).await else {
        return;
    };
    let (Some(supervisor), Some(role)) = (supervisor.upgrade(), answers.pop()) else {
        return;
    };
    if !is_replica(&role) && supervisor.replace(generation, opened) {
        let address = endpoint.address();
        tracing::warn!(address, "Redis was a replica: reconnected to a master");
        endpoint.announce_new_master();
    }
}

/// Returns whether `ROLE` named a replica. If the access list forbids `ROLE`, the next write finds
/// out.
fn is_replica(role: &Value) -> bool {
    let Value::Array(parts) = role else {
        return false;
    };
    matches!(parts.first(), Some(Value::BulkString(name)) if name == b"slave")
}
