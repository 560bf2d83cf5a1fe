//! The size of the entries of each stream, as far as it is known.
//!
//! Redis bounds an answer by a number of entries, never by bytes. So each stream's largest entry
//! is remembered, from answers and from large adds, and decides how many entries one command asks
//! for. A stream of which no answer was seen is read by scripts, which bound their answers in
//! bytes: other programs may have added entries of any size, whatever was added here.
//!
//! The table has a fixed size. If two streams share a place, the one with the larger entries keeps
//! it for a while, and nothing is known of the other: nobody can make the table forget large
//! entries.
//!
//! A stream whose answers had small entries only may have large ones elsewhere. Each answer that
//! exceeds its expected size has [`MAX_PAGE`] entries at most, one of a group read
//! [`MAX_SMALL_DELIVERY`]; the next one is bounded by what that answer had.

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

/// Entries that one command delivers, or reads for those who wait, while nothing is known of the
/// stream. More come together rarely.
const UNKNOWN_BURST: u64 = 32;

/// Bytes that the first answer of a stream counts for while nothing is known of it. A script bounds
/// it, and takes Redis up to two milliseconds.
const UNKNOWN_BYTES: u64 = PAGE_BYTES / 2;

/// Most small entries that one command delivers. As many as that arrive at once if they are not as
/// small as those before.
pub(crate) const MAX_SMALL_DELIVERY: u64 = 2_048;

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
/// the start, whether an answer had entries of the stream, and the largest entry's size. All zeros
/// say nothing.
#[derive(Debug, Clone, Copy)]
struct KnownSize {
    tag: u16,
    /// Has 15 bits.
    minute: u16,
    /// If not, the size is that of an add: entries of other programs may be larger.
    was_read: bool,
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

    /// Returns how many entries one command may ask for: 0 if no answer was seen, or if one entry
    /// alone may have more bytes than a page.
    pub(crate) fn page(&self, place: SizePlace) -> u64 {
        match self.known(place) {
            Some(known) if known.was_read => PAGE_BYTES / u64::from(known.largest),
            _ => 0,
        }
    }

    /// Returns how many entries one command may read for those who wait, at least 1.
    pub(crate) fn wait_page(&self, place: SizePlace) -> u64 {
        self.page_or(place, UNKNOWN_BURST)
    }

    /// Returns how many entries a page of a backlog may have, at least 1.
    pub(crate) fn backlog_page(&self, place: SizePlace) -> u64 {
        self.page_or(place, UNKNOWN_PAGE)
    }

    /// Returns whether anything is known of the stream's entries.
    pub(crate) fn is_known(&self, place: SizePlace) -> bool {
        self.known(place).is_some()
    }

    /// Returns whether one entry alone may have more bytes than a page.
    pub(crate) fn is_large(&self, place: SizePlace) -> bool {
        self.known(place)
            .is_some_and(|known| u64::from(known.largest) > PAGE_BYTES)
    }

    /// Returns how many usual pages a page may be as large as, because one entry alone is: at least 1.
    pub(crate) fn pages(&self, place: SizePlace) -> u32 {
        let largest = self.known(place).map_or(0, |known| known.largest);
        u32::try_from(u64::from(largest).div_ceil(PAGE_BYTES))
            .unwrap_or(u32::MAX)
            .max(1)
    }

    /// Returns the bytes that the first answer to a read may have: 0 if entries are small.
    pub(crate) fn first_page_bytes(&self, place: SizePlace, count: u64) -> u64 {
        match self.known(place) {
            None => UNKNOWN_BYTES,
            Some(known) if known.largest > SMALL => {
                u64::from(known.largest) * at_most(count, self.page(place).max(1))
            }
            _ => 0,
        }
    }

    /// Returns whether an answer had entries of the stream.
    pub(crate) fn were_read(&self, place: SizePlace) -> bool {
        self.known(place).is_some_and(|known| known.was_read)
    }

    /// Returns how many entries one command may deliver, at least 1: those that fit into `max_bytes`,
    /// and some more if they are small. If nothing is known, only a few. `u64::MAX` sets no limit.
    pub(crate) fn fitting(&self, place: SizePlace, max_bytes: u64) -> u64 {
        if max_bytes == u64::MAX {
            return MAX_DELIVERY;
        }
        let Some(known) = self.known(place) else {
            return UNKNOWN_BURST;
        };
        let fitting = max_bytes / u64::from(known.largest);
        match known {
            KnownSize {
                was_read: false, ..
            } => fitting.clamp(1, UNKNOWN_BURST),
            KnownSize { largest: SMALL, .. } => fitting.clamp(MAX_PAGE, MAX_SMALL_DELIVERY),
            _ => fitting.clamp(1, MAX_SMALL_DELIVERY),
        }
    }

    /// Records that an entry of this size is added. Entries of other programs may be larger, so a
    /// small one tells nothing.
    pub(crate) fn observe_add(&self, stream: &[u8], size: u64) {
        if size > u64::from(SMALL) {
            self.record(self.place(stream), size, false);
        }
    }

    /// Records that an answer had entries, the largest of which has this size.
    pub(crate) fn observe(&self, place: SizePlace, size: u64) {
        self.record(place, size, true);
    }

    /// Records that an answer had no entries. Whoever reads the stream again and again, and finds
    /// nothing, need not be kept waiting as if the next answer were large.
    pub(crate) fn observe_nothing(&self, place: SizePlace) {
        if !self.is_known(place) {
            self.record(place, 0, false);
        }
    }

