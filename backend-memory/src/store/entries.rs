//! Adding entries, and reading them without a group.

use std::sync::Arc;

use streamgate_protocol::CacheResult;
use streamgate_protocol::text::Text;
use tokio::sync::oneshot;

use crate::budget::{entry_bytes, waiting_bytes};
use crate::errors;
use crate::store::{Answer, Engine, Step, no_limit, to_usize};
use crate::stream::{Entry, WaitingReader};
use crate::wait::{Place, Ticket};
use streamgate_protocol::{EntryId, StartId};

impl Engine {
    pub(super) fn add(
        &mut self,
        key: &str,
        fields: Vec<(Text<'_>, Text<'_>)>,
        maxlen: Option<u64>,
        now_ms: u64,
    ) -> CacheResult<Step> {
        let maxlen = maxlen.map_or(usize::MAX, to_usize);
        let fields: Vec<_> = fields
            .into_iter()
            .map(|(n, v)| (n.into(), v.into()))
            .collect();
        let known = self.streams.get(key);
        let last_id = known.map_or(EntryId::ZERO, |stream| stream.last_id);
        let id = last_id.next_at(now_ms).ok_or_else(errors::ids_exhausted)?;

        let stream_bytes = self.bytes_of_missing(key);
        let entry_bytes = entry_bytes(&fields);
        let needed = stream_bytes + if maxlen == 0 { 0 } else { entry_bytes };
        let freed = || known.map_or(0, |stream| stream.bytes_beyond(maxlen));
        if !self.stored.fits(needed) && !self.stored.fits_after(freed(), needed) {
            return Err(errors::out_of_memory());
        }

        let stream = self.streams.entry(key.to_owned()).or_default();
        let entry = Arc::new(Entry::new(id, fields));
        stream.push(Arc::clone(&entry));
        self.stored.take(stream_bytes + entry_bytes);
        self.stored.give_back(stream.trim(maxlen));
        self.shared.give_back(stream.followers.wake());
        if stream.ends_with(&entry) {
            self.serve(key, &entry, now_ms);
        }
        Ok(Step::Done(Answer::Added(id)))
    }

    /// Hands a new entry to all readers that wait for it and to one consumer of each group.
    ///
    /// The receiving ends are there: a call leaves, under the lock, before it drops its own.
    fn serve(&mut self, key: &str, entry: &Arc<Entry>, now_ms: u64) {
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        for reader in stream.readers_before(entry.id).into_values() {
            self.waiting.give_back(reader.bytes);
            let _ = reader.sender.send(Arc::clone(entry));
        }
        for group in stream.groups.values_mut() {
            if let Some(first) = group.first_waiting(entry.id) {
                self.waiting.give_back(first.bytes);
                group.deliver(entry.id, &first.consumer, now_ms);
                let _ = first.sender.send(Arc::clone(entry));
            }
        }
    }

    pub(super) fn read_latest(&self, key: &str, count: u64) -> Step {
        let stream = self.streams.get(key);
        let entries = stream.map_or_else(Vec::new, |stream| stream.latest(to_usize(count)));
        Step::Done(Answer::Entries {
            entries,
            asked: None,
        })
    }

    pub(super) fn read(
        &mut self,
        key: &str,
        asked: &str,
        count: u64,
        block_ms: Option<u64>,
    ) -> CacheResult<Step> {
        let stream = self.streams.get(key);
        let (after, asked) = match StartId::parse(asked)? {
            StartId::After(id) => (id, asked.to_owned()),
            StartId::Last => {
                let id = stream.map_or(EntryId::ZERO, |stream| stream.last_id);
                (id, id.to_string())
            }
        };
        let entries = stream.map_or_else(Vec::new, |stream| stream.after(after, no_limit(count)));
        let block_ms = match block_ms {
            Some(block_ms) if entries.is_empty() => block_ms,
            _ => {
                return Ok(Step::Done(Answer::Entries {
                    entries,
                    asked: Some(asked),
                }));
            }
        };

        let bytes = waiting_bytes(key, "");
        if !self.waiting.fits(bytes) {
            return Err(errors::overloaded());
        }

        self.waiting.take(bytes);
        self.calls += 1;
        let number = self.calls;
        let (sender, receiver) = oneshot::channel();
        let stream = self.streams.entry(key.to_owned()).or_default();
        stream.readers.insert(
            number,
            WaitingReader {
                after,
                sender,
                bytes,
            },
        );
        let place = Place {
            stream: key.to_owned(),
            group: None,
            number,
        };
        Ok(Step::Waiting(Ticket {
            place,
            receiver,
            block_ms,
            asked: Some(asked),
        }))
    }
}
