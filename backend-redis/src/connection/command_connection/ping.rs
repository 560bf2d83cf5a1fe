//! Sends `PING` now and then, so that a Redis that hangs is noticed though nobody asks anything.

use std::sync::Weak;
use std::time::Duration;

use super::supervisor::ConnectionSupervisor;
use crate::connection::resp::into_refusal;
use crate::wire::commands;
use crate::wire::packing::PackedCommands;

/// Interval between pings. A Redis that closes its connections is noticed at once; one that hangs
/// while no command is under way, within this and the response time-out.
pub const PING_EVERY: Duration = Duration::from_secs(2);

/// Pings until the last handle is dropped. The connection itself notices a missing answer.
pub(super) async fn ping_until_dropped(supervisor: Weak<ConnectionSupervisor>) {
    loop {
        tokio::time::sleep(PING_EVERY).await;
        let Some((generation, sent)) = supervisor.upgrade().map(|supervisor| {
            let mut packed = PackedCommands::default();
            commands::ping(&mut packed);
            supervisor.send(packed, None)
        }) else {
            return;
        };
        if let Ok(sent) = sent
            && let Ok(mut answers) = sent.await
            && let Some(supervisor) = supervisor.upgrade()
        {
            supervisor.record_ping(generation, answers.values.pop().and_then(into_refusal));
        }
    }
}
