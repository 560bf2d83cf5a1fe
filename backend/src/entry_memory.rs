//! The memory that a decoded entry takes.

use streamgate_protocol::{ByteString, Entry};

/// Bytes that a field takes beside its texts: their places, and the allocator's share.
const FIELD_BYTES: usize = 2 * size_of::<ByteString>() + 32;

/// Bytes that an entry takes beside its fields and the text of its id.
const ENTRY_BYTES: usize = size_of::<Entry>() + 32;

/// Returns the bytes of memory that a decoded entry takes: for small fields, several times those of
/// its texts.
pub fn held_bytes(entry: &Entry) -> usize {
    let fields = entry.fields.iter();
    let fields = fields.map(|(name, value)| FIELD_BYTES + name.len() + value.len());
    ENTRY_BYTES + entry.id.len() + fields.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_fields_take_several_times_their_bytes() {
        let entry = Entry::new("1-1", vec![("n", "v"); 1_000]);
        let places = entry.fields.capacity() * 2 * size_of::<ByteString>();
        assert!(held_bytes(&entry) > places + 2 * 1_000 * 16);
    }
}
