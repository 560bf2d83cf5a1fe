//! Large answers: pages that are bounded in bytes, on a connection of their own.
//!
//! After its first page, a read that goes on reserves the bytes that it may return, first come, first
//! served. A read whose answer fits into one page never waits for that. Only a few pages are requested at
//! once: Redis runs all commands that a connection has sent before it turns to another one.
//!
//! A read is a task of its own. A reservation that belonged to a future that nobody polls would be
//! kept from all other reads. Dropping the future aborts the task.

use std::sync::Arc;
use std::vec;

use futures_util::FutureExt;
use redis::Value;
use streamgate_backend::entry_memory::held_bytes;
use streamgate_backend::memory_budget::{MemoryBudget, MemoryKind, Reservation};
use streamgate_protocol::limits::MAX_REPLY_BYTES;
use streamgate_protocol::{CacheResult, Entry, EntryId, Reply};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use crate::connection::page_connection::PageConnection;
use crate::operation::entry_sizes::{EntrySizes, PAGE_BYTES, SizePlace, size_of};
use crate::wire::answers::BoundedPage;
use crate::wire::packing::PackedCommands;
use crate::wire::scripts::script_access::ScriptAccess;
use crate::wire::scripts::{self, Direction, MAX_SCRIPT_ENTRIES};
use crate::wire::{answers, commands, errors};

/// Pages that are requested at once. An entry of several pages counts as several.
const MAX_PAGES: u32 = 4;

/// Largest entry after which a script reads the next page: one of this size takes Redis a tenth of a
/// millisecond.
const SCRIPT_BYTES: u64 = 64 * 1024;

/// Bytes that a read without a limit reserves: its caller bounds it.
const USUAL_MAX_BYTES: u64 = MAX_REPLY_BYTES as u64;

/// Runs reads of several pages. Clones share the bounds.
#[derive(Clone)]
pub(crate) struct BulkReader {
    connection: PageConnection,
    runtime: Handle,
    memory: MemoryBudget,
    pages: Arc<Semaphore>,
    scripts: ScriptAccess,
    sizes: Arc<EntrySizes>,
}

/// A page of entries, and whether there may be more that fit.
pub(super) struct Page {
    pub(super) entries: Vec<Entry>,
    pub(super) has_more: bool,
}

impl BulkReader {
    /// Returns a reader whose tasks run on the current runtime.
    pub(crate) fn new(
        connection: PageConnection,
        memory: MemoryBudget,
        scripts: ScriptAccess,
        sizes: Arc<EntrySizes>,
    ) -> Self {
        Self {
            connection,
            runtime: Handle::current(),
            memory,
            pages: Arc::new(Semaphore::new(MAX_PAGES as usize)),
            scripts,
            sizes,
        }
    }

    /// Returns the runtime of the tasks.
    pub(super) const fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Returns whether Redis runs scripts.
    pub(super) const fn scripts(&self) -> &ScriptAccess {
        &self.scripts
    }

    /// Runs a read in a task. What it reserved is given back when its reply is taken.
    pub(super) async fn run(
        &self,
        read: impl Future<Output = CacheResult<(Reply, Option<Reservation>)>> + Send + 'static,
    ) -> CacheResult<Reply> {
        let task = self.runtime.spawn(async move {
            let (reply, mut reservation) = read.await?;
            if let (Reply::Entries { entries, .. }, Some(reservation)) = (&reply, &mut reservation)
            {
                reservation.set(entries.iter().map(held_bytes).sum());
            }
            CacheResult::Ok((reply, reservation))
        });
        // The task is lost only if its runtime ends.
        let done = AbortOnDropHandle::new(task).await;
        let (reply, _reservation) = done.map_err(|_| errors::hub_ended())??;
        Ok(reply)
    }

    /// Reserves room for a reply of `max_bytes`. If the read has to wait for it, `shed` first drops
    /// what the read has loaded.
    pub(super) async fn reserve(
        &self,
        max_bytes: u64,
        shed: impl FnOnce(),
    ) -> CacheResult<Reservation> {
        let max_bytes = max_bytes.min(USUAL_MAX_BYTES) as usize;
        // A small budget serves one such read at a time.
        let room = max_bytes.min(self.memory.max_bytes() / 2);
        if let Some(reserved) = self
            .memory
            .reserve(MemoryKind::Replies, room)
            .now_or_never()
        {
            return reserved;
        }
        shed();
        self.memory.reserve(MemoryKind::Replies, room).await
    }

