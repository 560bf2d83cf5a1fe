//! Group reads and claims of many entries, in pages.
//!
//! Nothing tells how large entries are before they are delivered. So an operation that asks for more
//! than [`FIRST_PAGE`] entries takes its first page in the batch's pipeline, and further ones after
//! it, until it has [`MAX_PAGED_BYTES`]. What it leaves is not delivered, and counts no delivery. A
//! claim leaves the rest to its cursor, and a group read to the next read.
//!
//! If a later page is lost with the connection, the earlier ones are the result. Entries of the lost
//! page may be pending for the consumer, so the reply says that there are more.

use redis::Value;
use streamgate_backend::tail::page_size::PageSize;
use streamgate_protocol::limits::MAX_REPLY_BYTES;
use streamgate_protocol::message::entry_bytes;
use streamgate_protocol::{CacheResult, Claimed, Reply, StreamEntry};

use crate::connection::command_connection::{CommandConnection, SendError};
use crate::operation::outcome::Step;
use crate::wire::packing::PackedCommands;
use crate::wire::{answers, commands};

/// Entries of the first page: as many as most operations ask for.
const FIRST_PAGE: u64 = 100;

/// Bytes of entries after which an operation takes no further page: half of the largest reply, so
/// that it fits in either encoding.
pub(super) const MAX_PAGED_BYTES: u64 = MAX_REPLY_BYTES as u64 / 2;

/// The cursor of a claim that has examined all pending entries.
const END: &str = "0-0";

/// The pages of one operation.
struct Pages {
    names: [String; 3],
    /// Most entries of the pages that were not requested yet; `None` sets no limit.
    left: Option<u64>,
    /// Entries of the page that was requested last.
    requested: u64,
    bytes: u64,
    page_size: PageSize,
}

/// A group read of more than one page.
pub(super) struct PagedGroupRead {
    pages: Pages,
    entries: Vec<StreamEntry>,
}

/// A claim of more than one page.
pub(super) struct PagedClaim {
    pages: Pages,
    min_idle_ms: u64,
    claimed: Claimed,
    /// Most pending entries, and ids of deleted ones, that the claim returns.
    count: u64,
}

/// The answer to a page.
enum Page {
    Answered(Value),
    NotSent,
    Lost,
}

impl Pages {
    /// Returns the pages after the first one, if there may be any.
    fn after_first(names: [&str; 3], count: Option<u64>) -> Option<Self> {
        let left = count.map(|count| count.saturating_sub(FIRST_PAGE));
        (left != Some(0)).then(|| Self {
            names: names.map(str::to_owned),
            left,
            requested: FIRST_PAGE,
            bytes: 0,
            page_size: PageSize::new(),
        })
    }

    /// Takes the size of a page's entries. Returns whether another page may follow.
    fn observe(&mut self, page: &[StreamEntry]) -> bool {
        self.page_size.observe(page);
        self.bytes += page.iter().map(entry_bytes).sum::<u64>();
        self.left != Some(0) && self.bytes < MAX_PAGED_BYTES
    }

    /// Requests another page, of at most `most` entries.
    async fn next(
        &mut self,
        connection: &CommandConnection,
        most: u64,
        encode: impl FnOnce(&mut PackedCommands, [&str; 3], u64),
    ) -> Page {
        let count = self.page_size.count().min(most);
        self.requested = self.left.map_or(count, |left| count.min(left));
        self.left = self.left.map(|left| left - self.requested);
        let mut packed = PackedCommands::default();
        let [stream, group, consumer] = &self.names;
        encode(&mut packed, [stream, group, consumer], self.requested);
        match connection.send(packed).await {
            Ok(values) => Page::Answered(answers::next_value(&mut values.into_iter())),
            Err(SendError::NotSent(_)) => Page::NotSent,
            Err(SendError::NoAnswer(_)) => Page::Lost,
        }
    }
}

impl PagedGroupRead {
    /// Encodes the command for the first page of a read of up to `count` entries; a count of 0 sets
    /// no limit. Returns the read if it may take more pages.
    pub(super) fn encode(
        to: &mut PackedCommands,
        names: [&str; 3],
        count: u64,
    ) -> Option<Box<Self>> {
        let count = (count > 0).then_some(count);
        let [stream, group, consumer] = names;
        commands::read_group(to, stream, group, consumer, first_page(count));
        Some(Box::new(Self {
            pages: Pages::after_first(names, count)?,
            entries: Vec::new(),
        }))
    }

