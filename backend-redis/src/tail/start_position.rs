//! Where a tail starts that is not told an id.

use std::sync::Arc;

use redis::Value;
use streamgate_protocol::CacheResult;
use streamgate_protocol::error::code;

use crate::connection::command_connection::CommandConnection;
use crate::tail::PageReader;
use crate::tail::cursor::TailCursor;
use crate::wire::packing::PackedCommands;
use crate::wire::{answers, commands};
use streamgate_backend::tail::page_size::PageSize;
use streamgate_protocol::EntryId;

/// Where a tail starts.
pub(super) enum StartPosition {
    At(TailCursor),
    /// With the first entry behind an id, whatever is missing there.
    After(EntryId, PageSize),
}

/// A page that was read backwards.
struct ReversePage {
    entries: u64,
    /// Of their texts.
    bytes: u64,
    oldest: Option<EntryId>,
    /// Entries that the stream has.
    all: u64,
}

/// Behind the last id that the stream gave.
pub(super) async fn now(commands: &CommandConnection, stream: &str) -> CacheResult<StartPosition> {
    let mut packed = PackedCommands::default();
    commands::info(&mut packed, stream);
    let cursor = match answers::stream_info(one(ask(commands, packed).await?)) {
        Ok(facts) => TailCursor::new(facts.last_generated, Some(facts.added)),
        // There is no such stream.
        Err(error) if error.code() == code::ERR => TailCursor::new(EntryId::ZERO, Some(0)),
        Err(error) => return Err(error),
    };
    Ok(StartPosition::At(cursor))
}

/// Before the last `count` entries, of which only the ids are kept: some may be trimmed until they
/// are read.
pub(super) async fn last(
    commands: &CommandConnection,
    pages: &PageReader,
    stream: &Arc<str>,
    count: u64,
) -> CacheResult<StartPosition> {
    let mut left = count;
    let mut page_size = PageSize::new();
    let mut page = page_size.count().min(left);
    let read = |end, page| back(commands.clone(), Arc::clone(stream), end, page);
    // The first page takes no turn: it has to be queued before this yields.
    let mut found = read(EntryId::MAX, page).await?;
    loop {
        page_size.observe_totals(found.entries, found.bytes);
        let before = found.oldest.and_then(EntryId::predecessor);
        let Some(before) = before.filter(|_| found.entries >= page && found.all > count) else {
            // With the oldest entry there is. Also when so many are there that reading backwards
            // would be the same as reading all.
            return Ok(StartPosition::After(EntryId::ZERO, page_size));
        };
        left = left.saturating_sub(found.entries);
        if left == 0 {
            return Ok(StartPosition::After(before, page_size));
        }
        page = page_size.count().min(left);
        found = pages.turn(read(before, page)).await?;
    }
}

/// Reads a page backwards.
async fn back(
    commands: CommandConnection,
    stream: Arc<str>,
    end: EntryId,
    page: u64,
) -> CacheResult<ReversePage> {
    let mut packed = PackedCommands::default();
    commands::range_back_from(&mut packed, &stream, end, page);
    commands::length(&mut packed, &stream);
    let mut values = ask(&commands, packed).await?.into_iter();
    // An answer that is missing is one of unknown shape.
    let mut next = || values.next().unwrap_or(Value::Boolean(false));
    let rows = answers::rows(next())?;
    Ok(ReversePage {
        entries: rows.len() as u64,
        bytes: rows.iter().map(answers::bytes_of).sum(),
        oldest: rows.last().map(answers::id_of).transpose()?,
        all: answers::number(next())?,
    })
}

fn one(values: Vec<Value>) -> Value {
    // An answer that is missing is one of unknown shape.
    values.into_iter().next().unwrap_or(Value::Boolean(false))
}

/// Sends commands that only read.
pub(super) async fn ask(
    commands: &CommandConnection,
    packed: PackedCommands,
) -> CacheResult<Vec<Value>> {
    let values = commands.send(packed).await;
    values.map_err(|failure| failure.to_cache_error(true))
}
