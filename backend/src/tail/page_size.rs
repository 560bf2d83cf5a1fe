//! The adaptive page size: how many entries to read at once.
//!
//! The size of entries is unknown before they are read. So the first page is small, and each page
//! decides the size of the next.

use streamgate_protocol::Entry;
use streamgate_protocol::message::{Credit, entry_bytes};

/// Bytes that a page should have: enough that a round trip pays, few enough that many pages in
/// flight are bearable.
const PAGE_BYTES: u64 = 256 * 1024;

/// Entries of a page while nothing is known of their size: bearable if each has the greatest size
/// there is, 16 MiB.
const FIRST_PAGE: u64 = 4;

/// The most entries of a page: a page of entries of 256 bytes. More entries of fewer bytes would
/// save little, and the next ones may have any size.
const MAX_PAGE: u64 = PAGE_BYTES / 256;

/// A page has at most this many times the entries of the one before, since sizes may be about to
/// change.
const GROWTH: u64 = 8;

/// Bytes that an entry takes beside its texts.
const ENTRY_OVERHEAD: u64 = 32;

/// Decides from each page how many entries the next one should have.
#[derive(Debug, Clone, Copy)]
pub struct PageSize {
    count: u64,
}

impl PageSize {
    /// Returns the size of a first page.
    pub const fn new() -> Self {
        Self { count: FIRST_PAGE }
    }

    /// Returns the number of entries to read; at least 1.
    pub const fn count(self) -> u64 {
        self.count
    }

    /// Returns the number of entries to read if the reader has only `room`; at least 1.
    ///
    /// A room of fewer bytes than a page has proportionally fewer entries.
    pub fn within(self, room: Credit) -> u64 {
        let part = room.bytes.min(PAGE_BYTES);
        let count = self.count.min(room.entries);
        (count.saturating_mul(part) / PAGE_BYTES).max(1)
    }

    /// Adapts to the entries of a page.
    pub fn observe(&mut self, entries: &[Entry]) {
        self.observe_totals(entries.len() as u64, entries.iter().map(entry_bytes).sum());
    }

    /// Adapts to a page of `count` entries whose texts have `bytes` bytes together.
    pub fn observe_totals(&mut self, count: u64, bytes: u64) {
        if count == 0 {
            return;
        }
        let each = bytes / count + ENTRY_OVERHEAD;
        let most = count.saturating_mul(GROWTH).clamp(FIRST_PAGE, MAX_PAGE);
        self.count = (PAGE_BYTES / each).clamp(1, most);
    }
}

impl Default for PageSize {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(count: usize, bytes: usize) -> Vec<Entry> {
        let entry = Entry::new("1-1", [("f", "v".repeat(bytes))]);
        vec![entry; count]
    }

    #[test]
    fn pages_grow_and_shrink_with_the_size_of_their_entries() {
        let mut page_size = PageSize::new();
        assert_eq!(page_size.count(), FIRST_PAGE);
        page_size.observe(&entries(4, 10));
        assert_eq!(page_size.count(), 4 * GROWTH);
        page_size.observe(&entries(1_000, 0));
        assert_eq!(page_size.count(), MAX_PAGE);
        page_size.observe(&entries(3, 1024 * 1024));
        assert_eq!(page_size.count(), 1);
        page_size.observe(&entries(1, 10));
        assert_eq!(page_size.count(), GROWTH);
        page_size.observe(&[]);
        assert_eq!(page_size.count(), GROWTH);
    }

    #[test]
    fn a_page_fits_the_room_and_has_at_least_one_entry() {
        let room = |entries, bytes| Credit { entries, bytes };
        let mut page_size = PageSize::new();
        page_size.observe(&entries(1_000, 0));
        for (room, count) in [
            (room(u64::MAX, u64::MAX), MAX_PAGE),
            (room(10, PAGE_BYTES), 10),
            (room(u64::MAX, PAGE_BYTES / 4), MAX_PAGE / 4),
            (room(10, PAGE_BYTES / 2), 5),
            (room(10, 1), 1),
            (room(0, 0), 1),
        ] {
            assert_eq!(page_size.within(room), count, "{room:?}");
        }
    }
}
