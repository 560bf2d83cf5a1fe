//! The entries that end a wait, shared by all readers that one read serves.

use std::ops::Range;
use std::sync::Arc;

use streamgate_protocol::Entry;

/// The entries of one waiter: a range of those that one read found for several.
#[derive(Debug)]
pub(super) struct SharedEntries {
    entries: Arc<Vec<Entry>>,
    range: Range<usize>,
}

impl SharedEntries {
    pub(super) fn none() -> Self {
        Self::all(Vec::new())
    }

    pub(super) fn all(entries: Vec<Entry>) -> Self {
        let range = 0..entries.len();
        Self {
            entries: Arc::new(entries),
            range,
        }
    }

    /// Shares a range of the entries. The range must be within them.
    pub(super) fn slice(entries: &Arc<Vec<Entry>>, range: Range<usize>) -> Self {
        Self {
            entries: Arc::clone(entries),
            range,
        }
    }

    /// Returns the entries. Copies them only if others still share them.
    pub(super) fn into_entries(self) -> Vec<Entry> {
        match Arc::try_unwrap(self.entries) {
            Ok(mut entries) => {
                entries.truncate(self.range.end);
                entries.drain(..self.range.start);
                entries
            }
            Err(shared) => shared[self.range].to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_has_the_same_entries_shared_or_not() {
        let entries: Vec<Entry> = (0..5).map(|n| Entry::deleted(format!("{n}-0"))).collect();
        let expected = entries[1..3].to_vec();
        let shared = Arc::new(entries);
        let first = SharedEntries::slice(&shared, 1..3);
        assert_eq!(first.into_entries(), expected);
        let last = SharedEntries::slice(&shared, 1..3);
        drop(shared);
        assert_eq!(last.into_entries(), expected);
    }
}
