//! Reads of a stream in pages of bounded bytes.
//!
//! The first page is a command in the operation's own pipeline, with as many entries as are known
//! to fit into a page ([`EntrySizes`]). That is all of a usual read. A read that wants more continues
//! after the other operations, on the connection for bulk reads. If even one entry may be larger
//! than a page, the command in the pipeline returns no entry and only keeps the order.
//!
//! A forward read continues strictly after the last entry that it has, a backward read strictly
//! before it. So entries that are added or trimmed meanwhile neither repeat nor hide others.

use redis::Value;
use streamgate_protocol::{CacheResult, Entry, EntryId, Reply};

use crate::operation::bulk_reader::{BulkReader, Page};
use crate::operation::entry_sizes::{EntrySizes, PAGE_BYTES, SizePlace, size_of};
use crate::wire::answers;
use crate::wire::scripts::Direction;

/// A read of a stream, from an id on or from its end backwards.
pub(super) struct PagedRead {
    stream: Box<[u8]>,
    place: SizePlace,
    /// How many entries the first page asked for.
    first_count: u64,
    direction: Direction,
    /// The id where the next page starts, exclusive. Absent at the end of the stream.
    from: Option<EntryId>,
    /// The id where the first page starts. A read from the end starts again after the entry that was
    /// the last one.
    start: Option<EntryId>,
    /// The id to read after next, in a reply that names it.
    last_id: Option<String>,
    /// Most entries to return.
    count: u64,
    /// Bytes of entries after which the read ends.
    max_bytes: u64,
    entries: Vec<Entry>,
    bytes: u64,
}

/// The first page of a read: how many entries the command asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct FirstPage {
    pub(super) place: SizePlace,
    pub(super) count: u64,
    /// Whether the read wants more entries than the page has.
    pub(super) is_part: bool,
}

/// How far a read has come after its first page.
pub(super) enum FirstPageOutcome {
    Nothing,
    More,
    Complete,
}

impl FirstPageOutcome {
    const fn more_if(has_more: bool) -> Self {
        if has_more { Self::More } else { Self::Complete }
    }
}

impl FirstPage {
    /// Returns the first page of a read of `count` entries; 0 sets no limit.
    pub(super) fn new(sizes: &EntrySizes, stream: &[u8], count: u64) -> Self {
        let place = sizes.place(stream);
        let wanted = limit(count);
        let count = sizes.page(place).min(wanted);
        Self {
            place,
            count,
            is_part: count < wanted,
        }
    }

    /// Asks for one entry at least, because the read waits if it finds none.
    pub(super) fn at_least_one(mut self) -> Self {
        self.count = self.count.max(1);
        self
    }
}

impl PagedRead {
    /// Creates the part of a read that follows its first page.
    pub(super) fn new(
        stream: &[u8],
        first: FirstPage,
        (direction, from): (Direction, Option<EntryId>),
        last_id: Option<String>,
        (count, max_bytes): (u64, u64),
    ) -> Self {
        Self {
            stream: stream.into(),
            place: first.place,
            first_count: first.count,
            direction,
            from,
            start: from,
            last_id,
            count: limit(count),
            max_bytes,
            entries: Vec::new(),
            bytes: 0,
        }
    }

    /// Takes the answer to the command of the first page.
    pub(super) fn take_first(
        &mut self,
        value: Value,
        sizes: &EntrySizes,
    ) -> CacheResult<FirstPageOutcome> {
        if self.first_count == 0 {
            let exists = answers::exists(value)?;
            return Ok(FirstPageOutcome::more_if(exists));
        }
        let entries = match self.direction {
            Direction::Forwards => answers::stream(value)?,
            Direction::Backwards => answers::entries(value)?,
        };
        if entries.is_empty() {
            return Ok(FirstPageOutcome::Nothing);
        }
        sizes.observe_entries(self.place, &entries);
        let has_more = entries.len() as u64 >= self.first_count;
        self.take(entries, has_more).map(FirstPageOutcome::more_if)
    }

    /// Takes a page. Returns whether the read goes on.
    fn take(&mut self, entries: Vec<Entry>, has_more: bool) -> CacheResult<bool> {
        let Some(last) = entries.last() else {
            return Ok(false);
        };
        if let (None, Some(newest)) = (self.start, entries.first()) {
            self.start = answers::parse_id(&newest.id)?.successor();
        }
        self.from = Some(answers::parse_id(&last.id)?);
        self.bytes += entries.iter().map(size_of).sum::<u64>();
        if self.entries.is_empty() {
            self.entries = entries;
        } else {
            self.entries.extend(entries);
        }
        Ok(has_more && self.missing() > 0 && self.bytes < self.max_bytes)
    }

    /// Reads the further pages.
    pub(super) async fn finish(mut self, bulk: BulkReader) -> CacheResult<Reply> {
        let pages = bulk.clone();
        let reading = async move {
            let mut reservation = None;
            loop {
                if reservation.is_none() && !self.entries.is_empty() {
                    let max_bytes = self.max_bytes;
                    reservation = Some(pages.reserve(max_bytes, || self.shed()).await?);
                }
                let room = self.max_bytes.saturating_sub(self.bytes);
                let stream = (&*self.stream, self.place);
                let position = (self.direction, self.from);
                let bounds = (self.missing(), room);
                let is_first = self.entries.is_empty();
                let page = pages.page(stream, position, bounds, is_first).await?;
                let Page { entries, has_more } = page;
                if !self.take(entries, has_more)? {
                    return Ok((self.reply(), reservation));
                }
            }
        };
        bulk.run(reading).await
    }

    /// Drops a large first page, which is read again.
    fn shed(&mut self) {
        if self.bytes > PAGE_BYTES {
            self.entries = Vec::new();
            self.bytes = 0;
            self.from = self.start;
        }
    }

    pub(super) fn reply(self) -> Reply {
        let last_id = self.last_id.map(|requested| {
            let last = self.entries.last();
            last.map_or(requested, |last| last.id.clone())
        });
        Reply::Entries {
            entries: self.entries,
            last_id,
            more: false,
        }
    }

    /// Returns the id after which the read would go on.
    pub(super) fn into_last_id(self) -> String {
        self.last_id.unwrap_or_default()
    }

    fn missing(&self) -> u64 {
        self.count.saturating_sub(self.entries.len() as u64)
    }
}

/// Returns the number of entries that a count stands for: 0 sets no limit.
fn limit(count: u64) -> u64 {
    if count == 0 { u64::MAX } else { count }
}
