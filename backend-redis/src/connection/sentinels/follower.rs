//! Follows failovers that no lost connection tells: a master that is cut off from its Sentinels goes on
//! taking writes, which it loses when it becomes a replica.

use std::sync::Weak;
use std::time::Duration;

use crate::connection::command_connection::ConnectionSupervisor;

/// How often the Sentinels are asked.
///
/// They also publish `+switch-master`. A subscription may miss it: it is lost with its connection,
/// and a half-open one is silent. So it would need these questions beside it.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Suspects a failover while the Sentinels name another master than the one that is connected, until
/// the last handle is dropped.
pub(in crate::connection) async fn follow_master(supervisor: Weak<ConnectionSupervisor>) {
    loop {
        tokio::time::sleep(ASK_EVERY).await;
        let Some(endpoint) = supervisor.upgrade().map(|it| it.endpoint().clone()) else {
            return;
        };
        let Some(sentinels) = endpoint.sentinels() else {
            return;
        };
        // Who is not connected asks the Sentinels before each attempt.
        let Ok(master) = sentinels.master(&endpoint).await else {
            continue;
        };
        let connected = supervisor.upgrade().and_then(|it| it.server());
        if connected.is_some_and(|connected| connected != master) {
            tracing::warn!(%master, "the Sentinels name another master");
            endpoint.suspect_failover();
        }
    }
}
