//! Finds where a tail starts if its owner names no id: at the end of the stream, or before its
//! last N entries.

use std::sync::Arc;

use redis::Value;
use streamgate_backend::tail::page_size::PageSize;
use streamgate_protocol::{CacheResult, EntryId};

use crate::connection::command_connection::CommandConnection;
use crate::tail::cursor::TailCursor;
use crate::tail::page_reader::{PageError, PageReader, PageSharing, send_read_only};
use crate::tail::range::{ByteBound, InfoReply, RangeRequest, decode_info, first_id};
use crate::wire::packing::PackedCommands;
use crate::wire::{answers, commands, scripts};

/// Where a tail starts.
pub(super) enum StartPosition {
    At(Box<TailCursor>),
    /// At the first entry after an id, whether or not entries were trimmed between the two.
    After(EntryId, PageSize),
}

/// What a page tells that was read backwards.
struct ReversePage {
    entries: u64,
    /// Bytes of the entries' texts.
    bytes: u64,
    /// Bytes of the texts of the largest entry, if that is known.
    largest: Option<u64>,
    oldest: Option<EntryId>,
    stream_length: u64,
}

/// Returns the position after the stream's last generated id.
pub(super) async fn now(
    commands: &CommandConnection,
    pages: &PageReader,
    stream: &[u8],
) -> CacheResult<StartPosition> {
    // `XINFO STREAM` returns two whole entries, so its answer may be cut off.
    let read = |bounded| read_info(commands, stream, bounded);
    let info = retry_bounded(pages, stream, read).await?;
    let cursor = match info {
        InfoReply::Info(info) => TailCursor::at_end_of(&info),
        InfoReply::Ends(_, last) => TailCursor::new(last.unwrap_or_default(), Some(0)),
        // The stream does not exist.
        InfoReply::NoStream | InfoReply::NotRequested => TailCursor::new(EntryId::ZERO, Some(0)),
    };
    Ok(StartPosition::At(Box::new(cursor)))
}

/// Reads: with a script, whose answer is small, if the stream has large entries or pages were cut
/// off. Reads once more if this read is cut off, or if Redis refuses the script.
async fn retry_bounded<T, R>(
    pages: &PageReader,
    stream: &[u8],
    read: impl Fn(bool) -> R,
) -> CacheResult<T>
where
    R: Future<Output = Result<T, PageError>>,
{
    let bounded = pages.uses_scripts_for(stream);
    match pages.record(read(bounded).await) {
        Err(PageError::Failed(error)) if !bounded || !pages.is_script_refusal(&error) => Err(error),
        Err(_) => Ok(read(pages.uses_scripts()).await?),
        Ok(read) => Ok(read),
    }
}

/// Reads what a stream reports about itself: with a script, whose answer is small, if `bounded`.
async fn read_info(
    commands: &CommandConnection,
    stream: &[u8],
    bounded: bool,
) -> Result<InfoReply, PageError> {
    let request = RangeRequest {
        position: EntryId::MAX,
        count: 0,
        with_info: true,
        look_up: Vec::new(),
        bound: bounded.then_some(ByteBound {
            bytes: 0,
            allow_larger_first: false,
        }),
        info_is_refused: !commands.has_stream_info(),
    };
    let mut packed = PackedCommands::default();
    if bounded {
        request.encode(&mut packed, stream);
    } else if request.info_is_refused {
        commands::range_back_from(&mut packed, stream, EntryId::MAX, 1);
    } else {
        commands::info(&mut packed, stream);
    }
    let mut values = send_read_only(commands, packed).await?.into_iter();
    if bounded {
        return Ok(request.decode(&mut values)?.info);
    }
    let answer = answers::next_value(&mut values);
    if request.info_is_refused {
        return Ok(InfoReply::Ends(None, first_id(answer)?));
    }
    Ok(decode_info(answer)?)
}

/// Returns the position before the last `count` entries.
///
/// Reads backwards and keeps the ids only: the entries may be trimmed before the tail reads them.
pub(super) async fn before_last(
    commands: &CommandConnection,
    pages: &PageReader,
    stream: &Arc<[u8]>,
    count: u64,
) -> CacheResult<StartPosition> {
    let mut left = count;
    let mut page_size = PageSize::new();
    let place = pages.sizes.place(stream);
    let page_entries = |page_size: PageSize| page_size.count().min(pages.sizes.backlog_page(place));
    let mut requested = page_entries(page_size).min(left);
    // The first page needs no permit: its commands have to be queued before this future yields.
    let read = |bounded| {
        let (commands, stream) = (commands.clone(), Arc::clone(stream));
        read_backwards(commands, stream, EntryId::MAX, requested, bounded)
    };
    let mut page = retry_bounded(pages, stream, read).await?;
    loop {
        page_size.observe_totals(page.entries, page.bytes);
        if let Some(largest) = page.largest {
            pages.sizes.observe(place, largest);
        }
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
        requested = page_entries(page_size).min(left);
        let read = |bounded| {
            let (commands, stream) = (commands.clone(), Arc::clone(stream));
            let reading = read_backwards(commands, stream, before, requested, bounded);
            pages.spawn(PageSharing::Shared, pages.sizes.pages(place), reading)
        };
        page = retry_bounded(pages, stream, read).await?;
    }
}

async fn read_backwards(
    commands: CommandConnection,
    stream: Arc<[u8]>,
    end: EntryId,
    count: u64,
    bounded: bool,
) -> Result<ReversePage, PageError> {
    let mut packed = PackedCommands::default();
    if bounded {
        scripts::bounded_back(&mut packed, &stream, end, count);
        let mut values = send_read_only(&commands, packed).await?.into_iter();
        let [entries, bytes, oldest, length] = answers::four(answers::next_value(&mut values))?;
        return Ok(ReversePage {
            entries: answers::number(entries)?,
            bytes: answers::number(bytes)?,
            largest: None,
            oldest: match oldest {
                Value::Nil => None,
                oldest => Some(answers::id_of(&oldest)?),
            },
            stream_length: answers::number(length)?,
        });
    }
    commands::range_back_from(&mut packed, &stream, end, count);
    commands::length(&mut packed, &stream);
    let mut values = send_read_only(&commands, packed).await?.into_iter();
    let rows = answers::rows(answers::next_value(&mut values))?;
    Ok(ReversePage {
        entries: rows.len() as u64,
        bytes: rows.iter().map(answers::bytes_of).sum(),
        largest: rows.iter().map(answers::bytes_of).max(),
        oldest: rows.last().map(answers::id_of).transpose()?,
        stream_length: answers::number(answers::next_value(&mut values))?,
    })
}
