//! How many entries to ask for at once.

use streamgate_protocol::StreamEntry;
use streamgate_protocol::message::{Credit, entry_bytes};

/// Bytes that a page should have: enough that a round trip is worth it, few enough that many
/// pages under way are no burden.
const PAGE_BYTES: u64 = 256 * 1024;

/// Entries of a page while nothing is known of their size: of the largest there are, 16 MiB each,
/// they are bearable.
const FIRST_PAGE: u64 = 4;

/// Most entries of a page: of 256 bytes each. Of smaller ones more would make a round trip worth
/// little more, and these few may be of any size.
const MAX_PAGE: u64 = PAGE_BYTES / 256;

/// A page has at most so many times the entries of the one before: sizes may be about to change.
const GROWTH: u64 = 8;

/// What an entry takes beside its texts.
const ENTRY_OVERHEAD: u64 = 32;

/// Learns from each page how large the next one should be.
#[derive(Debug, Clone, Copy)]
pub struct PageSize {
    count: u64,
}

impl PageSize {
    /// Starts with a small page.
    pub const fn new() -> Self {
        Self { count: FIRST_PAGE }
    }

    /// Entries to ask for; at least 1.
    pub fn count(self) -> u64 {
        self.count
    }

    /// Entries to ask for where there is only so much room, as much fewer as it has fewer bytes
    /// than a page; at least 1.
    pub fn within(self, room: Credit) -> u64 {
        let part = room.bytes.min(PAGE_BYTES);
        let count = self.count.min(room.entries);
        (count.saturating_mul(part) / PAGE_BYTES).max(1)
    }

    /// Learns from entries that came.
    pub fn saw(&mut self, entries: &[StreamEntry]) {
        self.saw_so_many(entries.len() as u64, entries.iter().map(entry_bytes).sum());
    }

    /// Learns from how many came, and how many bytes their texts have.
    pub fn saw_so_many(&mut self, seen: u64, bytes: u64) {
        if seen == 0 {
            return;
        }
        let each = bytes / seen + ENTRY_OVERHEAD;
        let most = seen.saturating_mul(GROWTH).clamp(FIRST_PAGE, MAX_PAGE);
        self.count = (PAGE_BYTES / each).clamp(1, most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(count: usize, bytes: usize) -> Vec<StreamEntry> {
        let entry = ("1-1".to_owned(), vec![("f".to_owned(), "v".repeat(bytes))]);
        vec![entry; count]
    }

    #[test]
    fn pages_grow_and_shrink_with_what_their_entries_take() {
        let mut page_size = PageSize::new();
        assert_eq!(page_size.count(), FIRST_PAGE);
        page_size.saw(&entries(4, 10));
        assert_eq!(page_size.count(), 4 * GROWTH);
        page_size.saw(&entries(1_000, 0));
        assert_eq!(page_size.count(), MAX_PAGE);
        page_size.saw(&entries(3, 1024 * 1024));
        assert_eq!(page_size.count(), 1);
        page_size.saw(&entries(1, 10));
        assert_eq!(page_size.count(), GROWTH);
        page_size.saw(&[]);
        assert_eq!(page_size.count(), GROWTH);
    }

    #[test]
    fn little_room_is_asked_little_for_and_never_nothing() {
        let room = |entries, bytes| Credit { entries, bytes };
        let mut page_size = PageSize::new();
        page_size.saw(&entries(1_000, 0));
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
