//! Entries that many subscribers share.

use std::sync::{Arc, OnceLock};

use streamgate_protocol::codec::{EncodedItem, Encoding, ItemRef};
use streamgate_protocol::message::Credit;
use streamgate_protocol::{CacheResult, StreamEntry};

/// Entries of one stream, read once and encoded once per encoding for all who are pushed them.
#[derive(Debug)]
pub struct Segment {
    entries: Vec<StreamEntry>,
    position: Option<String>,
    cost: Credit,
    encoded: [OnceLock<CacheResult<EncodedItem>>; 2],
}

impl Segment {
    /// Entries, oldest first, at least one.
    pub fn new(entries: Vec<StreamEntry>) -> Arc<Self> {
        Self::with(entries, None)
    }

    /// No entries, but where a tail stands.
    pub fn standing_at(position: String) -> Arc<Self> {
        Self::with(Vec::new(), Some(position))
    }

    /// The entries.
    pub fn entries(&self) -> &[StreamEntry] {
        &self.entries
    }

    /// Where a tail stands behind it.
    pub fn position(&self) -> &str {
        let last = self.entries.last().map(|(id, _)| id.as_str());
        self.position.as_deref().or(last).unwrap_or_default()
    }

    /// What it costs a subscriber.
    pub fn cost(&self) -> Credit {
        self.cost
    }

    /// The same, encoded; the first call does the work.
    ///
    /// # Errors
    ///
    /// `SERIALIZATION`, which entries never are.
    pub fn encoded(&self, encoding: Encoding) -> CacheResult<&EncodedItem> {
        let encode = || {
            encoding.encode_item(ItemRef::Entries {
                entries: &self.entries,
                position: self.position.as_deref(),
            })
        };
        let encoded = self.encoded[usize::from(encoding.is_text())].get_or_init(encode);
        encoded.as_ref().map_err(Clone::clone)
    }

    /// The entries, copied only if they are still shared, and where a tail stands behind them.
    pub fn into_parts(self: Arc<Self>) -> (Vec<StreamEntry>, String) {
        let position = self.position().to_owned();
        let entries = match Arc::try_unwrap(self) {
            Ok(own) => own.entries,
            Err(shared) => shared.entries.clone(),
        };
        (entries, position)
    }

    fn with(entries: Vec<StreamEntry>, position: Option<String>) -> Arc<Self> {
        let cost = Credit::of(&entries);
        Arc::new(Self {
            entries,
            position,
            cost,
            encoded: [OnceLock::new(), OnceLock::new()],
        })
    }
}
