//! Detects failovers that close no connection: a master that is cut off from its Sentinels goes on
//! taking writes, which it loses when it becomes a replica.

use std::sync::Weak;
use std::time::Duration;

use crate::connection::command_connection::ConnectionSupervisor;

/// Pause between two questions to the Sentinels, and the longest wait for their answers.
///
/// They also publish `+switch-master`. A subscription may miss it: it is lost with its connection,
/// and a half-open one is silent. So it would need these questions beside it.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Suspects a failover while a majority of the Sentinels names another master than the one that is
/// connected, until the last handle is dropped.
pub(in crate::connection) async fn follow_master(supervisor: Weak<ConnectionSupervisor>) {
    let mut reported = None;
    loop {
        tokio::time::sleep(ASK_EVERY).await;
        let Some(endpoint) = supervisor.upgrade().map(|it| it.endpoint().clone()) else {
            return;
        };
        let Some(sentinels) = endpoint.sentinels() else {
            return;
        };
        // Without an answer, nothing is known. A reconnect asks by itself.
        let Ok(named) = sentinels.master(&endpoint, ASK_EVERY).await else {
            continue;
        };
        let connected = supervisor.upgrade().and_then(|it| it.server());
        if named.by_majority && connected.is_some_and(|connected| connected != named.server) {
            if reported.as_ref() != Some(&named.server) {
                tracing::warn!(master = %named.server, "the Sentinels name another master");
                reported = Some(named.server);
            }
            endpoint.suspect_failover();
        }
    }
}
