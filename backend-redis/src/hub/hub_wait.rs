//! The caller's side of a wait.

use streamgate_protocol::{CacheResult, Reply};
use tokio::sync::{mpsc::UnboundedSender, oneshot};

use crate::hub::group::cancel_guard::WaitCancelGuard;
use crate::hub::message::{HubMessage, SharedEntries, WaiterKey};
use crate::wire::errors;

/// A wait under way. Dropping it ends the wait.
pub(crate) struct HubWait {
    answer: oneshot::Receiver<CacheResult<SharedEntries>>,
    /// The id to read on from if no entry comes; absent for a consumer.
    last_id: Option<String>,
    leave: HubWaitGuard,
}

/// Tells the hub that nobody waits any more.
struct HubWaitGuard {
    hub: UnboundedSender<HubMessage>,
    /// Absent once the hub has answered.
    address: Option<WaiterKey>,
    /// Of a consumer.
    cancel_guard: Option<WaitCancelGuard>,
}

impl HubWait {
    pub(super) fn new(
        answer: oneshot::Receiver<CacheResult<SharedEntries>>,
        last_id: Option<String>,
        hub: UnboundedSender<HubMessage>,
        address: WaiterKey,
        cancel_guard: Option<WaitCancelGuard>,
    ) -> Self {
        Self {
            answer,
            last_id,
            leave: HubWaitGuard {
                hub,
                address: Some(address),
                cancel_guard,
            },
        }
    }

    /// Waits for entries, or for the end of the wait.
    pub(crate) async fn finish(mut self) -> CacheResult<Reply> {
        let answer = (&mut self.answer).await;
        self.leave.address = None;
        let entries = answer.map_err(|_| errors::hub_ended())??.into_entries();
        let last_id = self
            .last_id
            .map(|asked| entries.last().map_or(asked, |(id, _)| id.clone()));
        Ok(Reply::Entries { entries, last_id })
    }
}

impl Drop for HubWaitGuard {
    fn drop(&mut self) {
        if let Some(address) = self.address.take() {
            if let Some(cancel_guard) = &self.cancel_guard {
                cancel_guard.leave();
            }
            // Without a hub nobody waits any more.
            let _ = self.hub.send(HubMessage::CancelWait(address));
        }
    }
}