    fn record(&self, place: SizePlace, size: u64, was_read: bool) {
        let largest = u32::try_from(size).unwrap_or(u32::MAX).max(SMALL);
        let slot = &self.places[place.index];
        let known = KnownSize::unpack(slot.load(Ordering::Relaxed));
        let is_same = known.tag == place.tag;
        // The usual case, which needs no clock.
        if is_same && known.was_read && known.largest == SMALL && largest == SMALL {
            return;
        }
        let minute = (self.start.elapsed().as_secs() / 60) as u16 & KnownSize::MINUTES;
        let elapsed = minute.wrapping_sub(known.minute) & KnownSize::MINUTES;
        let record = |minute, was_read, largest| {
            let known = KnownSize {
                tag: place.tag,
                minute,
                was_read,
                largest,
            };
            slot.store(known.pack(), Ordering::Relaxed);
        };
        if is_same {
            // A stream's own record never falls: its large entries may still be there.
            let was_read = was_read || known.was_read;
            if known.largest <= largest {
                record(minute, was_read, largest);
            } else {
                record(known.minute, was_read, known.largest);
            }
        } else if known.largest <= largest
            || known.largest == SMALL
            || elapsed >= REMEMBERED_MINUTES
        {
            record(minute, was_read, largest);
        }
    }

    /// Records the entries of an answer. Those that were deleted have no size any longer.
    pub(crate) fn observe_entries(&self, place: SizePlace, entries: &[Entry]) {
        let kept = entries.iter().filter(|entry| !entry.fields.is_empty());
        if let Some(largest) = kept.map(size_of).max() {
            self.observe(place, largest);
        }
    }

    fn page_or(&self, place: SizePlace, unknown: u64) -> u64 {
        match self.known(place) {
            Some(known) => {
                let page = (PAGE_BYTES / u64::from(known.largest)).max(1);
                if known.was_read {
                    page
                } else {
                    page.min(unknown)
                }
            }
            None => unknown,
        }
    }

    fn known(&self, place: SizePlace) -> Option<KnownSize> {
        let known = KnownSize::unpack(self.places[place.index].load(Ordering::Relaxed));
        (known.tag == place.tag).then_some(known)
    }
}

impl KnownSize {
    const MINUTES: u16 = 0x7fff;

    const fn pack(self) -> u64 {
        (self.tag as u64) << 48
            | ((self.minute & Self::MINUTES) as u64) << 33
            | (self.was_read as u64) << 32
            | self.largest as u64
    }

    const fn unpack(packed: u64) -> Self {
        Self {
            tag: (packed >> 48) as u16,
            minute: (packed >> 33) as u16 & Self::MINUTES,
            was_read: packed >> 32 & 1 == 1,
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
    fn a_small_add_tells_nothing_and_a_large_one_only_that_entries_may_be_large() {
        let sizes = EntrySizes::new();
        let place = sizes.place(b"s");
        let known = |sizes: &EntrySizes| {
            let pages = [sizes.page(place), sizes.wait_page(place)];
            (
                pages,
                sizes.backlog_page(place),
                sizes.fitting(place, 16 * MIB),
            )
        };
        sizes.observe_add(b"s", 100);
        assert_eq!(
            known(&sizes),
            ([0, UNKNOWN_BURST], UNKNOWN_PAGE, UNKNOWN_BURST)
        );
        sizes.observe_add(b"s", 16 * 1024);
        assert_eq!(known(&sizes), ([0, 16], UNKNOWN_PAGE, UNKNOWN_BURST));
        sizes.observe_add(b"s", MIB);
        assert_eq!(known(&sizes), ([0, 1], 1, 16));
        assert!(sizes.is_large(place) && !sizes.were_read(place));

        sizes.observe(place, 100);
        assert!(sizes.is_large(place) && sizes.were_read(place));
        sizes.observe_add(b"s", 2 * MIB);
        assert!(sizes.were_read(place));
        assert_eq!(known(&sizes), ([0, 1], 1, 8));
    }

    #[test]
    fn what_is_delivered_fits_and_is_one_entry_at_least() {
        let sizes = EntrySizes::new();
        let place = sizes.place(b"s");
        assert_eq!(sizes.fitting(place, 16 * MIB), UNKNOWN_BURST);
        assert_eq!(sizes.fitting(place, u64::MAX), MAX_DELIVERY);
        sizes.observe(place, 100);
        assert_eq!(sizes.fitting(place, 1), MAX_PAGE);
        assert_eq!(sizes.fitting(place, MIB), MIB / u64::from(SMALL));
        assert_eq!(sizes.fitting(place, 16 * MIB), MAX_SMALL_DELIVERY);
        assert_eq!(sizes.fitting(place, u64::MAX), MAX_DELIVERY);
        sizes.observe(place, MIB);
        assert_eq!(sizes.fitting(place, 16 * MIB), 16);
        assert_eq!(sizes.fitting(place, 1), 1);
    }

    #[test]
    fn deleted_entries_tell_nothing() {
        let sizes = EntrySizes::new();
        let place = sizes.place(b"s");
        sizes.observe_entries(place, &[Entry::deleted("1-1")]);
        assert!(!sizes.were_read(place));
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
        assert!(sizes.is_large(place));
        assert!(!sizes.were_read(other));
        sizes.observe(other, 2 * MIB);
        assert!(!sizes.were_read(place));
    }

    #[test]
    fn empty_fields_count_too() {
        let fields = vec![("", ""); 1_000];
        let size = size_of(&Entry::new("1-1", fields));
        assert_eq!(size, ENTRY_BYTES + 1_000 * FIELD_BYTES as u64);
    }
}
