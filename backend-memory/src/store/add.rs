//! Adding an entry, and serving those who wait for it.
//!
//! An add serves waiting calls at once, as Redis itself does. Behind the server on Redis, a group
//! read that does not wait may overtake one that does.

use std::sync::Arc;

use streamgate_protocol::{ByteString, Bytes, CacheResult, EntryId};

use crate::answer::{Answer, Outcome};
use crate::budget::entry_bytes;
use crate::entry::Entry;
use crate::errors;
use crate::store::{Store, to_usize};

impl Store {
    pub(super) fn add(
        &mut self,
        key: &[u8],
        fields: Vec<(Bytes<'_>, Bytes<'_>)>,
        maxlen: Option<u64>,
        now_ms: u64,
    ) -> CacheResult<Outcome> {
        let maxlen = maxlen.map_or(usize::MAX, to_usize);
        let fields: Vec<(ByteString, ByteString)> = fields
            .into_iter()
            .map(|(n, v)| (n.into(), v.into()))
            .collect();
        if !self
            .stored
            .fits(self.bytes_if_new(key) + entry_bytes(&fields))
        {
            self.drop_idle_streams(key, now_ms);
        }
        let known = self.streams.get(key);
        let last_id = known.map_or(EntryId::ZERO, |stream| stream.last_id);
        let id = last_id.next_at(now_ms).ok_or_else(errors::ids_exhausted)?;

        let stream_bytes = self.bytes_if_new(key);
        let entry_bytes = entry_bytes(&fields);
        let needed = stream_bytes + if maxlen == 0 { 0 } else { entry_bytes };
        let freed = || known.map_or(0, |stream| stream.bytes_beyond(maxlen));
        if !self.stored.fits(needed) && !self.stored.fits_after(freed(), needed) {
            return Err(errors::stored_full(self.stored.limit()));
        }

        let stream = self.streams.entry(key.into()).or_default();
        let entry = Arc::new(Entry::new(id, fields));
        stream.used_ms = now_ms;
        stream.push(Arc::clone(&entry));
        self.stored.take(stream_bytes + entry_bytes);
        self.stored.give_back(stream.trim(maxlen));
        self.shared.give_back(stream.tails.wake());
        if stream.ends_with(&entry) {
            self.serve_waiters(key, &entry, now_ms);
        }
        Ok(Outcome::Done(Answer::Added(id)))
    }

    /// Sends a new entry to every reader that waits for it, and to one consumer of each group.
    ///
    /// Every receiver is alive: a call unregisters, under the lock, before it drops its own.
    fn serve_waiters(&mut self, key: &[u8], entry: &Arc<Entry>, now_ms: u64) {
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        for reader in stream.take_readers_before(entry.id) {
            self.waiting.give_back(reader.bytes);
            let _ = reader.sender.send(Arc::clone(entry));
        }
        for group in stream.groups.values_mut() {
            if let Some(first) = group.take_first_waiting(entry.id) {
                self.waiting.give_back(first.bytes);
                group.deliver(entry.id, &first.consumer, now_ms);
                let _ = first.sender.send(Arc::clone(entry));
            }
        }
    }
}
