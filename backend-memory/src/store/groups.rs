//! Consumer groups: creating, reading, acknowledging.

use streamgate_protocol::text::Text;
use streamgate_protocol::{Bytes, CacheResult, EntryId, StartId};
use tokio::sync::oneshot;

use crate::answer::{Answer, Outcome};
use crate::budget::{PENDING_BYTES, named_bytes, waiting_bytes};
use crate::entry::fitting;
use crate::errors;
use crate::group::{Group, WaitingConsumer};
use crate::store::Store;
use crate::waiter::{Registration, WaiterKey, WaiterPlace};

impl Store {
    pub(super) fn create_group(
        &mut self,
        key: &[u8],
        name: Bytes<'_>,
        start: &str,
        now_ms: u64,
    ) -> CacheResult<Outcome> {
        let stream = self.streams.get(key);
        let start = match StartId::parse(start)? {
            StartId::After(id) => id,
            StartId::Last => stream.map_or(EntryId::ZERO, |stream| stream.last_id),
        };
        if stream.is_some_and(|stream| stream.groups.contains_key(&*name)) {
            return Err(errors::group_exists());
        }
        let bytes = self.bytes_if_new(key) + named_bytes(&name);
        if !self.stored.fits(bytes) {
            self.drop_idle_streams(key, now_ms);
        }
        if !self.stored.fits(bytes) {
            return Err(errors::stored_full(self.stored.limit()));
        }

        self.stored.take(bytes);
        let stream = self.streams.entry(key.into()).or_default();
        stream.used_ms = now_ms;
        stream.groups.insert(name.into(), Group::new(start));
        Ok(Outcome::Done(Answer::Done))
    }

    pub(super) fn read_group(
        &mut self,
        [key, name, consumer]: [&[u8]; 3],
        (count, max_bytes): (u64, u64),
        block_ms: Option<u64>,
        now_ms: u64,
    ) -> CacheResult<Outcome> {
        let missing = || errors::no_group(key, name);
        let stream = self.streams.get_mut(key).ok_or_else(missing)?;
        let last_delivered = stream.groups.get(name).ok_or_else(missing)?.last_delivered;
        stream.used_ms = now_ms;
        let entries = fitting(stream.after(last_delivered, count), max_bytes);
        let group = stream.groups.get_mut(name).ok_or_else(missing)?;

        let waits = block_ms.filter(|_| entries.is_empty());
        let records = if waits.is_some() { 1 } else { entries.len() };
        let pending_bytes = records * PENDING_BYTES + group.bytes_if_new(consumer);
        let waiting_bytes = waits.map_or(0, |_| waiting_bytes(key, name));
        if !self.pending.fits(pending_bytes) {
            return Err(errors::pending_full(self.pending.limit()));
        }
        if !self.waiting.fits(waiting_bytes) {
            return Err(errors::overloaded());
        }

        self.pending.take(pending_bytes);
        self.waiting.take(waiting_bytes);
        let consumer = group.consumer(consumer, now_ms);
        let Some(block_ms) = waits else {
            for entry in &entries {
                group.deliver(entry.id, &consumer, now_ms);
            }
            return Ok(Outcome::Done(Answer::entries(entries)));
        };
        let (sender, receiver) = oneshot::channel();
        let waiting = WaitingConsumer {
            consumer,
            sender,
            bytes: waiting_bytes,
        };
        self.last_number += 1;
        let number = self.last_number;
        group.waiting.insert(number, waiting);
        let key = WaiterKey {
            stream: key.into(),
            place: WaiterPlace::Group(name.into()),
            number,
        };
        Ok(Outcome::Waiting(Registration {
            key,
            receiver,
            block_ms,
            after: None,
        }))
    }

    /// Acknowledges all of the ids, or none if one of them is malformed.
    pub(super) fn ack(
        &mut self,
        key: &[u8],
        name: &[u8],
        ids: &[Text<'_>],
    ) -> CacheResult<Outcome> {
        let stream = self.streams.get_mut(key);
        let mut count = 0;
        if let Some(group) = stream.and_then(|stream| stream.groups.get_mut(name)) {
            let ids: Result<Vec<_>, _> = ids.iter().map(|id| EntryId::parse(id)).collect();
            count = group.acknowledge(&ids?);
            self.pending.give_back(count * PENDING_BYTES);
        }
        Ok(Outcome::Done(Answer::Acknowledged(count)))
    }
}
