//! Faults of the six operations.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use streamgate_protocol::error::code;
use streamgate_protocol::{CacheError, CacheResult, StreamEntry, StreamingBackend};

use crate::{Broken, Fault};

impl StreamingBackend for Broken {
    fn stream_add<'a>(
        &'a self,
        stream_key: &'a str,
        mut fields: Vec<(String, String)>,
        mut maxlen: Option<usize>,
    ) -> BoxFuture<'a, CacheResult<String>> {
        Box::pin(async move {
            let mut key = stream_key;
            match self.fault {
                Fault::AddDropsRepeatedNames => {
                    let mut seen = std::collections::HashSet::new();
                    fields.retain(|(name, _)| seen.insert(name.clone()));
                }
                Fault::AddSortsFields => fields.sort(),
                Fault::AddAcceptsNoFields if fields.is_empty() => {
                    fields.push((String::new(), String::new()));
                }
                Fault::AddTruncatesAtNul => {
                    for (_, value) in &mut fields {
                        if let Some(end) = value.find('\0') {
                            value.truncate(end);
                        }
                    }
                }
                Fault::AddIgnoresMaxlen => maxlen = None,
                Fault::AddTrimsBelowMaxlen if maxlen == Some(100) => {
                    let start = "0".to_owned();
                    let existing = self.inner.stream_read(key, &start, 0, None).await?;
                    if existing.len() >= 50 {
                        maxlen = Some(0);
                    }
                }
                Fault::AddAcceptsOverlongKeys => key = short(stream_key),
                Fault::AddsAreReordered
                    if self.added.fetch_add(1, Ordering::Relaxed).is_multiple_of(7) =>
                {
                    // Adds that were sent later are executed first.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                Fault::WaitsBlockAdds | Fault::TailsBlockAdds => {
                    drop(self.waiting.write().await);
                }
                _ => {}
            }
            self.inner.stream_add(key, fields, maxlen).await
        })
    }

    fn stream_read_latest<'a>(
        &'a self,
        stream_key: &'a str,
        count: usize,
    ) -> BoxFuture<'a, CacheResult<Vec<StreamEntry>>> {
        Box::pin(async move {
            let (key, count) = match self.fault {
                Fault::LatestTreatsCount0AsNoLimit if count == 0 => (stream_key, usize::MAX),
                Fault::LatestAcceptsOverlongKeys => (short(stream_key), count),
                _ => (stream_key, count),
            };
            let mut entries = self.inner.stream_read_latest(key, count).await?;
            match self.fault {
                Fault::LatestReturnsOldestFirst => entries.reverse(),
                Fault::LatestFailsOnMissingKeys if entries.is_empty() && count > 0 => {
                    return Err(CacheError::NotFound);
                }
                _ => {}
            }
            Ok(entries)
        })
    }

    fn stream_read<'a>(
        &'a self,
        stream_key: &'a str,
        last_id: &'a str,
        count: usize,
        block_ms: Option<usize>,
    ) -> BoxFuture<'a, CacheResult<Vec<StreamEntry>>> {
        Box::pin(async move {
            let inner = &self.inner;
            match self.fault {
                Fault::ReadIncludesLastId => {
                    let at = inner.stream_read_latest(stream_key, 1).await?;
                    let mut read = inner.stream_read(stream_key, last_id, count, None).await?;
                    if at.first().is_some_and(|(id, _)| id == last_id) {
                        read.splice(0..0, at);
                    }
                    if !read.is_empty() {
                        return Ok(read);
                    }
                    inner
                        .stream_read(stream_key, last_id, count, block_ms)
                        .await
                }
                Fault::ReadIgnoresCount => {
                    inner.stream_read(stream_key, last_id, 0, block_ms).await
                }
                Fault::ReadTreatsCount0AsNothing if count == 0 => Ok(Vec::new()),
                Fault::ReadAcceptsMalformedIds => {
                    let read = inner
                        .stream_read(stream_key, last_id, count, block_ms)
                        .await;
                    if is_malformed(&read) {
                        return inner.stream_read(stream_key, "0", count, block_ms).await;
                    }
                    read
                }
                Fault::ReadResolvesDollarLate if last_id == "$" => {
                    tokio::task::yield_now().await;
                    inner
                        .stream_read(stream_key, last_id, count, block_ms)
                        .await
                }
                Fault::ReadEndsAfterHalfASecond => {
                    let block = block_ms.map(|ms| if ms == 0 { 500 } else { ms.min(500) });
                    inner.stream_read(stream_key, last_id, count, block).await
                }
                Fault::ReadFailsInsteadOfEndingEmpty => {
                    let read = inner
                        .stream_read(stream_key, last_id, count, block_ms)
                        .await?;
                    if read.is_empty() && block_ms.is_some() {
                        return Err(rejection(code::TIMEOUT));
                    }
                    Ok(read)
                }
                Fault::ReadIgnoresItsTimeout => {
                    let block = block_ms.map(|_| 0);
                    inner.stream_read(stream_key, last_id, count, block).await
                }
                Fault::ReadTreatsBlock0AsNoWait => {
                    let block = block_ms.filter(|ms| *ms > 0);
                    inner.stream_read(stream_key, last_id, count, block).await
                }
                Fault::WaitsBlockAdds if block_ms.is_some() => {
                    let _held = self.waiting.read().await;
                    inner
                        .stream_read(stream_key, last_id, count, block_ms)
                        .await
                }
                _ => {
                    inner
                        .stream_read(stream_key, last_id, count, block_ms)
                        .await
                }
            }
        })
    }

    fn stream_create_group<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        id: &'a str,
    ) -> BoxFuture<'a, CacheResult<()>> {
        Box::pin(async move {
            let inner = &self.inner;
            match self.fault {
                Fault::CreateGroupIgnoresItsId => {
                    inner.stream_create_group(stream_key, group_name, "0").await
                }
                Fault::CreateGroupNeedsTheStream
                    if inner.stream_read_latest(stream_key, 1).await?.is_empty() =>
                {
                    Err(rejection(code::ERR))
                }
                _ => {
                    let created = inner.stream_create_group(stream_key, group_name, id).await;
                    match (self.fault, &created) {
                        (Fault::CreateGroupHidesBusygroup, Err(error))
                            if error.code() == code::BUSYGROUP =>
                        {
                            Ok(())
                        }
                        (Fault::CreateGroupAcceptsMalformedIds, _) if is_malformed(&created) => {
                            inner.stream_create_group(stream_key, group_name, "0").await
                        }
                        _ => created,
                    }
                }
            }
        })
    }

    fn stream_read_group<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        consumer_name: &'a str,
        count: usize,
        block_ms: Option<usize>,
    ) -> BoxFuture<'a, CacheResult<Vec<StreamEntry>>> {
        Box::pin(async move {
            let inner = &self.inner;
            let read = |count, block| {
                inner.stream_read_group(stream_key, group_name, consumer_name, count, block)
            };
            match self.fault {
                Fault::GroupReadDeliversTwice => {
                    let taken = read(count, block_ms).await?;
                    let place = (stream_key.to_owned(), group_name.to_owned());
                    let mut given = self.delivered.lock().await;
                    if taken.is_empty() {
                        return Ok(given.remove(&place).unwrap_or_default());
                    }
                    given.insert(place, taken.clone());
                    Ok(taken)
                }
                Fault::GroupReadAcceptsMissingGroups => {
                    let taken = read(count, block_ms).await;
                    if taken
                        .as_ref()
                        .is_err_and(|error| error.code() == code::NOGROUP)
                    {
                        return Ok(Vec::new());
                    }
                    taken
                }
                Fault::GroupReadReversesTheQueue => {
                    // The first consumer joins the queue last.
                    let existing = read(count, None).await?;
                    if !existing.is_empty() || block_ms.is_none() {
                        return Ok(existing);
                    }
                    if consumer_name == "first" || consumer_name == "consumer0" {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    read(count, block_ms).await
                }
                Fault::GroupReadEndsAfterHalfASecond => {
                    let block = block_ms.map(|ms| if ms == 0 { 500 } else { ms.min(500) });
                    read(count, block).await
                }
                Fault::GroupReadIgnoresCount => read(0, block_ms).await,
                Fault::GroupReadIsNotCancelled => {
                    let (inner, key) = (Arc::clone(inner), stream_key.to_owned());
                    let (group, consumer) = (group_name.to_owned(), consumer_name.to_owned());
                    let mut wait = Box::pin(async move {
                        inner
                            .stream_read_group(&key, &group, &consumer, count, block_ms)
                            .await
                    });
                    // Polled at once, so that nothing else is wrong.
                    match (&mut wait).now_or_never() {
                        Some(taken) => taken,
                        None => tokio::spawn(wait)
                            .await
                            .unwrap_or_else(|_| Err(rejection(code::INTERNAL))),
                    }
                }
                _ => read(count, block_ms).await,
            }
        })
    }

    fn stream_ack<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        ids: &'a [String],
    ) -> BoxFuture<'a, CacheResult<()>> {
        Box::pin(async move {
            match self.fault {
                Fault::AckFailsOnUnknownIds if ids.iter().any(|id| id.starts_with("1-")) => {
                    Err(CacheError::NotFound)
                }
                Fault::AckAcknowledgesNothing => Ok(()),
                Fault::AckFailsWithoutIds if ids.is_empty() => Err(rejection(code::ERR)),
                Fault::AckAcceptsMalformedIds => {
                    let acked = self.inner.stream_ack(stream_key, group_name, ids).await;
                    if is_malformed(&acked) { Ok(()) } else { acked }
                }
                Fault::AckNeedsTheGroup => {
                    // No operation here reports whether a group exists. An empty stream
                    // is enough to fail where the group is missing.
                    let existing = self.inner.stream_read_latest(stream_key, 1).await?;
                    if existing.is_empty() && !ids.is_empty() {
                        return Err(rejection(code::NOGROUP));
                    }
                    self.inner.stream_ack(stream_key, group_name, ids).await
                }
                _ => self.inner.stream_ack(stream_key, group_name, ids).await,
            }
        })
    }
}

fn is_malformed<T: Debug>(result: &CacheResult<T>) -> bool {
    result
        .as_ref()
        .is_err_and(|error| error.code() == code::ERR)
}

fn rejection(code: &str) -> CacheError {
    CacheError::backend(code, "broken on purpose")
}

/// Stands in for a backend without a limit: a short name in place of an overlong one.
pub(crate) fn short(key: &str) -> &str {
    key.char_indices()
        .nth(1_000)
        .map_or(key, |(end, _)| &key[..end])
}
