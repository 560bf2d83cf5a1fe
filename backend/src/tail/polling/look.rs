//! Where a tail starts, and what is behind it now.

use streamgate_protocol::message::Subscription;
use streamgate_protocol::{CacheError, CacheResult, StreamEntry, StreamingBackend, TailFrom};

use crate::tail::gap::Discontinuity;
use streamgate_protocol::EntryId;

/// What came of reading.
pub(super) enum Read {
    /// Where it starts.
    Start(EntryId),
    Entries(Vec<StreamEntry>),
    Gap(Discontinuity),
    /// There is nothing yet.
    Nothing,
}

/// Where a tail starts.
pub(super) async fn start<B: StreamingBackend + ?Sized>(
    backend: &B,
    stream: &str,
    from: TailFrom,
) -> CacheResult<EntryId> {
    Subscription::Tail {
        stream: stream.into(),
        from: from.clone().into(),
    }
    .validate()?;
    let oldest_of_last = async |count| {
        let latest = backend.stream_read_latest(stream, count).await?;
        latest.last().map(|(oldest, _)| id(oldest)).transpose()
    };
    let start = match from {
        TailFrom::Beginning => None,
        TailFrom::Now | TailFrom::Last(0) => oldest_of_last(1).await?,
        TailFrom::Last(count) => oldest_of_last(count).await?.map(before),
        TailFrom::After(after) => Some(EntryId::parse(&after)?),
    };
    Ok(start.unwrap_or_default())
}

/// What is behind `position` now.
pub(super) async fn look<B: StreamingBackend + ?Sized>(
    backend: &B,
    stream: &str,
    position: EntryId,
    count: usize,
) -> CacheResult<Read> {
    // With the entry at the position itself: if it is there, nothing behind it was trimmed.
    let start = before(position).to_string();
    let mut page = backend.stream_read(stream, &start, count + 1, None).await?;
    let Some(first) = page.first().map(|(first, _)| id(first)).transpose()? else {
        return Ok(Read::Nothing);
    };
    if first == position {
        page.remove(0);
    } else if position.successor() != Some(first) && position != EntryId::ZERO {
        let oldest = backend.stream_read(stream, "0-0", 1, None).await?;
        if let Some((oldest, _)) = oldest.first()
            && let oldest = id(oldest)?
            && oldest > position
        {
            return Ok(Read::Gap(Discontinuity::new(Some(oldest), oldest, false)));
        }
    }
    page.truncate(count);
    Ok(match page.is_empty() {
        true => Read::Nothing,
        false => Read::Entries(page),
    })
}

/// The id right before; 0-0 before 0-0.
fn before(id: EntryId) -> EntryId {
    id.predecessor().unwrap_or_default()
}

/// Reads an id that the backend gave.
pub(super) fn id(text: &str) -> CacheResult<EntryId> {
    EntryId::parse(text)
        .map_err(|_| CacheError::InternalError(format!("the backend gave {text:?} as an id")))
}
