//! Finds where a tail starts if its owner names no id: at the end of the stream, or before its
//! last N entries.

use std::sync::Arc;

use streamgate_backend::tail::page_size::PageSize;
use streamgate_protocol::error::code;
use streamgate_protocol::{CacheResult, EntryId};

use crate::connection::command_connection::CommandConnection;
use crate::tail::cursor::TailCursor;
use crate::tail::page_reader::{PageReader, send_read_only};
use crate::wire::packing::PackedCommands;
use crate::wire::{answers, commands};

/// Where a tail starts.
pub(super) enum StartPosition {
    At(TailCursor),
    /// At the first entry after an id, whether or not entries were trimmed between the two.
    After(EntryId, PageSize),
}

/// What a page tells that was read backwards.
struct ReversePage {
    entries: u64,
    /// Bytes of the entries' texts.
    bytes: u64,
    oldest: Option<EntryId>,
    stream_length: u64,
}

/// Returns the position after the stream's last generated id.
pub(super) async fn now(commands: &CommandConnection, stream: &str) -> CacheResult<StartPosition> {
    let mut packed = PackedCommands::default();
    commands::info(&mut packed, stream);
    let mut values = send_read_only(commands, packed).await?.into_iter();
    let cursor = match answers::stream_info(answers::next_value(&mut values)) {
        Ok(info) => TailCursor::new(info.last_generated, Some(info.added)),
        // The stream does not exist.
        Err(error) if error.code() == code::ERR => TailCursor::new(EntryId::ZERO, Some(0)),
        Err(error) => return Err(error),
    };
    Ok(StartPosition::At(cursor))
}

/// Returns the position before the last `count` entries.
///
/// Reads backwards and keeps the ids only: the entries may be trimmed before the tail reads them.
pub(super) async fn before_last(
    commands: &CommandConnection,
    pages: &PageReader,
    stream: &Arc<str>,
    count: u64,
) -> CacheResult<StartPosition> {
    let mut left = count;
    let mut page_size = PageSize::new();
    let mut requested = page_size.count().min(left);
    let read =
        |end, requested| read_backwards(commands.clone(), Arc::clone(stream), end, requested);
    // The first page needs no permit: its commands have to be queued before this future yields.
    let mut page = read(EntryId::MAX, requested).await?;
    loop {
        page_size.observe_totals(page.entries, page.bytes);
        let before = page.oldest.and_then(EntryId::predecessor);
        let is_longer = page.entries >= requested && page.stream_length > count;
        let Some(before) = before.filter(|_| is_longer) else {
            // The tail starts with the oldest entry. If the stream has no more than `count`
            // entries, reading on backwards would read all of them.
            return Ok(StartPosition::After(EntryId::ZERO, page_size));
        };
        left = left.saturating_sub(page.entries);
        if left == 0 {
            return Ok(StartPosition::After(before, page_size));
        }
        requested = page_size.count().min(left);
        page = pages.spawn(read(before, requested)).await?;
    }
}

async fn read_backwards(
    commands: CommandConnection,
    stream: Arc<str>,
    end: EntryId,
    count: u64,
) -> CacheResult<ReversePage> {
    let mut packed = PackedCommands::default();
    commands::range_back_from(&mut packed, &stream, end, count);
    commands::length(&mut packed, &stream);
    let mut values = send_read_only(&commands, packed).await?.into_iter();
    let rows = answers::rows(answers::next_value(&mut values))?;
    Ok(ReversePage {
        entries: rows.len() as u64,
        bytes: rows.iter().map(answers::bytes_of).sum(),
        oldest: rows.last().map(answers::id_of).transpose()?,
        stream_length: answers::number(answers::next_value(&mut values))?,
    })
}
