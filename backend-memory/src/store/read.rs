//! Reading a stream without a group.

use streamgate_protocol::{CacheResult, EntryId, StartId};
use tokio::sync::oneshot;

use crate::answer::{Answer, Outcome};
use crate::budget::waiting_bytes;
use crate::entry::fitting;
use crate::errors;
use crate::store::{Store, to_usize};
use crate::stream::{Stream, WaitingReader};
use crate::waiter::{Registration, WaiterKey, WaiterPlace};

impl Store {
    pub(super) fn read_latest(&self, key: &[u8], count: u64, max_bytes: u64) -> Outcome {
        let latest = |stream: &Stream| fitting(stream.latest().take(to_usize(count)), max_bytes);
        let entries = self.streams.get(key).map_or_else(Vec::new, latest);
        Outcome::Done(Answer::entries(entries))
    }

    pub(super) fn read(
        &mut self,
        key: &[u8],
        last_id: &str,
        (count, max_bytes): (u64, u64),
        block_ms: Option<u64>,
    ) -> CacheResult<Outcome> {
        let stream = self.streams.get(key);
        let (after, last_id) = match StartId::parse(last_id)? {
            StartId::After(id) => (id, last_id.to_owned()),
            StartId::Last => {
                let id = stream.map_or(EntryId::ZERO, |stream| stream.last_id);
                (id, id.to_string())
            }
        };
        let after_it = |stream: &Stream| fitting(stream.after(after, count), max_bytes);
        let entries = stream.map_or_else(Vec::new, after_it);
        let block_ms = match block_ms {
            Some(block_ms) if entries.is_empty() => block_ms,
            _ => {
                return Ok(Outcome::Done(Answer::Entries {
                    entries,
                    after: Some(last_id),
                    more: false,
                }));
            }
        };

        let bytes = waiting_bytes(key, b"");
        if !self.waiting.fits(bytes) {
            return Err(errors::overloaded());
        }

        self.waiting.take(bytes);
        let number = self.next_number();
        let (sender, receiver) = oneshot::channel();
        let stream = self.streams.entry(key.into()).or_default();
        stream
            .waiting_readers
            .insert((after, number), WaitingReader { sender, bytes });
        let key = WaiterKey {
            stream: key.into(),
            place: WaiterPlace::Readers { after },
            number,
        };
        Ok(Outcome::Waiting(Registration {
            key,
            receiver,
            block_ms,
            after: Some(last_id),
        }))
    }
}
