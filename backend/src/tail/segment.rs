//! Entries that many subscribers share.

use std::sync::{Arc, OnceLock};

use streamgate_protocol::Entry;
use streamgate_protocol::codec::{EncodedItem, Encoding, ItemRef};
use streamgate_protocol::message::Credit;

/// Consecutive entries of one stream, read once for all subscribers, and encoded at most once in
/// each encoding.
#[derive(Debug)]
pub struct Segment {
    entries: Vec<Entry>,
    /// If it is not the last entry's id.
    position: Option<String>,
    cost: Credit,
    encoded: [OnceLock<Arc<EncodedItem>>; 2],
}

impl Segment {
    /// Returns a segment of entries, oldest first; at least one.
    pub fn new(entries: Vec<Entry>) -> Arc<Self> {
        Self::build(entries, None)
    }

    /// Returns a segment of entries that do not move the position.
    pub fn with_position(entries: Vec<Entry>, position: Option<String>) -> Arc<Self> {
        Self::build(entries, position)
    }

    /// Returns a segment without entries, which only reports a position.
    pub fn position_only(position: String) -> Arc<Self> {
        Self::build(Vec::new(), Some(position))
    }

    /// Returns a segment of a part of the entries.
    pub fn part(&self, entries: &[Entry]) -> Arc<Self> {
        Self::build(entries.to_vec(), self.position.clone())
    }

    /// Returns the entries, oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns a tail's position after this segment: the id from which to resume.
    pub fn position(&self) -> &str {
        let last = self.entries.last().map(|last| last.id.as_str());
        self.position.as_deref().or(last).unwrap_or_default()
    }

    /// Returns the credit that pushing this segment uses.
    pub fn cost(&self) -> Credit {
        self.cost
    }

    /// Returns the encoded segment. The first call for an encoding does the work.
    pub fn encoded(&self, encoding: Encoding) -> &Arc<EncodedItem> {
        let encode = || {
            Arc::new(encoding.encode_item(ItemRef::Entries {
                entries: &self.entries,
                position: self.position.as_deref(),
            }))
        };
        self.encoded[usize::from(encoding.is_text())].get_or_init(encode)
    }

    /// Returns the entries and the position. Copies the entries only if the segment is still
    /// shared.
    pub fn into_parts(self: Arc<Self>) -> (Vec<Entry>, String) {
        let position = self.position().to_owned();
        let entries = match Arc::try_unwrap(self) {
            Ok(own) => own.entries,
            Err(shared) => shared.entries.clone(),
        };
        (entries, position)
    }

    fn build(entries: Vec<Entry>, position: Option<String>) -> Arc<Self> {
        let cost = Credit::of(&entries);
        Arc::new(Self {
            entries,
            position,
            cost,
            encoded: [OnceLock::new(), OnceLock::new()],
        })
    }
}
