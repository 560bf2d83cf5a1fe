//! Reads a consumer's pending entries without counting a delivery.
//!
//! `XREADGROUP` after an id would count a delivery of each entry and reset its idle time. So
//! `XPENDING` lists the ids, in pages of [`IDS_PER_PAGE`], and one `XRANGE` reads each entry. The
//! reads share pipelines of a bounded size. The list is in the operation's own pipeline; a read of
//! what it finds continues after the other operations.
//!
//! An entry that was deleted comes without fields. One that another consumer claims between the
//! list and its read comes all the same, as if it had been read before the claim.

use std::collections::HashSet;
use std::vec;

use redis::Value;
use streamgate_backend::tail::page_size::PageSize;
use streamgate_protocol::limits::MAX_REPLY_BYTES;
use streamgate_protocol::message::entry_bytes;
use streamgate_protocol::{ByteString, CacheResult, Entry, EntryId, Reply};

use crate::connection::command_connection::CommandConnection;
use crate::operation::outcome::Step;
use crate::wire::packing::PackedCommands;
use crate::wire::{answers, commands};

/// Most ids that one `XPENDING` lists: Redis does nothing else meanwhile, for less than a
/// millisecond.
const IDS_PER_PAGE: u64 = 1_000;

/// Bytes of entries after which a read ends, although more are pending: half of the largest reply,
/// so that it fits in either encoding.
const MAX_BYTES: u64 = MAX_REPLY_BYTES as u64 / 2;

/// A read under way.
pub(super) struct PendingRead {
    stream: ByteString,
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
    page_size: PageSize,
}

impl PendingRead {
    /// Creates a read of up to `count` entries after an id, without those of `except`. A count of 0
    /// sets no limit.
    pub(super) fn new(
        [stream, group, consumer]: [&[u8]; 3],
        after: EntryId,
        count: u64,
        except: HashSet<EntryId>,
    ) -> Self {
        Self {
            stream: stream.into(),
            group: group.into(),
            consumer: consumer.into(),
            after,
            count: (count > 0).then_some(count),
            except,
            is_full: false,
            listed: Vec::new().into_iter(),
            entries: Vec::new(),
            bytes: 0,
            page_size: PageSize::new(),
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
            Ok(()) if self.listed.len() == 0 && !self.is_full => Step::Done(Ok(self.reply())),
            Ok(()) => Step::More(self),
            Err(error) => Step::Done(Err(error)),
        }
    }

    /// Reads the entries that were listed, then lists and reads further ones.
    pub(super) async fn finish(mut self, commands: CommandConnection) -> CacheResult<Reply> {
        loop {
            while self.listed.len() > 0 && self.bytes < MAX_BYTES {
                self.read_page(&commands).await?;
            }
            let is_done = !self.is_full || self.listed.len() > 0 || self.ids_to_list() == 0;
            if is_done || self.bytes >= MAX_BYTES {
                return Ok(self.reply());
            }
            let mut packed = PackedCommands::default();
            self.encode(&mut packed);
            let mut values = send(&commands, packed).await?;
            self.list(answers::next_value(&mut values))?;
        }
    }

    async fn read_page(&mut self, commands: &CommandConnection) -> CacheResult<()> {
        let count = usize::try_from(self.page_size.count()).unwrap_or(usize::MAX);
        let ids: Vec<_> = self.listed.by_ref().take(count).collect();
        let mut packed = PackedCommands::default();
        for id in &ids {
            commands::range_of_one(&mut packed, &self.stream, id);
        }
        let mut values = send(commands, packed).await?;
        let first = self.entries.len();
        for id in ids {
            let found = answers::entries(answers::next_value(&mut values))?;
            let found = found.into_iter().next();
            self.entries
                .push(found.unwrap_or_else(|| Entry::deleted(id)));
        }
        let page = &self.entries[first..];
        self.page_size.observe(page);
        self.bytes += page.iter().map(entry_bytes).sum::<u64>();
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

    fn reply(self) -> Reply {
        Reply::entries(self.entries)
    }
}

async fn send(
    commands: &CommandConnection,
    packed: PackedCommands,
) -> CacheResult<vec::IntoIter<Value>> {
    let answers = commands.send(packed).await;
    let answers = answers.map_err(|error| error.to_cache_error(true))?;
    Ok(answers.into_iter())
}