    /// Reads the next page from an id on, exclusive: up to `count` entries, and `max_bytes` of
    /// them. If `allow_larger_first`, at least one.
    ///
    /// `latest_bytes` is the size of the entry before, or 0. After a large one a command reads the
    /// page: a script takes several times as long, because Redis copies large entries for it and
    /// hashes every byte.
    pub(super) async fn page(
        &self,
        (stream, place): (&[u8], SizePlace),
        (direction, from): (Direction, Option<EntryId>),
        (count, max_bytes): (u64, u64),
        allow_larger_first: bool,
        latest_bytes: u64,
    ) -> CacheResult<Page> {
        // Redis refuses a range that would begin after the greatest id there is.
        if direction == Direction::Forwards && from == Some(EntryId::MAX) {
            return Ok(Page::END);
        }
        let count = count.min(MAX_SCRIPT_ENTRIES);
        let mut packed = PackedCommands::default();
        let expects_large = latest_bytes > SCRIPT_BYTES;
        if self.scripts.is_allowed() && !expects_large {
            let bounds = (count, max_bytes);
            let position = (direction, from);
            scripts::bounded_read(&mut packed, stream, position, bounds, allow_larger_first);
            match self.send_script(packed).await.and_then(answers::page) {
                Err(error) if self.scripts.record(&error) => packed = PackedCommands::default(),
                page => {
                    let BoundedPage {
                        entries, has_more, ..
                    } = page?;
                    self.sizes.observe_entries(place, &entries);
                    return Ok(Page { entries, has_more });
                }
            }
        }
        let page = if expects_large {
            PAGE_BYTES / latest_bytes
        } else {
            self.sizes.page(place)
        };
        let count = count.min(page.max(1));
        match direction {
            Direction::Forwards => {
                commands::read_after(&mut packed, stream, from.unwrap_or_default(), count);
            }
            Direction::Backwards => {
                let from = match from {
                    Some(from) => from.predecessor(),
                    None => Some(EntryId::MAX),
                };
                let Some(from) = from else {
                    return Ok(Page::END);
                };
                commands::range_back_from(&mut packed, stream, from, count);
            }
        }
        // A script may have found an entry too large, and has not told how large it is.
        let is_unknown = latest_bytes > PAGE_BYTES && !self.sizes.is_large(place);
        let pages = if is_unknown {
            MAX_PAGES
        } else {
            self.sizes.pages(place)
        };
        let mut values = self.send_page(packed, pages).await?;
        let answer = answers::next_value(&mut values);
        let mut entries = match direction {
            Direction::Forwards => answers::stream(answer)?,
            Direction::Backwards => answers::entries(answer)?,
        };
        self.sizes.observe_entries(place, &entries);
        let fitting = fitting(&entries, max_bytes, allow_larger_first);
        let has_more = fitting == entries.len() && entries.len() as u64 >= count;
        entries.truncate(fitting);
        Ok(Page { entries, has_more })
    }

    /// Reads the first of the entries with these ids, at least one.
    pub(super) async fn entries_of(
        &self,
        (stream, place): (&[u8], SizePlace),
        ids: &[String],
        max_bytes: u64,
    ) -> CacheResult<Vec<Entry>> {
        let max_bytes = max_bytes.min(PAGE_BYTES);
        let ids = &ids[..ids.len().min(MAX_SCRIPT_ENTRIES as usize)];
        if self.scripts.is_allowed() {
            let mut packed = PackedCommands::default();
            scripts::bounded_entries(&mut packed, stream, ids, max_bytes);
            match self.send_script(packed).await.and_then(answers::entries) {
                Err(error) if self.scripts.record(&error) => {}
                found => {
                    let found = found?;
                    self.sizes.observe_entries(place, &found);
                    return Ok(found);
                }
            }
        }
        let count = self.sizes.page(place).max(1);
        let ids = &ids[..ids.len().min(usize::try_from(count).unwrap_or(usize::MAX))];
        let mut packed = PackedCommands::default();
        for id in ids {
            commands::range_of_one(&mut packed, stream, id);
        }
        let mut values = self.send_page(packed, self.sizes.pages(place)).await?;
        let mut entries = Vec::with_capacity(ids.len());
        for id in ids {
            let found = answers::entries(answers::next_value(&mut values))?;
            let found = found.into_iter().next();
            entries.push(found.unwrap_or_else(|| Entry::deleted(id.clone())));
        }
        self.sizes.observe_entries(place, &entries);
        Ok(entries)
    }

    /// Sends commands that change nothing and have a small answer, and returns it.
    pub(super) async fn send(&self, packed: PackedCommands) -> CacheResult<vec::IntoIter<Value>> {
        self.send_page(packed, 1).await
    }

    /// Does the same, with answers that together may be as large as this number of pages.
    async fn send_page(
        &self,
        packed: PackedCommands,
        pages: u32,
    ) -> CacheResult<vec::IntoIter<Value>> {
        // Nobody closes the semaphore.
        let _pages = self
            .pages
            .acquire_many(pages.min(MAX_PAGES))
            .await
            .map_err(|_| errors::hub_ended())?;
        let answers = self.connection.send_if_available(packed).await;
        let answers = answers.map_err(|error| error.to_cache_error(true))?;
        Ok(answers.into_iter())
    }

    /// Runs a script that reads a page, alone: it takes Redis up to three milliseconds.
    async fn send_script(&self, packed: PackedCommands) -> CacheResult<Value> {
        let mut values = self.send_page(packed, MAX_PAGES).await?;
        Ok(answers::next_value(&mut values))
    }
}

impl Page {
    const END: Self = Self {
        entries: Vec::new(),
        has_more: false,
    };
}

/// Returns how many of the entries have no more than `max_bytes`, as the script does: at least one if
/// `allow_larger_first`.
fn fitting(entries: &[Entry], max_bytes: u64, allow_larger_first: bool) -> usize {
    let mut bytes = 0;
    let fits = |(index, entry): &(usize, &Entry)| {
        bytes += size_of(entry);
        bytes <= max_bytes || (*index == 0 && allow_larger_first)
    };
    entries.iter().enumerate().take_while(fits).count()
}
