//! Pending entries: reading, summing up and listing them, and removing a consumer that has some.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use streamgate_backend::perform_options::MAX_LISTED_CONSUMERS;
use streamgate_protocol::text::Text;
use streamgate_protocol::{
    CacheResult, ConsumerInfo, EntryId, PendingEntry, PendingSummary, Reply,
};

use crate::answer::{Answer, Outcome};
use crate::budget::PENDING_BYTES;
use crate::entry::Entry;
use crate::errors;
use crate::group::Group;
use crate::store::{Store, limit, to_usize};

/// A selection of pending entries.
pub(super) struct PendingRange<'a> {
    /// The first and the last id, as `XPENDING` takes them.
    pub(super) ends: [&'a str; 2],
    pub(super) count: u64,
    pub(super) consumer: Option<&'a [u8]>,
    pub(super) min_idle_ms: u64,
}

impl Store {
    /// Reads a consumer's own pending entries. It is no delivery. Deleted entries come without fields.
    pub(super) fn read_pending(
        &self,
        key: &[u8],
        [name, consumer]: [&[u8]; 2],
        after: &str,
        (count, max_bytes): (u64, u64),
        except: &[Text<'_>],
    ) -> CacheResult<Outcome> {
        let except: Result<BTreeSet<_>, _> = except.iter().map(|id| EntryId::parse(id)).collect();
        let except = except?;
        let (stream, group) = self.group(key, name)?;
        let after = EntryId::parse(after)?;
        let range = (Bound::Excluded(after), Bound::Unbounded);
        let own = group.pending_of(consumer, range);
        let own = own.filter(|id| !except.contains(id));
        let deleted = |id| Arc::new(Entry::new(id, Vec::new()));
        let entry = |id| stream.entry(id).cloned().unwrap_or_else(|| deleted(id));
        let mut bytes = 0_u64;
        let (mut found, mut more) = (Vec::new(), false);
        for entry in own.take(limit(count)).map(entry) {
            bytes = bytes.saturating_add(entry.reply_bytes());
            if bytes > max_bytes && !found.is_empty() {
                more = true;
                break;
            }
            found.push(entry);
        }
        Ok(Outcome::Done(Answer::Entries {
            entries: found,
            after: None,
            more,
        }))
    }

    pub(super) fn pending_summary(&self, key: &[u8], name: &[u8]) -> CacheResult<Outcome> {
        let (_, group) = self.group(key, name)?;
        check_consumers(group)?;
        let text = |id: &EntryId| id.to_string();
        let mut consumers: Vec<_> = group
            .consumers(0)
            .filter(|(_, pending, _)| *pending > 0)
            .map(|(name, pending, _)| (name.into(), pending as u64))
            .collect();
        consumers.sort_unstable();
        let pending = group.pending();
        let summary = PendingSummary::new(
            pending.len() as u64,
            pending.keys().next().map(text),
            pending.keys().next_back().map(text),
            consumers,
        );
        Ok(Outcome::Done(Answer::Reply(Reply::Summary(summary))))
    }

    pub(super) fn pending_entries(
        &self,
        key: &[u8],
        name: &[u8],
        range: &PendingRange<'_>,
        now_ms: u64,
    ) -> CacheResult<Outcome> {
        let first = EntryId::parse_range_start(range.ends[0])?;
        let last = EntryId::parse_range_end(range.ends[1])?;
        let (_, group) = self.group(key, name)?;
        let pending = group.pending();
        let ids: &mut dyn Iterator<Item = EntryId> = match range.consumer {
            // A range that ends before it starts is empty.
            _ if last < first => &mut std::iter::empty(),
            Some(consumer) => {
                let ends = (Bound::Included(first), Bound::Included(last));
                &mut group.pending_of(consumer, ends)
            }
            None => &mut pending.range(first..=last).map(|(id, _)| *id),
        };
        let entries = ids
            .filter_map(|id| Some((id, pending.get(&id)?)))
            .filter(|(_, pending)| pending.idle_ms(now_ms) >= range.min_idle_ms)
            .take(to_usize(range.count))
            .map(|(id, pending)| {
                PendingEntry::new(
                    id,
                    &*pending.consumer,
                    pending.idle_ms(now_ms),
                    pending.deliveries,
                )
            })
            .collect();
        Ok(Outcome::Done(Answer::Reply(Reply::Pending { entries })))
    }

    pub(super) fn consumers(&self, key: &[u8], name: &[u8], now_ms: u64) -> CacheResult<Outcome> {
        let (_, group) = self.group(key, name)?;
        check_consumers(group)?;
        let consumers: BTreeMap<&[u8], ConsumerInfo> = group
            .consumers(now_ms)
            .map(|(name, pending, idle_ms)| {
                (name, ConsumerInfo::new(name, pending as u64, idle_ms))
            })
            .collect();
        let consumers = consumers.into_values().collect();
        Ok(Outcome::Done(Answer::Reply(Reply::Consumers { consumers })))
    }

    /// Removes a consumer after `new_owner` got its pending entries. It is one step for any number
    /// of entries: under this lock, that costs less than to continue later.
    pub(super) fn remove_consumer(
        &mut self,
        key: &[u8],
        name: &[u8],
        consumer: &[u8],
        new_owner: &[u8],
        now_ms: u64,
    ) -> CacheResult<Outcome> {
        let (stream, group) = self.group(key, name)?;
        let (kept, deleted): (Vec<_>, Vec<_>) = group
            .pending_of(consumer, (Bound::Unbounded, Bound::Unbounded))
            .partition(|id| stream.contains(*id));
        let new_owner_bytes = if kept.is_empty() {
            0
        } else {
            group.bytes_if_new(new_owner)
        };
        if !self.pending.fits(new_owner_bytes) {
            return Err(errors::pending_full(self.pending.limit()));
        }

        self.pending.take(new_owner_bytes);
        self.forget_pending(key, name, &deleted)?;
        let group = self.group_mut(key, name)?;
        if !kept.is_empty() {
            let new_owner = group.consumer(new_owner, now_ms);
            for id in &kept {
                group.reassign(*id, &new_owner);
            }
        }
        let freed = group.remove_consumer(consumer);
        self.pending.give_back(freed);
        Ok(Outcome::Done(Answer::Reply(Reply::Removed {
            handed_over: kept.len() as u64,
        })))
    }

    /// Makes pending entries pending for a consumer: the delivered ones as a delivery, and the
    /// skipped ones without counting one.
    pub(super) fn claim_for(
        &mut self,
        key: &[u8],
        name: &[u8],
        consumer: &[u8],
        delivered: &[Arc<Entry>],
        skipped: &[Arc<Entry>],
        now_ms: u64,
    ) -> CacheResult<()> {
        if delivered.is_empty() && skipped.is_empty() {
            return Ok(());
        }
        let bytes = self.group(key, name)?.1.bytes_if_new(consumer);
        if !self.pending.fits(bytes) {
            return Err(errors::pending_full(self.pending.limit()));
        }

        self.pending.take(bytes);
        let group = self.group_mut(key, name)?;
        let consumer = group.consumer(consumer, now_ms);
        for entry in delivered {
            group.deliver_again(entry.id, &consumer, now_ms);
        }
        for entry in skipped {
            group.transfer(entry.id, &consumer, now_ms);
        }
        Ok(())
    }

    /// Removes ids from the group's pending entries.
    pub(super) fn forget_pending(
        &mut self,
        key: &[u8],
        name: &[u8],
        ids: &[EntryId],
    ) -> CacheResult<()> {
        let forgotten = self.group_mut(key, name)?.acknowledge(ids);
        self.pending.give_back(forgotten * PENDING_BYTES);
        Ok(())
    }
}

/// Returns an error if a group has too many consumers to list them.
fn check_consumers(group: &Group) -> CacheResult<()> {
    match group.consumer_count() {
        count if count > MAX_LISTED_CONSUMERS => Err(errors::too_many_consumers(count)),
        _ => Ok(()),
    }
}
