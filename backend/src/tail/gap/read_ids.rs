//! Ids that a tail has read: few of them, dense at the end and sparse before.
//!
//! After a failover, one of those that are left shows that a stream is still the same.

use streamgate_protocol::EntryId;

use super::StreamInfo;

/// Numbers of pages that are remembered: the last one, and one about 2, 4, 8 … pages before. So
/// the ids reach back 4,096 pages.
const SLOTS: usize = 12;

/// The ids that a tail has read, as far as it remembers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadIds {
    /// The last id of the most recent page whose number is divisible by 2 exactly `index` times.
    /// `0-0` if there is none.
    last_of_pages: [EntryId; SLOTS],
    pages: u64,
    /// The stream's oldest entry when it was last seen.
    oldest: Option<EntryId>,
    /// The first entry that the stream ever had, if it was seen.
    first_ever: Option<EntryId>,
}

impl ReadIds {
    /// Remembers the last id of a page that the tail has read.
    pub fn record(&mut self, last: EntryId) {
        self.pages += 1;
        let slot = self.pages.trailing_zeros() as usize;
        self.last_of_pages[slot.min(SLOTS - 1)] = last;
    }

    /// Returns whether no page was read yet.
    pub fn is_empty(&self) -> bool {
        self.pages == 0
    }

    /// Remembers the oldest entry of the stream.
    pub fn record_info(&mut self, info: &StreamInfo) {
        self.oldest = info.first;
        if info.added == info.length {
            self.first_ever = info.first;
        }
    }

    /// Forgets the ids after one, which the stream has lost.
    pub fn truncate_after(&mut self, last: EntryId) {
        for id in &mut self.last_of_pages {
            if *id > last {
                *id = EntryId::ZERO;
            }
        }
        self.oldest = self.oldest.filter(|id| *id <= last);
    }

    /// Returns the first entry that the stream ever had, if the tail knows it.
    pub fn first_ever(&self) -> Option<EntryId> {
        self.first_ever
    }

    /// Returns the ids before `position` that a stream may still have, the greatest first.
    pub fn within(&self, info: &StreamInfo, position: EntryId) -> Vec<EntryId> {
        let Some(first) = info.first else {
            return Vec::new();
        };
        let known = self.last_of_pages.iter().copied().chain(self.oldest);
        let is_within = |id: &EntryId| *id >= first && *id < position && *id <= info.last_generated;
        let mut within: Vec<_> = known.filter(is_within).collect();
        within.sort_unstable_by(|a, b| b.cmp(a));
        within.dedup();
        within
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> EntryId {
        EntryId::new(n, 0)
    }

    fn after_reading(pages: u64) -> ReadIds {
        let mut read = ReadIds::default();
        (1..=pages).for_each(|n| read.record(id(n)));
        read
    }

    /// The stream has the entries `first` to `last`.
    fn info(first: u64, last: u64) -> StreamInfo {
        StreamInfo::new(Some(id(first)), id(last), last - first + 1, last)
    }

    #[test]
    fn an_id_is_left_however_many_pages_are_lost() {
        for pages in 1..3_000_u64 {
            let read = after_reading(pages);
            for lost in 1..pages.min(1_024) {
                // A stream that keeps four times as many entries as it loses.
                let kept = info(pages.saturating_sub(5 * lost).max(1), pages - lost);
                let within = read.within(&kept, id(pages));
                let exists = !within.is_empty();
                assert!(exists || 5 * lost >= pages, "{lost} of {pages}: {read:?}");
            }
        }
    }

    #[test]
    fn ids_are_returned_once_and_the_greatest_first() {
        let mut read = after_reading(100);
        read.record_info(&info(64, 100));
        let within = read.within(&info(1, 99), id(100));
        assert!(within.is_sorted_by(|a, b| a > b), "{within:?}");
        assert_eq!(within.first(), Some(&id(99)));
        assert_eq!(within.last(), Some(&id(64)));
    }

    #[test]
    fn lost_ids_are_forgotten() {
        let mut read = after_reading(100);
        read.truncate_after(id(80));
        assert!(read.within(&info(1, 100), id(101))[0] <= id(80));
        read.record(id(81));
        assert_eq!(read.within(&info(1, 100), id(101))[0], id(81));
    }

    #[test]
    fn the_first_entry_ever_is_known_from_a_stream_that_lost_none() {
        let mut read = ReadIds::default();
        read.record_info(&info(5, 9));
        assert_eq!((read.first_ever(), read.oldest), (None, Some(id(5))));
        read.record_info(&info(1, 9));
        read.record_info(&info(6, 9));
        assert_eq!((read.first_ever(), read.oldest), (Some(id(1)), Some(id(6))));
    }
}
