//! Deduplication of idempotent adds: the last adds of each producer to each stream.

use std::collections::{HashMap, VecDeque};

use streamgate_backend::idempotent_add::{forgotten, out_of_order, skipped};
use streamgate_protocol::limits::{ADDS_REMEMBERED, REMEMBERED_MS};
use streamgate_protocol::{ByteString, CacheResult, EntryId};

/// The most windows. Beyond it, the store drops that of the producer that added least recently.
const MAX_WINDOWS: usize = 4_096;

/// The place of an idempotent add among the adds of its producer.
#[derive(Debug)]
pub(crate) struct AddSequence {
    pub(crate) number: u64,
    /// The number of the preceding add; 0 for none. The add is out of order unless that one was
    /// stored.
    pub(crate) after: u64,
    /// Whether an earlier attempt may have stored the entry.
    pub(crate) resent: bool,
}

/// The windows of all producers.
#[derive(Debug, Default)]
pub(crate) struct DedupWindows {
    windows: HashMap<WindowKey, DedupWindow>,
    /// Until when an unknown producer may be one whose window was dropped to make room.
    may_be_forgotten_until_ms: u64,
}

/// A stream's key and a producer's name.
pub(crate) type WindowKey = (ByteString, String);

/// The last adds of one producer to one stream.
#[derive(Debug)]
struct DedupWindow {
    /// Numbers and ids, by rising numbers; never empty.
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
        let window = self.windows.get(key);
        let Some(window) = window.filter(|window| !window.expired(now_ms)) else {
            return match add {
                _ if add.resent && now_ms < self.may_be_forgotten_until_ms => {
                    Err(forgotten(add.number))
                }
                _ if add.after > 0 => Err(out_of_order(add.after, 0)),
                _ => Ok(None),
            };
        };
        let last = window.last();
        if add.number > last {
            return match add.after > last {
                true => Err(out_of_order(add.after, last)),
                false => Ok(None),
            };
        }
        let by_number = |(number, _): &(u64, EntryId)| *number;
        match window.added.binary_search_by_key(&add.number, by_number) {
            Ok(index) => Ok(Some(window.added[index].1)),
            Err(0) => Err(forgotten(add.number)),
            Err(_) => Err(skipped(add.number)),
        }
    }

    /// Records that an add was stored under `id`.
    pub(crate) fn record(&mut self, key: WindowKey, add: &AddSequence, id: EntryId, now_ms: u64) {
        if self.windows.len() >= MAX_WINDOWS && !self.windows.contains_key(&key) {
            self.make_room(now_ms);
        }
        let window = self.windows.entry(key).or_insert_with(|| DedupWindow {
            added: VecDeque::new(),
            last_used_ms: now_ms,
        });
        if window.expired(now_ms) {
            window.added.clear();
        }
        window.last_used_ms = now_ms;
        window.added.push_back((add.number, id));
        if window.added.len() > ADDS_REMEMBERED as usize {
            window.added.pop_front();
        }
    }

    /// Drops all expired windows, or, if there is none, the one that would expire first.
    fn make_room(&mut self, now_ms: u64) {
        self.windows.retain(|_, window| !window.expired(now_ms));
        if self.windows.len() >= MAX_WINDOWS {
            let windows = self.windows.iter();
            let oldest = windows.min_by_key(|(_, window)| window.last_used_ms);
            if let Some((key, until_ms)) = oldest.map(|(key, it)| (key.clone(), it.expires_ms())) {
                self.windows.remove(&key);
                self.may_be_forgotten_until_ms = self.may_be_forgotten_until_ms.max(until_ms);
            }
        }
    }
}

impl DedupWindow {
    fn last(&self) -> u64 {
        self.added.back().map_or(0, |(number, _)| *number)
    }

    const fn expires_ms(&self) -> u64 {
        self.last_used_ms.saturating_add(REMEMBERED_MS)
    }

    const fn expired(&self, now_ms: u64) -> bool {
        now_ms >= self.expires_ms()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(number: u64, after: u64, resent: bool) -> AddSequence {
        AddSequence {
            number,
            after,
            resent,
        }
    }

    fn key(producer: usize) -> WindowKey {
        ("s".into(), producer.to_string())
    }

    #[test]
    fn a_repeat_after_its_window_was_dropped_is_forgotten() {
        let mut windows = DedupWindows::default();
        for producer in 0..=MAX_WINDOWS {
            let now_ms = 1 + producer as u64;
            windows.record(key(producer), &add(1, 0, false), EntryId::new(1, 0), now_ms);
        }
        let code = |windows: &DedupWindows, number, after, now_ms| {
            let found = windows.find(&key(0), &add(number, after, true), now_ms);
            found.map_err(|error| error.code().to_owned())
        };
        let now_ms = REMEMBERED_MS;
        for (number, after) in [(1, 0), (2, 1)] {
            let found = code(&windows, number, after, now_ms);
            assert_eq!(found, Err("FORGOTTEN".to_owned()), "{number}");
        }
        // Nobody repeats an add so late, so the producer is new.
        assert_eq!(code(&windows, 1, 0, now_ms + 1), Ok(None));
        assert_eq!(windows.find(&key(0), &add(1, 0, false), now_ms), Ok(None));
    }

    #[test]
    fn an_unknown_producer_is_new_if_no_window_was_dropped() {
        let windows = DedupWindows::default();
        assert_eq!(windows.find(&key(0), &add(1, 0, true), 1), Ok(None));
    }
}
