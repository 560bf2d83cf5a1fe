//! Consumer groups: creating, reading, acknowledging.

use streamgate_protocol::CacheResult;
use streamgate_protocol::text::Text;
use tokio::sync::oneshot;

use crate::budget::{PENDING_BYTES, named_bytes, waiting_bytes};
use crate::errors;
use crate::group::{Group, WaitingConsumer};
use crate::store::{Answer, Engine, Step, no_limit};
use crate::wait::{Place, Ticket};
use streamgate_protocol::{EntryId, StartId};

impl Engine {
    pub(super) fn create_group(
        &mut self,
        key: &str,
        name: Text<'_>,
        start: &str,
    ) -> CacheResult<Step> {
        let stream = self.streams.get(key);
        let start = match StartId::parse(start)? {
            StartId::After(id) => id,
            StartId::Last => stream.map_or(EntryId::ZERO, |stream| stream.last_id),
        };
        if stream.is_some_and(|stream| stream.groups.contains_key(&*name)) {
            return Err(errors::group_exists());
        }
        let bytes = self.bytes_of_missing(key) + named_bytes(&name);
        if !self.stored.fits(bytes) {
            return Err(errors::out_of_memory());
        }

        self.stored.take(bytes);
        let stream = self.streams.entry(key.to_owned()).or_default();
        stream.groups.insert(name.into(), Group::new(start));
        Ok(Step::Done(Answer::Done))
    }

    pub(super) fn read_group(
        &mut self,
        key: &str,
        name: &str,
        consumer: &str,
        count: u64,
        block_ms: Option<u64>,
        now_ms: u64,
    ) -> CacheResult<Step> {
        let missing = || errors::no_group(key, name);
        let stream = self.streams.get_mut(key).ok_or_else(missing)?;
        let last_delivered = stream.groups.get(name).ok_or_else(missing)?.last_delivered;
        let entries = stream.after(last_delivered, no_limit(count));
        let group = stream.groups.get_mut(name).ok_or_else(missing)?;

        let waits = block_ms.filter(|_| entries.is_empty());
        let records = if waits.is_some() { 1 } else { entries.len() };
        let pending_bytes = records * PENDING_BYTES + group.bytes_of_missing(consumer);
        let waiting_bytes = waits.map_or(0, |_| waiting_bytes(key, name));
        if !self.pending.fits(pending_bytes) {
            return Err(errors::out_of_memory());
        }
        if !self.waiting.fits(waiting_bytes) {
            return Err(errors::overloaded());
        }

        self.pending.take(pending_bytes);
        self.waiting.take(waiting_bytes);
        let consumer = group.consumer(consumer);
        let Some(block_ms) = waits else {
            for entry in &entries {
                group.deliver(entry.id, &consumer, now_ms);
            }
            return Ok(Step::Done(Answer::Entries {
                entries,
                asked: None,
            }));
        };
        let (sender, receiver) = oneshot::channel();
        self.calls += 1;
        let waiting = WaitingConsumer {
            consumer,
            sender,
            bytes: waiting_bytes,
        };
        group.waiting.insert(self.calls, waiting);
        let place = Place {
            stream: key.to_owned(),
            group: Some(name.to_owned()),
            number: self.calls,
        };
        Ok(Step::Waiting(Ticket {
            place,
            receiver,
            block_ms,
            asked: None,
        }))
    }

    /// Acknowledges all of the ids, or none if one of them is malformed.
    pub(super) fn ack(&mut self, key: &str, name: &str, ids: &[Text<'_>]) -> CacheResult<Step> {
        let stream = self.streams.get_mut(key);
        if let Some(group) = stream.and_then(|stream| stream.groups.get_mut(name)) {
            let ids: Result<Vec<_>, _> = ids.iter().map(|id| EntryId::parse(id)).collect();
            let acknowledged = group.acknowledge(&ids?);
            self.pending.give_back(acknowledged * PENDING_BYTES);
        }
        Ok(Step::Done(Answer::Done))
    }
}
