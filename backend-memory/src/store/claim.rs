//! Claiming idle pending entries, as `XAUTOCLAIM` does.

use std::sync::Arc;

use streamgate_protocol::{CacheResult, EntryId};

use crate::answer::{Answer, Outcome};
use crate::store::pending::PendingRange;
use crate::store::{Store, to_usize};

/// Pending entries that a claim examines for each that it may return: as many as Redis does.
const EXAMINED_PER_ENTRY: usize = 10;

impl Store {
    /// Claims entries until the next one would exceed `max_bytes`, at least one. As in Redis,
    /// deleted entries count, and so do entries that are not idle enough.
    pub(super) fn claim(
        &mut self,
        [key, name, consumer]: [&[u8]; 3],
        range: &PendingRange<'_>,
        max_bytes: u64,
        now_ms: u64,
    ) -> CacheResult<Outcome> {
        let first = EntryId::parse(range.ends[0])?;
        let (stream, group) = self.group(key, name)?;
        let count = to_usize(range.count);
        let mut left = count.saturating_mul(EXAMINED_PER_ENTRY);
        let mut bytes = 0_u64;
        let (mut claimed, mut deleted) = (Vec::new(), Vec::new());
        let mut rest = group.pending().range(first..);
        let cursor = loop {
            let Some((id, pending)) = rest.next() else {
                break EntryId::ZERO;
            };
            if left == 0 || claimed.len() + deleted.len() == count {
                break *id;
            }
            left -= 1;
            match stream.entry(*id) {
                None => deleted.push(*id),
                Some(entry) if pending.idle_ms(now_ms) >= range.min_idle_ms => {
                    bytes = bytes.saturating_add(entry.reply_bytes());
                    if bytes > max_bytes && !claimed.is_empty() {
                        break *id;
                    }
                    claimed.push(Arc::clone(entry));
                }
                Some(_) => {}
            }
        };
        self.claim_for(key, name, consumer, &claimed, &[], now_ms)?;
        self.forget_pending(key, name, &deleted)?;
        Ok(Outcome::Done(Answer::Claimed {
            cursor,
            entries: claimed,
            deleted,
        }))
    }
}
