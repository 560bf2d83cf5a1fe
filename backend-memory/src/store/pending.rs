//! What a group's consumers hold: looking at it, claiming it, handing it over.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use streamgate_protocol::{CacheResult, PendingEntry, PendingSummary, Reply};

use crate::budget::PENDING_BYTES;
use crate::errors;
use crate::group::Group;
use crate::store::{Answer, Engine, Step, no_limit, to_usize};
use crate::stream::{Entry, Stream};
use streamgate_protocol::EntryId;

/// Pending entries that a claim looks at for each that it may give: as many as Redis does.
const CLAIM_LOOKS: usize = 10;

/// Which pending entries are meant.
pub(super) struct Wanted<'a> {
    /// From where on and up to where.
    pub(super) ends: [&'a str; 2],
    pub(super) count: u64,
    pub(super) consumer: Option<&'a str>,
    pub(super) min_idle_ms: u64,
}

impl Engine {
    pub(super) fn read_pending(
        &mut self,
        key: &str,
        [name, consumer]: [&str; 2],
        after: &str,
        count: u64,
        now_ms: u64,
    ) -> CacheResult<Step> {
        let (stream, group) = self.group(key, name)?;
        let after = EntryId::parse(after)?;
        let behind = (Bound::Excluded(after), Bound::Unbounded);
        let held = group.pending.range(behind);
        let held = held.filter(|(_, pending)| *pending.consumer == *consumer);
        let gone = |id| Arc::new(Entry::new(id, Vec::new()));
        let entry = |id| stream.entry(id).cloned().unwrap_or_else(|| gone(id));
        let held = held.take(no_limit(count)).map(|(id, _)| entry(*id));
        let entries: Vec<_> = held.collect();
        self.deliver_again(key, name, consumer, &entries, now_ms)?;
        Ok(Step::Done(Answer::Entries {
            entries,
            asked: None,
        }))
    }

    pub(super) fn pending_summary(&self, key: &str, name: &str) -> CacheResult<Step> {
        let (_, group) = self.group(key, name)?;
        let text = |id: &EntryId| id.to_string();
        let mut consumers = BTreeMap::<&str, u64>::new();
        for pending in group.pending.values() {
            *consumers.entry(&pending.consumer).or_default() += 1;
        }
        let summary = PendingSummary {
            count: group.pending.len() as u64,
            smallest: group.pending.keys().next().map(text),
            greatest: group.pending.keys().next_back().map(text),
            consumers: consumers
                .into_iter()
                .map(|(name, count)| (name.to_owned(), count))
                .collect(),
        };
        Ok(Step::Done(Answer::Reply(Reply::Summary(summary))))
    }

    pub(super) fn pending_entries(
        &self,
        key: &str,
        name: &str,
        wanted: &Wanted<'_>,
        now_ms: u64,
    ) -> CacheResult<Step> {
        let first = EntryId::parse_range_start(wanted.ends[0])?;
        let last = EntryId::parse_range_end(wanted.ends[1])?;
        let (_, group) = self.group(key, name)?;
        let within = group.pending.range(first..);
        let entries = within
            .take_while(|(id, _)| **id <= last)
            .filter(|(_, pending)| {
                let idle = pending.idle_ms(now_ms) >= wanted.min_idle_ms;
                idle && wanted.consumer.is_none_or(|c| *c == *pending.consumer)
            })
            .take(to_usize(wanted.count))
            .map(|(id, pending)| PendingEntry {
                id: id.to_string(),
                consumer: (*pending.consumer).to_owned(),
                idle_ms: pending.idle_ms(now_ms),
                deliveries: pending.deliveries,
            })
            .collect();
        Ok(Step::Done(Answer::Reply(Reply::Pending { entries })))
    }

