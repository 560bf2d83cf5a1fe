//! The caller's side of a wait: a future, whose drop cancels the wait.

use streamgate_protocol::{CacheResult, Reply};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use crate::hub::message::HubMessage;
use crate::hub::shared_entries::SharedEntries;
use crate::hub::waiter::WaiterKey;
use crate::wire::errors;

/// A wait in the hub. Dropping it cancels the wait.
pub(crate) struct HubWait {
    /// Closed by a cancel before whatever the caller sends next, so the hub reads no group for a
    /// consumer after that.
    reply: oneshot::Receiver<CacheResult<SharedEntries>>,
    /// The id to read after next time, if the wait ends without entries. Absent for a consumer.
    last_id: Option<String>,
    cancel_on_drop: CancelWaitOnDrop,
}

struct CancelWaitOnDrop {
    hub: UnboundedSender<HubMessage>,
    /// Absent once the hub has replied.
    key: Option<WaiterKey>,
}

impl HubWait {
    pub(super) fn new(
        reply: oneshot::Receiver<CacheResult<SharedEntries>>,
        last_id: Option<String>,
        hub: UnboundedSender<HubMessage>,
        key: WaiterKey,
    ) -> Self {
        Self {
            reply,
            last_id,
            cancel_on_drop: CancelWaitOnDrop {
                hub,
                key: Some(key),
            },
        }
    }

    /// Waits for entries, or for the end of the wait.
    pub(crate) async fn finish(mut self) -> CacheResult<Reply> {
        let reply = (&mut self.reply).await;
        self.cancel_on_drop.key = None;
        let entries = reply.map_err(|_| errors::hub_ended())??.into_entries();
        let last_id = self
            .last_id
            .map(|requested| entries.last().map_or(requested, |last| last.id.clone()));
        Ok(Reply::Entries {
            entries,
            last_id,
            more: false,
        })
    }
}

impl Drop for CancelWaitOnDrop {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            // If the hub's task has ended, so has the wait.
            let _ = self.hub.send(HubMessage::CancelWait(key));
        }
    }
}
