//! Deduplication of idempotent adds: the last adds of each producer to each stream.

use std::collections::{HashMap, VecDeque};

use streamgate_protocol::limits::{ADDS_REMEMBERED, REMEMBERED_MS};
use streamgate_protocol::{CacheResult, EntryId};

use crate::errors;

/// The most windows. Beyond it, the store drops that of the producer that added least recently.
const MAX_WINDOWS: usize = 4_096;

/// The place of an idempotent add among the adds of its producer.
#[derive(Debug)]
pub(crate) struct AddSequence {
    pub(crate) number: u64,
    /// The number of the preceding add; 0 for none. The add is out of order unless that one was
    /// stored.
    pub(crate) after: u64,
}

/// The windows of all producers.
#[derive(Debug, Default)]
pub(crate) struct DedupWindows(HashMap<WindowKey, DedupWindow>);

/// A stream's key and a producer's name.
pub(crate) type WindowKey = (String, String);

/// The last adds of one producer to one stream.
#[derive(Debug)]
struct DedupWindow {
    last: u64,
    /// Numbers and ids, by rising numbers.
    added: VecDeque<(u64, EntryId)>,
    last_used_ms: u64,
}

impl DedupWindows {
    /// Returns the id of an add that was stored before, or `None` if the add is new.
    pub(crate) fn find(
        &self,
        key: &WindowKey,
        add: &AddSequence,
        now_ms: u64,
    ) -> CacheResult<Option<EntryId>> {
        let window = self.0.get(key).filter(|window| !window.expired(now_ms));
        let last = window.map_or(0, |window| window.last);
        let window = match window {
            _ if add.after > last => return Err(errors::out_of_order()),
            Some(window) if add.number <= last => window,
            _ => return Ok(None),
        };
        if window.last - add.number >= ADDS_REMEMBERED {
            return Err(errors::forgotten());
        }
        match window
            .added
            .binary_search_by_key(&add.number, |(number, _)| *number)
        {
            Ok(index) => Ok(Some(window.added[index].1)),
            Err(_) => Err(errors::skipped()),
        }
    }

    /// Records that an add was stored under `id`.
    pub(crate) fn record(&mut self, key: WindowKey, add: &AddSequence, id: EntryId, now_ms: u64) {
        if self.0.len() >= MAX_WINDOWS && !self.0.contains_key(&key) {
            self.make_room(now_ms);
        }
        let window = self.0.entry(key).or_insert_with(|| DedupWindow {
            last: 0,
            added: VecDeque::new(),
            last_used_ms: now_ms,
        });
        if window.expired(now_ms) {
            window.added.clear();
        }
        window.last = add.number;
        window.last_used_ms = now_ms;
        window.added.push_back((add.number, id));
        let oldest = add.number.saturating_sub(ADDS_REMEMBERED);
        while window
            .added
            .front()
            .is_some_and(|(number, _)| *number <= oldest)
        {
            window.added.pop_front();
        }
    }

    /// Drops all expired windows, or, if there is none, the one that would expire first.
    fn make_room(&mut self, now_ms: u64) {
        self.0.retain(|_, window| !window.expired(now_ms));
        if self.0.len() >= MAX_WINDOWS {
            let oldest = self.0.iter().min_by_key(|(_, window)| window.last_used_ms);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.0.remove(&oldest);
            }
        }
    }
}

impl DedupWindow {
    fn expired(&self, now_ms: u64) -> bool {
        now_ms >= self.last_used_ms.saturating_add(REMEMBERED_MS)
    }
}
