//! The caller's side of a wait.

use streamgate_protocol::{CacheResult, Reply};
use tokio::sync::{mpsc::UnboundedSender, oneshot};

use crate::hub::group::cancel_guard::Leaver;
use crate::hub::message::{Address, Found, Message};
use crate::wire::errors;

/// A wait under way. Dropping it ends the wait.
pub(crate) struct Wait {
    answer: oneshot::Receiver<CacheResult<Found>>,
    /// The id to read on from if no entry comes; absent for a consumer.
    last_id: Option<String>,
    leave: Leave,
}

/// Tells the hub that nobody waits any more.
struct Leave {
    hub: UnboundedSender<Message>,
    /// Absent once the hub has answered.
    address: Option<Address>,
    /// Of a consumer.
    leaver: Option<Leaver>,
}

impl Wait {
    pub(super) fn new(
        answer: oneshot::Receiver<CacheResult<Found>>,
        last_id: Option<String>,
        hub: UnboundedSender<Message>,
        address: Address,
        leaver: Option<Leaver>,
    ) -> Self {
        Self {
            answer,
            last_id,
            leave: Leave {
                hub,
                address: Some(address),
                leaver,
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

impl Drop for Leave {
    fn drop(&mut self) {
        if let Some(address) = self.address.take() {
            if let Some(leaver) = &self.leaver {
                leaver.leave();
            }
            // Without a hub nobody waits any more.
            let _ = self.hub.send(Message::Leave(address));
        }
    }
}
