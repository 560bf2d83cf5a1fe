//! The registration of a call that waits for an entry.

use std::sync::Arc;

use streamgate_protocol::{ByteString, EntryId};
use tokio::sync::oneshot;

use crate::entry::Entry;

/// Identifies a waiting call in the store.
#[derive(Debug)]
pub(crate) struct WaiterKey {
    pub(crate) stream: ByteString,
    pub(crate) place: WaiterPlace,
    pub(crate) number: u64,
}

/// Where a waiting call is in its stream.
#[derive(Debug)]
pub(crate) enum WaiterPlace {
    /// Among the readers without a group: it reads after this id.
    Readers { after: EntryId },
    /// Among the waiting consumers of this group.
    Group(ByteString),
}

/// What the store returns to a call that has to wait.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) key: WaiterKey,
    /// Resolves to the entry that an add stored. It is one entry: had there been more, the call
    /// would not have waited.
    pub(crate) receiver: oneshot::Receiver<Arc<Entry>>,
    /// The longest wait in ms; 0 for no limit.
    pub(crate) block_ms: u64,
    /// The id after which a reader without a group reads.
    pub(crate) after: Option<String>,
}
