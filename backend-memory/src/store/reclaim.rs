//! Reclaiming the pending entries of crashed consumers, one page a step.

use std::ops::Bound;
use std::sync::Arc;

use streamgate_backend::reclaim::step::{ReclaimStep, STEP_ENTRIES};
use streamgate_protocol::{CacheResult, EntryId, Skipped};

use crate::answer::ReclaimAnswer;
use crate::store::Store;

impl Store {
    /// Performs one step. See [`Backend::reclaim`](streamgate_backend::Backend::reclaim).
    pub(crate) fn reclaim(
        &mut self,
        step: &ReclaimStep,
        now_ms: u64,
    ) -> CacheResult<ReclaimAnswer> {
        let (key, name, consumer) = (&*step.stream, &*step.group, &*step.consumer);
        let after = EntryId::parse(&step.cursor)?;
        let since_ms = step.since_ms.unwrap_or(now_ms);
        let (stream, group) = self.group(key, name)?;
        let page = (Bound::Excluded(after), Bound::Unbounded);
        let (mut examined, mut before, mut cursor) = (0, after, EntryId::ZERO);
        let (mut reclaimed, mut dead, mut deleted) = (Vec::new(), Vec::new(), Vec::new());
        let (mut skipped, mut bytes) = (Vec::new(), 0_u64);
        for (id, pending) in group.pending().range(page) {
            examined += 1;
            let own = *pending.consumer == *consumer && pending.delivered_at_ms >= since_ms;
            if pending.idle_ms(now_ms) >= step.min_idle_ms && !own {
                let policy = step.dead_letter.as_ref();
                let policy = policy.filter(|p| pending.deliveries >= p.max_deliveries);
                match (stream.entry(*id), policy) {
                    (None, _) => deleted.push(*id),
                    (Some(entry), None) if entry.cost > step.max_entry_bytes => {
                        skipped.push(Arc::clone(entry));
                    }
                    (Some(entry), None) => {
                        bytes = bytes.saturating_add(entry.cost);
                        if bytes > step.max_bytes && !reclaimed.is_empty() {
                            cursor = before;
                            break;
                        }
                        reclaimed.push(Arc::clone(entry));
                    }
                    (Some(entry), Some(policy)) => {
                        let entry = entry.to_entry();
                        let letter = step.dead_letter_entry(
                            &entry.id,
                            &pending.consumer,
                            pending.deliveries,
                        );
                        dead.push((*id, policy, letter.fields(entry.fields)));
                    }
                }
            }
            let returned = (reclaimed.len() + skipped.len()) as u64;
            if examined == STEP_ENTRIES || returned == step.count {
                cursor = *id;
                break;
            }
            before = *id;
        }

        let dead_letters = dead.len();
        for (id, policy, fields) in dead {
            let fields = fields.into_iter().map(|(n, v)| (n.into(), v.into()));
            self.add(&policy.stream, fields.collect(), policy.maxlen, now_ms)?;
            self.forget_pending(key, name, &[id])?;
        }
        self.forget_pending(key, name, &deleted)?;
        self.claim_for(key, name, consumer, &reclaimed, &skipped, now_ms)?;
        let skipped = skipped.iter();
        let skipped = skipped.map(|entry| Skipped::new(entry.id, entry.cost));
        Ok(ReclaimAnswer {
            skipped: skipped.collect(),
            entries: reclaimed,
            cursor,
            since_ms,
            dead_letters,
        })
    }
}