    /// As in Redis, deleted entries count, and so do looks in vain.
    pub(super) fn claim(
        &mut self,
        key: &str,
        name: &str,
        consumer: &str,
        wanted: &Wanted<'_>,
        now_ms: u64,
    ) -> CacheResult<Step> {
        let first = EntryId::parse_range_start(wanted.ends[0])?;
        let (stream, group) = self.group(key, name)?;
        let count = to_usize(wanted.count);
        let mut looks = count.saturating_mul(CLAIM_LOOKS);
        let (mut found, mut deleted) = (Vec::new(), Vec::new());
        let mut rest = group.pending.range(first..);
        let cursor = loop {
            let Some((id, pending)) = rest.next() else {
                break EntryId::ZERO;
            };
            if looks == 0 || found.len() + deleted.len() == count {
                break *id;
            }
            looks -= 1;
            match stream.entry(*id) {
                None => deleted.push(*id),
                Some(entry) if pending.idle_ms(now_ms) >= wanted.min_idle_ms => {
                    found.push(Arc::clone(entry));
                }
                Some(_) => {}
            }
        };
        self.deliver_again(key, name, consumer, &found, now_ms)?;
        self.forget_pending(key, name, &deleted)?;
        Ok(Step::Done(Answer::Claimed {
            cursor,
            entries: found,
            deleted,
        }))
    }

    /// One step of any number of entries: under this lock, that costs less than to come back.
    pub(super) fn remove_consumer(
        &mut self,
        key: &str,
        name: &str,
        consumer: &str,
        heir: &str,
    ) -> CacheResult<Step> {
        let (stream, group) = self.group(key, name)?;
        let held = group.held_by(consumer);
        let (held, deleted): (Vec<_>, Vec<_>) =
            held.into_iter().partition(|id| stream.contains(*id));
        let heir_bytes = if held.is_empty() {
            0
        } else {
            group.bytes_of_missing(heir)
        };
        if !self.pending.fits(heir_bytes) {
            return Err(errors::out_of_memory());
        }

        self.pending.take(heir_bytes);
        self.forget_pending(key, name, &deleted)?;
        let group = self.group_mut(key, name)?;
        if !held.is_empty() {
            let heir = group.consumer(heir);
            for id in &held {
                if let Some(pending) = group.pending.get_mut(id) {
                    pending.consumer = Arc::clone(&heir);
                }
            }
        }
        let freed = group.forget(consumer);
        self.pending.give_back(freed);
        Ok(Step::Done(Answer::Reply(Reply::Removed {
            handed_over: held.len() as u64,
        })))
    }

    /// Gives pending entries to a consumer.
    pub(super) fn deliver_again(
        &mut self,
        key: &str,
        name: &str,
        consumer: &str,
        entries: &[Arc<Entry>],
        now_ms: u64,
    ) -> CacheResult<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let bytes = self.group(key, name)?.1.bytes_of_missing(consumer);
        if !self.pending.fits(bytes) {
            return Err(errors::out_of_memory());
        }

        self.pending.take(bytes);
        let group = self.group_mut(key, name)?;
        let consumer = group.consumer(consumer);
        for entry in entries {
            group.claim(entry.id, &consumer, now_ms);
        }
        Ok(())
    }

    /// Forgets that entries are pending.
    pub(super) fn forget_pending(
        &mut self,
        key: &str,
        name: &str,
        ids: &[EntryId],
    ) -> CacheResult<()> {
        let forgotten = self.group_mut(key, name)?.acknowledge(ids);
        self.pending.give_back(forgotten * PENDING_BYTES);
        Ok(())
    }

    pub(super) fn group(&self, key: &str, name: &str) -> CacheResult<(&Stream, &Group)> {
        let stream = self.streams.get(key);
        stream
            .and_then(|stream| Some((stream, stream.groups.get(name)?)))
            .ok_or_else(|| errors::no_group(key, name))
    }

    fn group_mut(&mut self, key: &str, name: &str) -> CacheResult<&mut Group> {
        let stream = self.streams.get_mut(key);
        stream
            .and_then(|stream| stream.groups.get_mut(name))
            .ok_or_else(|| errors::no_group(key, name))
    }
}
