//! A stream entry in memory.

use std::sync::Arc;

use streamgate_protocol::limits::FIELD_BYTES;
use streamgate_protocol::{ByteString, EntryId};

use crate::budget::entry_bytes;

/// An entry, shared by all who read it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: EntryId,
    fields: Vec<(ByteString, ByteString)>,
    /// Bytes that holding it costs.
    pub(crate) bytes: usize,
    /// Credit that pushing it costs, as
    /// [`message::entry_bytes`](streamgate_protocol::message::entry_bytes) counts it.
    pub(crate) cost: u64,
}

impl Entry {
    pub(crate) fn new(id: EntryId, mut fields: Vec<(ByteString, ByteString)>) -> Self {
        // The budget counts lengths, not capacities, so no part may keep spare capacity.
        fields.shrink_to_fit();
        for (name, value) in &mut fields {
            name.0.shrink_to_fit();
            value.0.shrink_to_fit();
        }
        let text: usize = fields.iter().map(|(n, v)| n.len() + v.len()).sum();
        Self {
            id,
            cost: (id.to_string().len() + text) as u64,
            bytes: entry_bytes(&fields),
            fields,
        }
    }

    /// Bytes that the entry counts for in a reply.
    pub(crate) fn reply_bytes(&self) -> u64 {
        self.cost + ((1 + self.fields.len()) * FIELD_BYTES) as u64
    }

    pub(crate) fn to_entry(&self) -> streamgate_protocol::Entry {
        streamgate_protocol::Entry::new(self.id, self.fields.iter().cloned())
    }
}

/// Takes the first entries whose sizes sum up to `max_bytes` at most, at least one.
pub(crate) fn fitting<'a>(
    entries: impl Iterator<Item = &'a Arc<Entry>>,
    max_bytes: u64,
) -> Vec<Arc<Entry>> {
    let mut sum = 0_u64;
    let fits = |entry: &&Arc<Entry>| {
        let is_first = sum == 0;
        sum = sum.saturating_add(entry.reply_bytes());
        is_first || sum <= max_bytes
    };
    entries.take_while(fits).cloned().collect()
}