    /// Takes the entries of a page.
    pub(super) fn step(mut self, page: Vec<StreamEntry>) -> Step<Self> {
        let is_full = page.len() as u64 >= self.pages.requested;
        let may_go_on = self.pages.observe(&page);
        self.entries.extend(page);
        match is_full && may_go_on {
            true => Step::More(self),
            false => Step::Done(Ok(Reply::entries(self.entries))),
        }
    }

    /// Reads the remaining pages.
    pub(super) async fn finish(mut self, connection: CommandConnection) -> CacheResult<Reply> {
        loop {
            let encode = |to: &mut PackedCommands, [stream, group, consumer]: [&str; 3], count| {
                commands::read_group(to, stream, group, consumer, count);
            };
            let page = match self.pages.next(&connection, u64::MAX, encode).await {
                // An error, such as that of a group that is gone by now, meets the next read.
                Page::Answered(value) => answers::stream(value).unwrap_or_default(),
                Page::NotSent => Vec::new(),
                Page::Lost => {
                    return Ok(Reply::Entries {
                        entries: self.entries,
                        last_id: None,
                        more: true,
                    });
                }
            };
            match self.step(page) {
                Step::Done(reply) => return reply,
                Step::More(rest) => self = rest,
            }
        }
    }
}

impl PagedClaim {
    /// Encodes the command for the first page of a claim of up to `count` entries. Returns the claim
    /// if it may take more pages.
    pub(super) fn encode(
        to: &mut PackedCommands,
        names: [&str; 3],
        min_idle_ms: u64,
        start: &str,
        count: u64,
    ) -> Option<Box<Self>> {
        claim(to, names, min_idle_ms, start, first_page(Some(count)));
        Some(Box::new(Self {
            pages: Pages::after_first(names, Some(count))?,
            min_idle_ms,
            claimed: Claimed::new(start, Vec::new(), Vec::new()),
            count,
        }))
    }

    /// Takes the answer to a page. A page may have fewer entries than requested, because a claim
    /// examines ten times as many and no more; so the pages together examine no more either.
    pub(super) fn step(mut self, value: Value) -> Step<Self> {
        match answers::claimed(value) {
            Ok(page) => {
                let may_go_on = self.pages.observe(&page.entries);
                self.claimed.entries.extend(page.entries);
                self.claimed.deleted.extend(page.deleted);
                self.claimed.cursor = page.cursor;
                match may_go_on && self.claimed.cursor != END && self.missing() > 0 {
                    true => Step::More(self),
                    false => Step::Done(Ok(Reply::Claimed(self.claimed))),
                }
            }
            Err(error) => Step::Done(Err(error)),
        }
    }

    /// Claims the remaining pages.
    pub(super) async fn finish(mut self, connection: CommandConnection) -> CacheResult<Reply> {
        loop {
            let (min_idle_ms, cursor) = (self.min_idle_ms, self.claimed.cursor.clone());
            let encode = |to: &mut PackedCommands, names: [&str; 3], count| {
                claim(to, names, min_idle_ms, &cursor, count);
            };
            let missing = self.missing();
            match self.pages.next(&connection, missing, encode).await {
                Page::Answered(Value::ServerError(_)) | Page::NotSent => {
                    return Ok(Reply::Claimed(self.claimed));
                }
                Page::Answered(value) => match self.step(value) {
                    Step::Done(reply) => return reply,
                    Step::More(rest) => self = rest,
                },
                Page::Lost => {
                    self.claimed.more = true;
                    return Ok(Reply::Claimed(self.claimed));
                }
            }
        }
    }

    fn missing(&self) -> u64 {
        let found = self.claimed.entries.len() + self.claimed.deleted.len();
        self.count.saturating_sub(found as u64)
    }
}

fn first_page(count: Option<u64>) -> u64 {
    count.map_or(FIRST_PAGE, |count| count.min(FIRST_PAGE))
}

fn claim(
    to: &mut PackedCommands,
    [stream, group, consumer]: [&str; 3],
    min_idle_ms: u64,
    start: &str,
    count: u64,
) {
    commands::claim(to, stream, group, consumer, min_idle_ms, start, count);
}
