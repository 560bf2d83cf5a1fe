//! Reads of a stream in pages of bounded bytes.
//!
//! The first page is a command in the operation's own pipeline, with as many entries as are known
//! to fit into a page ([`EntrySizes`]). If nothing is known, or if even one entry may be larger
//! than a page, it is a script that bounds the page in bytes. That is all of a usual read. A read
//! that wants more continues after the other operations, on the connection for bulk reads. So does
//! one whose first entry is larger than a page; it begins with the entry that the script found.
//!
//! A forward read continues strictly after the last entry that it has, a backward read strictly
//! before it. So entries that are added or trimmed meanwhile neither repeat nor hide others.

use redis::Value;
use streamgate_protocol::{CacheResult, Entry, EntryId, Reply};

use crate::operation::bulk_reader::{BulkReader, Page};
use crate::operation::entry_sizes::{EntrySizes, PAGE_BYTES, SizePlace, at_most, size_of};
use crate::wire::answers;
use crate::wire::packing::PackedCommands;
use crate::wire::scripts::{self, Direction, MAX_SCRIPT_ENTRIES};

/// A read of a stream, from an id on or from its end backwards.
pub(super) struct PagedRead {
    stream: Box<[u8]>,
    place: SizePlace,
    first: FirstPageKind,
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
    /// The size of the entry that was read last, or 0; more than a page if one did not fit into the
    /// first.
    latest_bytes: u64,
}

/// The first page of a read.
#[derive(Debug, Clone, Copy)]
pub(super) struct FirstPage {
    pub(super) place: SizePlace,
    pub(super) kind: FirstPageKind,
    /// Most entries that the read wants.
    wanted: u64,
    /// Whether the read may want more than the page has.
    pub(super) is_part: bool,
}

/// How the first page is read.
#[derive(Debug, Clone, Copy)]
pub(super) enum FirstPageKind {
    /// By a command that asks for a number of entries, at least 1.
    Command { count: u64 },
    /// By a script that bounds it in bytes.
    Script,
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
    pub(super) fn new(sizes: &EntrySizes, stream: &[u8], count: u64, runs_scripts: bool) -> Self {
        let place = sizes.place(stream);
        let wanted = at_most(count, u64::MAX);
        let known = sizes.page(place).min(wanted);
        if known == 0 && runs_scripts {
            return Self {
                place,
                kind: FirstPageKind::Script,
                wanted,
                is_part: true,
            };
        }
        let count = known.max(1);
        Self {
            place,
            kind: FirstPageKind::Command { count },
            wanted,
            is_part: count < wanted,
        }
    }

    /// Encodes the script.
    pub(super) fn encode_script(
        self,
        to: &mut PackedCommands,
        stream: &[u8],
        position: (Direction, Option<EntryId>),
        max_bytes: u64,
    ) {
        let bounds = (
            self.wanted.min(MAX_SCRIPT_ENTRIES),
            max_bytes.min(PAGE_BYTES),
        );
        scripts::bounded_read(to, stream, position, bounds, false);
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
            first: first.kind,
            direction,
            from,
            start: from,
            last_id,
            count: at_most(count, u64::MAX),
            max_bytes,
            entries: Vec::new(),
            bytes: 0,
            latest_bytes: 0,
        }
    }

    /// Takes the answer to the command of the first page.
    pub(super) fn take_first(
        &mut self,
        value: Value,
        sizes: &EntrySizes,
    ) -> CacheResult<FirstPageOutcome> {
        let (entries, has_more) = match (self.first, self.direction) {
            (FirstPageKind::Script, _) => {
                let page = answers::page(value)?;
                // What does not fit into a page may fit into the reply.
                let is_cut = page.too_large.is_some() && self.max_bytes > PAGE_BYTES;
                match page.too_large {
                    Some(id) if page.entries.is_empty() => {
                        self.start_at(id);
                        self.latest_bytes = PAGE_BYTES + 1;
                        return Ok(FirstPageOutcome::More);
                    }
                    _ => (page.entries, page.has_more || is_cut),
                }
            }
            (FirstPageKind::Command { count }, direction) => {
                let entries = match direction {
                    Direction::Forwards => answers::stream(value)?,
                    Direction::Backwards => answers::entries(value)?,
                };
                let has_more = entries.len() as u64 >= count;
                (entries, has_more)
            }
        };
        if entries.is_empty() {
            sizes.observe_nothing(self.place);
            return Ok(FirstPageOutcome::Nothing);
        }
        sizes.observe_entries(self.place, &entries);
        self.take(entries, has_more).map(FirstPageOutcome::more_if)
    }

    /// Makes the next page begin with an entry. A forward read begins after its position anyway.
    fn start_at(&mut self, id: EntryId) {
        if self.direction == Direction::Backwards {
            self.from = id.successor();
            self.start = self.from;
        }
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
        self.latest_bytes = size_of(last);
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
                let latest_bytes = self.latest_bytes;
                let page = pages.page(stream, position, bounds, is_first, latest_bytes);
                let Page { entries, has_more } = page.await?;
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
