//! The size of the entries of each stream, as far as it is known.
//!
//! Redis bounds an answer by a number of entries, never by bytes. So each stream's largest entry
//! is remembered, from adds and from answers, and decides how many entries one command asks for. A
//! stream of which nothing is known is read in pages that a script bounds in bytes.
//!
//! The table has a fixed size. If two streams share a place, the one with the larger entries keeps
//! it for a while, and nothing is known of the other: nobody can make the table forget large
//! entries. What was added elsewhere is unknown until it is read. So an answer may exceed its
//! expected size once, by [`MAX_PAGE`] entries at most.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use streamgate_protocol::limits::{FIELD_BYTES, MAX_PENDING_PAGE};
use streamgate_protocol::{Bytes, Entry};

/// Bytes of entries that one command asks for: enough that a round trip pays, few enough that the
/// answers to others are not delayed by more than a fraction of a millisecond.
pub(crate) const PAGE_BYTES: u64 = 256 * 1024;

/// Most entries that a command asks for in the pipeline of its batch. A usual read has fewer. More
/// would save little, and if sizes are not as expected, that many entries arrive at once.
const MAX_PAGE: u64 = 128;

/// Entries of a page of a backlog while nothing is known of the stream: bearable if each has the
/// greatest size there is.
const UNKNOWN_PAGE: u64 = 4;

/// Entries that one command reads for those who wait, while nothing is known of the stream. More
/// come together rarely.
const UNKNOWN_BURST: u64 = 32;

/// Most entries that one command delivers: Redis does nothing else meanwhile, for a few
/// milliseconds.
const MAX_DELIVERY: u64 = MAX_PENDING_PAGE as u64;

/// Size up to which entries are small: their number alone bounds a page.
const SMALL: u32 = (PAGE_BYTES / MAX_PAGE) as u32;

/// Places in the table, a power of two. They take 128 KiB.
const PLACES: usize = 16 * 1024;

/// Minutes for which a large entry is remembered after the last one like it.
const REMEMBERED_MINUTES: u16 = 10;

/// Bytes that an entry counts for beside its fields.
pub(crate) const ENTRY_BYTES: u64 = 32;

/// The sizes that are known.
pub(crate) struct EntrySizes {
    places: Box<[AtomicU64]>,
    hasher: RandomState,
    start: Instant,
}

/// The place of a stream in the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SizePlace {
    index: usize,
    tag: u16,
}

/// What a place holds: the tag of a stream, when its largest entry was last seen, in minutes since
/// the start, and that entry's size. All zeros say nothing.
#[derive(Debug, Clone, Copy)]
struct KnownSize {
    tag: u16,
    minute: u16,
    largest: u32,
}

/// Returns the bytes that an entry counts for: its texts, and what holding them costs.
pub(crate) fn size_of(entry: &Entry) -> u64 {
    let fields = entry.fields.iter();
    ENTRY_BYTES + fields.map(|(n, v)| field_bytes(n, v)).sum::<u64>()
}

/// Returns the bytes that an entry with these fields will count for.
pub(crate) fn size_of_fields(fields: &[(Bytes<'_>, Bytes<'_>)]) -> u64 {
    ENTRY_BYTES + fields.iter().map(|(n, v)| field_bytes(n, v)).sum::<u64>()
}

/// Returns a count of entries within a bound. A count of 0 sets no limit.
pub(crate) fn at_most(count: u64, bound: u64) -> u64 {
    if count == 0 { bound } else { count.min(bound) }
}

fn field_bytes(name: &[u8], value: &[u8]) -> u64 {
    (FIELD_BYTES + name.len() + value.len()) as u64
}

impl EntrySizes {
    pub(crate) fn new() -> Self {
        Self {
            places: (0..PLACES).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
            start: Instant::now(),
        }
    }

    pub(crate) fn place(&self, stream: &[u8]) -> SizePlace {
        let hash = self.hasher.hash_one(stream);
        SizePlace {
            index: hash as usize % PLACES,
            // Not 0, which says that the place is empty.
            tag: (hash >> 48) as u16 | 1,
        }
    }

    /// Returns how many entries one command may ask for: 0 if nothing is known, or if one entry
    /// alone may have more bytes than a page.
    pub(crate) fn page(&self, place: SizePlace) -> u64 {
        self.largest(place)
            .map_or(0, |largest| PAGE_BYTES / largest)
    }

    /// Returns how many entries one command may read for those who wait, at least 1.
    pub(crate) fn wait_page(&self, place: SizePlace) -> u64 {
        match self.largest(place) {
            Some(largest) => (PAGE_BYTES / largest).max(1),
            None => UNKNOWN_BURST,
        }
    }

    /// Returns how many entries a page of a backlog may have, at least 1.
    pub(crate) fn backlog_page(&self, place: SizePlace) -> u64 {
        match self.largest(place) {
            Some(largest) => (PAGE_BYTES / largest).max(1),
            None => UNKNOWN_PAGE,
        }
    }

