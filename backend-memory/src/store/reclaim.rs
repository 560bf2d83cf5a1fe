//! Taking over what vanished consumers hold, for consumers that do so by themselves.

use std::ops::Bound;
use std::sync::Arc;

use streamgate_protocol::CacheResult;

use crate::store::{Engine, copied};
use crate::stream::Entry;
use streamgate_backend::reclaim::step::{DeadLetterEntry, PAGE, ReclaimStep, Reclaimed};
use streamgate_protocol::EntryId;

/// What was taken over, its entries still shared.
pub(crate) struct Taken {
    pub(crate) entries: Vec<Arc<Entry>>,
    pub(crate) cursor: EntryId,
    pub(crate) since_ms: u64,
}

impl From<Taken> for Reclaimed {
    fn from(taken: Taken) -> Self {
        Self {
            entries: copied(&taken.entries),
            cursor: taken.cursor.to_string(),
            since_ms: taken.since_ms,
        }
    }
}

impl Engine {
    /// Looks at one page.
    pub(crate) fn reclaim(&mut self, ask: &ReclaimStep, now_ms: u64) -> CacheResult<Taken> {
        let ReclaimStep {
            stream: key,
            group: name,
            consumer,
            ..
        } = ask;
        let after = EntryId::parse(&ask.cursor)?;
        let since_ms = ask.since_ms.unwrap_or(now_ms);
        let (stream, group) = self.group(key, name)?;
        let page = (Bound::Excluded(after), Bound::Unbounded);
        let (mut looks, mut cursor) = (0, EntryId::ZERO);
        let (mut taken, mut dead, mut gone) = (Vec::new(), Vec::new(), Vec::new());
        for (id, pending) in group.pending.range(page) {
            looks += 1;
            let own = *pending.consumer == **consumer && pending.delivered_at_ms >= since_ms;
            if pending.idle_ms(now_ms) >= ask.min_idle_ms && !own {
                let dead_letter = ask.dead_letter.as_ref();
                let dead_letter = dead_letter.filter(|d| pending.deliveries >= d.max_deliveries);
                match (stream.entry(*id), dead_letter) {
                    (None, _) => gone.push(*id),
                    (Some(entry), None) => taken.push(Arc::clone(entry)),
                    (Some(entry), Some(to)) => {
                        let (id_text, fields) = entry.to_stream_entry();
                        let letter = DeadLetterEntry {
                            id: &id_text,
                            consumer: &pending.consumer,
                            deliveries: pending.deliveries,
                        };
                        dead.push((*id, to, letter.fields(ask, fields)));
                    }
                }
            }
            if looks == PAGE || taken.len() as u64 == ask.count {
                cursor = *id;
                break;
            }
        }

        for (id, to, fields) in dead {
            let fields = fields.into_iter().map(|(n, v)| (n.into(), v.into()));
            self.add(&to.stream, fields.collect(), None, now_ms)?;
            self.forget_pending(key, name, &[id])?;
        }
        self.forget_pending(key, name, &gone)?;
        self.deliver_again(key, name, consumer, &taken, now_ms)?;
        Ok(Taken {
            entries: taken,
            cursor,
            since_ms,
        })
    }
}
