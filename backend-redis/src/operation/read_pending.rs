//! Reads a consumer's pending entries without counting a delivery.
//!
//! `XREADGROUP` after an id would count a delivery of each entry and reset its idle time. So
//! `XPENDING` lists the ids, in pages of [`IDS_PER_PAGE`], and `XRANGE` reads each entry, in pages
//! of bounded bytes. The first list is in the operation's own pipeline; a read of what it finds
//! continues after the other operations, on the connection for bulk reads.
//!
//! An entry that was deleted comes without fields. One that another consumer claims between the
//! list and its read comes all the same, as if it had been read before the claim.

use std::collections::HashSet;
use std::vec;

use redis::Value;
use streamgate_protocol::limits::MAX_REPLY_BYTES;
use streamgate_protocol::{ByteString, CacheResult, Entry, EntryId, Reply};

use crate::operation::bulk_reader::BulkReader;
use crate::operation::entry_sizes::{PAGE_BYTES, SizePlace, size_of};
use crate::operation::outcome::Step;
use crate::wire::packing::PackedCommands;
use crate::wire::{answers, commands, errors};

/// Most ids that one `XPENDING` lists: Redis does nothing else meanwhile, for less than a
/// millisecond.
pub(super) const IDS_PER_PAGE: u64 = 1_000;

/// Most bytes of entries of a read: half of the largest reply, so that it fits in either encoding.
const MAX_BYTES: u64 = MAX_REPLY_BYTES as u64 / 2;

/// A read under way.
pub(super) struct PendingRead {
    stream: ByteString,
    place: SizePlace,
    group: ByteString,
    consumer: ByteString,
    /// The id after which the next page of ids begins.
    after: EntryId,
    /// Most entries to find; `None` sets no limit.
    count: Option<u64>,
    /// Entries to leave out.
    except: HashSet<EntryId>,
    /// Whether the last list was full, so that more ids may follow.
    is_full: bool,
    /// Listed ids whose entries were not read yet.
    listed: vec::IntoIter<String>,
    entries: Vec<Entry>,
    bytes: u64,
    /// Bytes of entries after which the read ends, although more are pending.
    max_bytes: u64,
}

impl PendingRead {
    /// Creates a read of up to `count` entries after an id, without those of `except`. A count of 0
    /// sets no limit.
    pub(super) fn new(
        ([stream, group, consumer], place): ([&[u8]; 3], SizePlace),
        after: EntryId,
        count: u64,
        max_bytes: u64,
        except: HashSet<EntryId>,
    ) -> Self {
        Self {
            stream: stream.into(),
            place,
            group: group.into(),
            consumer: consumer.into(),
            after,
            count: (count > 0).then_some(count),
            except,
            is_full: false,
            listed: Vec::new().into_iter(),
            entries: Vec::new(),
            bytes: 0,
            max_bytes: max_bytes.min(MAX_BYTES),
        }
    }

    /// Encodes the command that lists the next ids.
    pub(super) fn encode(&self, to: &mut PackedCommands) {
        let next = self.after.successor().map(String::from);
        // Nothing is after the greatest id. A range that ends before it starts is empty.
        let ends = next.as_ref().map_or(["+", "-"], |next| [next, "+"]);
        let (stream, group, ids) = (&self.stream, &self.group, self.ids_to_list());
        let consumer = Some(&*self.consumer);
        commands::pending(to, stream, group, ends, ids, consumer, None);
    }

    /// Takes the answer of the list.
    pub(super) fn take_list(mut self, value: Value) -> Step<Self> {
        match self.list(value) {
            Ok(()) if self.listed.len() == 0 && !self.is_full => Step::Done(Ok(self.reply(false))),
            Ok(()) => Step::More(self),
            Err(error) => Step::Done(Err(error)),
        }
    }

    /// Reads the entries that were listed, then lists and reads further ones.
    pub(super) async fn finish(mut self, bulk: BulkReader) -> CacheResult<Reply> {
        let pages = bulk.clone();
        let reading = async move {
            let mut reservation = None;
            loop {
                let is_full = self.bytes >= self.max_bytes;
                let has_listed = !self.listed.as_slice().is_empty();
                if is_full || (!has_listed && (!self.is_full || self.ids_to_list() == 0)) {
                    let more = has_listed || (self.is_full && self.ids_to_list() > 0);
                    return Ok((self.reply(more), reservation));
                }
                if reservation.is_none() && !self.entries.is_empty() {
                    let max_bytes = self.max_bytes;
                    reservation = Some(pages.reserve(max_bytes, || self.shed()).await?);
                }
                // What was shed is listed again.
                if !self.listed.as_slice().is_empty() {
                    self.read_page(&pages).await?;
                } else {
                    let mut packed = PackedCommands::default();
                    self.encode(&mut packed);
                    let mut values = pages.send(packed).await?;
                    self.list(answers::next_value(&mut values))?;
                }
            }
        };
        bulk.run(reading).await
    }

    /// Drops a large first page, which is read again.
    fn shed(&mut self) {
        if self.bytes > PAGE_BYTES {
            let read = self.entries.drain(..).map(|entry| entry.id);
            let listed: Vec<_> = read.chain(self.listed.by_ref()).collect();
            self.listed = listed.into_iter();
            self.bytes = 0;
        }
    }

    async fn read_page(&mut self, bulk: &BulkReader) -> CacheResult<()> {
        let room = self.max_bytes.saturating_sub(self.bytes);
        let stream = (&*self.stream, self.place);
        let page = bulk
            .entries_of(stream, self.listed.as_slice(), room)
            .await?;
        if page.is_empty() {
            return Err(errors::unexpected("an entry for each id"));
        }
        self.listed.by_ref().take(page.len()).for_each(drop);
        self.bytes += page.iter().map(size_of).sum::<u64>();
        self.entries.extend(page);
        Ok(())
    }

    fn list(&mut self, value: Value) -> CacheResult<()> {
        let requested = self.ids_to_list();
        let pending = answers::pending(value)?;
        self.is_full = pending.len() as u64 >= requested;
        if let Some(last) = pending.last() {
            self.after = answers::parse_id(&last.id)?;
        }
        let mut ids = Vec::with_capacity(pending.len());
        for entry in pending {
            if !self.except.contains(&answers::parse_id(&entry.id)?) {
                ids.push(entry.id);
            }
        }
        ids.truncate(usize::try_from(self.missing()).unwrap_or(usize::MAX));
        self.listed = ids.into_iter();
        Ok(())
    }

    /// Returns how many ids the next list has at most: also those that are left out.
    fn ids_to_list(&self) -> u64 {
        match self.missing() {
            0 => 0,
            missing => missing
                .saturating_add(self.except.len() as u64)
                .min(IDS_PER_PAGE),
        }
    }

    /// Returns how many entries there is room for in the reply.
    fn missing(&self) -> u64 {
        let found = self.entries.len() as u64;
        let count = self.count.unwrap_or(u64::MAX);
        count.saturating_sub(found)
    }

    /// `more`: whether further entries may be pending that did not fit.
    fn reply(self, more: bool) -> Reply {
        Reply::Entries {
            entries: self.entries,
            last_id: None,
            more,
        }
    }
}