    /// Returns whether one entry alone may have more bytes than a page.
    pub(crate) fn is_large(&self, place: SizePlace) -> bool {
        self.largest(place)
            .is_some_and(|largest| largest > PAGE_BYTES)
    }

    /// Returns how many entries one command may deliver, at least 1: those that fit into `max_bytes`,
    /// and some more if they are small. If nothing is known, as many as a page of small ones has,
    /// unless there is no limit.
    pub(crate) fn fitting(&self, place: SizePlace, max_bytes: u64) -> u64 {
        let small = u64::from(SMALL);
        match self.largest(place) {
            Some(largest) if largest > small => (max_bytes / largest).clamp(1, MAX_DELIVERY),
            Some(_) => (max_bytes / small).clamp(MAX_PAGE, MAX_DELIVERY),
            None if max_bytes == u64::MAX => MAX_DELIVERY,
            None => MAX_PAGE,
        }
    }

    /// Records an entry of this size, or a page whose largest entry has it.
    pub(crate) fn observe(&self, place: SizePlace, size: u64) {
        let largest = u32::try_from(size).unwrap_or(u32::MAX).max(SMALL);
        let slot = &self.places[place.index];
        let known = KnownSize::unpack(slot.load(Ordering::Relaxed));
        let is_same = known.tag == place.tag;
        // The usual case, which needs no clock.
        if is_same && known.largest == SMALL && largest == SMALL {
            return;
        }
        let minute = (self.start.elapsed().as_secs() / 60) as u16;
        let is_outdated = minute.wrapping_sub(known.minute) >= REMEMBERED_MINUTES;
        // A stream's own record never falls: its large entries may still be there.
        let may_replace = is_outdated || known.largest == SMALL;
        if known.largest <= largest || (!is_same && may_replace) {
            let known = KnownSize {
                tag: place.tag,
                minute,
                largest,
            };
            slot.store(known.pack(), Ordering::Relaxed);
        }
    }

    /// Records the entries of an answer.
    pub(crate) fn observe_entries(&self, place: SizePlace, entries: &[Entry]) {
        if let Some(largest) = entries.iter().map(size_of).max() {
            self.observe(place, largest);
        }
    }

    fn largest(&self, place: SizePlace) -> Option<u64> {
        let known = KnownSize::unpack(self.places[place.index].load(Ordering::Relaxed));
        (known.tag == place.tag).then_some(u64::from(known.largest))
    }
}

impl KnownSize {
    const fn pack(self) -> u64 {
        (self.tag as u64) << 48 | (self.minute as u64) << 32 | self.largest as u64
    }

    const fn unpack(packed: u64) -> Self {
        Self {
            tag: (packed >> 48) as u16,
            minute: (packed >> 32) as u16,
            largest: packed as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn a_page_has_as_many_entries_as_the_largest_known_one_allows() {
        let sizes = EntrySizes::new();
        let place = sizes.place(b"s");
        assert_eq!(sizes.page(place), 0, "nothing is known");
        sizes.observe(place, 100);
        assert_eq!(sizes.page(place), MAX_PAGE);
        sizes.observe(place, 16 * 1024);
        assert_eq!(sizes.page(place), 16);
        sizes.observe(place, 100);
        assert_eq!(sizes.page(place), 16, "large ones are remembered");
        sizes.observe(place, MIB);
        assert_eq!(sizes.page(place), 0, "one alone is larger than a page");
    }

    #[test]
    fn what_is_delivered_fits_and_is_one_entry_at_least() {
        let sizes = EntrySizes::new();
        let place = sizes.place(b"s");
        assert_eq!(sizes.fitting(place, 16 * MIB), MAX_PAGE);
        assert_eq!(sizes.fitting(place, u64::MAX), MAX_DELIVERY);
        sizes.observe(place, 100);
        assert_eq!(sizes.fitting(place, 1), MAX_PAGE);
        assert_eq!(sizes.fitting(place, 16 * MIB), 16 * MIB / u64::from(SMALL));
        assert_eq!(sizes.fitting(place, u64::MAX), MAX_DELIVERY);
        sizes.observe(place, MIB);
        assert_eq!(sizes.fitting(place, 16 * MIB), 16);
        assert_eq!(sizes.fitting(place, 1), 1);
    }

    #[test]
    fn small_entries_of_other_streams_never_displace_large_ones() {
        let sizes = EntrySizes::new();
        let place = sizes.place(b"s");
        let other = SizePlace {
            tag: place.tag ^ 2,
            ..place
        };
        sizes.observe(other, 100);
        sizes.observe(place, MIB);
        sizes.observe(other, 100);
        assert_eq!(sizes.largest(place), Some(MIB));
        assert_eq!(sizes.page(other), 0, "nothing is known");
        sizes.observe(other, 2 * MIB);
        assert_eq!(sizes.largest(place), None, "nothing is known");
    }

    #[test]
    fn empty_fields_count_too() {
        let fields = vec![("", ""); 1_000];
        let size = size_of(&Entry::new("1-1", fields));
        assert_eq!(size, ENTRY_BYTES + 1_000 * FIELD_BYTES as u64);
    }
}
