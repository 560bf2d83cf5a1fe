//! A stream entry in memory.

use streamgate_protocol::{EntryId, StreamEntry};

use crate::budget::entry_bytes;

/// An entry, shared by all who read it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: EntryId,
    fields: Vec<(String, String)>,
    /// Bytes that holding it costs.
    pub(crate) bytes: usize,
    /// Credit that pushing it costs, as
    /// [`message::entry_bytes`](streamgate_protocol::message::entry_bytes) counts it.
    pub(crate) cost: u64,
}

impl Entry {
    pub(crate) fn new(id: EntryId, mut fields: Vec<(String, String)>) -> Self {
        // The budget counts lengths, not capacities, so no string may keep spare capacity.
        fields.shrink_to_fit();
        for (name, value) in &mut fields {
            name.shrink_to_fit();
            value.shrink_to_fit();
        }
        let text: usize = fields.iter().map(|(n, v)| n.len() + v.len()).sum();
        Self {
            id,
            cost: (id.to_string().len() + text) as u64,
            bytes: entry_bytes(&fields),
            fields,
        }
    }

    pub(crate) fn to_stream_entry(&self) -> StreamEntry {
        (self.id.to_string(), self.fields.clone())
    }
}
