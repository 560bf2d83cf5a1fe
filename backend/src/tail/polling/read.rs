//! The reads of a polling tail: its start, and the entries after its position.

use streamgate_protocol::message::Subscription;
use streamgate_protocol::{
    CacheError, CacheResult, Entry, EntryId, GapReason, StreamingBackend, TailFrom,
};

use crate::tail::gap::Discontinuity;

/// The outcome of a read.
pub(super) enum ReadOutcome {
    /// The position from which the tail starts.
    Start(EntryId),
    Entries(Vec<Entry>),
    Gap(Discontinuity),
    /// There is no entry yet.
    Nothing,
}

/// Returns the position from which a tail starts.
pub(super) async fn resolve_start<B: StreamingBackend + ?Sized>(
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
        latest
            .last()
            .map(|(oldest, _)| parse_id(oldest))
            .transpose()
    };
    let start = match from {
        TailFrom::Beginning => None,
        TailFrom::Now | TailFrom::Last(0) => oldest_of_last(1).await?,
        TailFrom::Last(count) => oldest_of_last(count).await?.map(before),
        TailFrom::After(after) => Some(EntryId::parse(&after)?),
        _ => return Err(CacheError::unsupported("this start of a tail")),
    };
    Ok(start.unwrap_or_default())
}

/// Reads the entries after `position`, or finds a gap there.
pub(super) async fn read_after<B: StreamingBackend + ?Sized>(
    backend: &B,
    stream: &str,
    position: EntryId,
    count: usize,
) -> CacheResult<ReadOutcome> {
    // Also reads the entry at the position: if it is there, nothing after it was trimmed.
    let start = before(position).to_string();
    let mut page = backend.stream_read(stream, &start, count + 1, None).await?;
    let Some(first) = page.first().map(|(first, _)| parse_id(first)).transpose()? else {
        return Ok(ReadOutcome::Nothing);
    };
    if first == position {
        page.remove(0);
    } else if position.successor() != Some(first) && position != EntryId::ZERO {
        let oldest = backend.stream_read(stream, "0-0", 1, None).await?;
        if let Some((oldest, _)) = oldest.first()
            && let oldest = parse_id(oldest)?
            && oldest > position
        {
            let gap = Discontinuity::new(Some(oldest), oldest, GapReason::Trimmed);
            return Ok(ReadOutcome::Gap(gap));
        }
    }
    page.truncate(count);
    Ok(match page.is_empty() {
        true => ReadOutcome::Nothing,
        false => ReadOutcome::Entries(page.into_iter().map(Entry::from).collect()),
    })
}

/// Returns the id before this one, or `0-0`.
fn before(id: EntryId) -> EntryId {
    id.predecessor().unwrap_or_default()
}

/// Parses an id that the backend returned.
pub(super) fn parse_id(text: &str) -> CacheResult<EntryId> {
    text.parse().map_err(|_| {
        let why = format!("the backend returned {text:?}, which is not an entry id");
        CacheError::InternalError(why)
    })
}
