//! Reads that wait in the hub if their first attempt finds no entry.
//!
//! The first attempt is a command of the batch's pipeline, so the order of operations is kept, and
//! `$` becomes an id where the read was sent. It also arms the stream for the hub.
//!
//! A group read that does not wait may overtake one that does, in the moment between an add and the
//! invalidation that Redis pushes. In memory, as in Redis itself, an add serves waiting consumers at
//! once.

use std::sync::Arc;
use std::time::Duration;

use streamgate_backend::Cancellation;
use streamgate_protocol::{ByteString, EntryId};
use tokio::time::Instant;

use crate::connection::invalidations::Arming;
use crate::hub::Hub;
use crate::hub::group::admission::QueueSlot;
use crate::operation::outcome::OperationOutcome;

/// How a read waits.
pub(super) struct BlockingRead {
    pub(super) stream: Arc<[u8]>,
    pub(super) count: u64,
    pub(super) block_ms: u64,
}

/// How a group read waits.
pub(super) struct BlockingGroupRead {
    pub(super) consumer: ByteString,
    pub(super) count: u64,
    pub(super) block_ms: u64,
    /// Of the caller, who may go while the first attempt is on its way.
    pub(super) cancellation: Cancellation,
}

impl BlockingRead {
    /// Waits for entries after an id. `position` is that id if the read said `$`.
    pub(super) fn wait(
        self,
        last_id: String,
        position: Option<String>,
        arming: Option<Arming>,
        hub: &Hub,
    ) -> OperationOutcome {
        let after = match EntryId::parse(&last_id) {
            Ok(after) => after,
            Err(error) => return OperationOutcome::Done(Err(error.into())),
        };
        let deadline = deadline(self.block_ms);
        match hub.read(self.stream, after, last_id, self.count, deadline, arming) {
            Ok(wait) => OperationOutcome::Waiting { wait, position },
            Err(error) => OperationOutcome::Done(Err(error)),
        }
    }
}

impl BlockingGroupRead {
    /// Waits in a slot of the group's queue.
    pub(super) fn wait(
        self,
        slot: QueueSlot,
        arming: Option<Arming>,
        hub: &Hub,
    ) -> OperationOutcome {
        let deadline = deadline(self.block_ms);
        let (name, cancellation) = (self.consumer, self.cancellation);
        match hub.read_group(slot, name, self.count, deadline, arming, cancellation) {
            Ok(wait) => OperationOutcome::Waiting {
                wait,
                position: None,
            },
            Err(error) => OperationOutcome::Done(Err(error)),
        }
    }
}

/// Returns when a wait of `block_ms` that begins now ends: never for 0, nor for more than a clock can hold.
fn deadline(block_ms: u64) -> Option<Instant> {
    if block_ms == 0 {
        return None;
    }
    Instant::now().checked_add(Duration::from_millis(block_ms))
}
