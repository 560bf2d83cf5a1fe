//! A stream entry in memory.

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

    pub(crate) fn to_entry(&self) -> streamgate_protocol::Entry {
        streamgate_protocol::Entry::new(self.id, self.fields.iter().cloned())
    }
}
