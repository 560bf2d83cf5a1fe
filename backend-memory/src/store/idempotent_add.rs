//! Adds that are asked for again and done once.

use std::collections::{HashMap, VecDeque};

use streamgate_protocol::CacheResult;
use streamgate_protocol::limits::{ADDS_REMEMBERED, REMEMBERED_MS};
use streamgate_protocol::text::Text;

use crate::errors;
use crate::store::{Answer, Engine, Step};
use streamgate_protocol::EntryId;

/// Producers that are remembered. Beyond it the one that added least recently is forgotten.
const MAX_PRODUCERS: usize = 4_096;

/// Who adds, and which of its adds it is.
#[derive(Debug)]
pub(super) struct Once<'a> {
    pub(super) producer: &'a str,
    pub(super) number: u64,
    /// The number of the add before it without which it must not be; 0 for none.
    pub(super) after: u64,
}

/// What was added by whom, by stream and producer.
#[derive(Debug, Default)]
pub(super) struct Producers(HashMap<Name, Remembered>);

/// A stream and a producer.
type Name = (String, String);

#[derive(Debug)]
struct Remembered {
    last: u64,
    /// Numbers rise.
    added: VecDeque<(u64, EntryId)>,
    since_ms: u64,
}

impl Engine {
    pub(super) fn add_once(
        &mut self,
        key: &str,
        fields: Vec<(Text<'_>, Text<'_>)>,
        maxlen: Option<u64>,
        once: &Once<'_>,
        now_ms: u64,
    ) -> CacheResult<Step> {
        let name = (key.to_owned(), once.producer.to_owned());
        if let Some(id) = self.producers.known(&name, once, now_ms)? {
            return Ok(Step::Done(Answer::Added(id)));
        }
        let step = self.add(key, fields, maxlen, now_ms)?;
        if let Step::Done(Answer::Added(id)) = &step {
            self.producers.added(name, once, *id, now_ms);
        }
        Ok(step)
    }
}

impl Producers {
    /// The id, if it was added; none if it is to be.
    fn known(&self, name: &Name, once: &Once<'_>, now_ms: u64) -> CacheResult<Option<EntryId>> {
        let known = self.0.get(name);
        let known = known.filter(|known| !known.is_over(now_ms));
        let last = known.map_or(0, |known| known.last);
        let known = match known {
            _ if once.after > last => return Err(errors::out_of_order()),
            Some(known) if once.number <= last => known,
            _ => return Ok(None),
        };
        if known.last - once.number >= ADDS_REMEMBERED {
            return Err(errors::forgotten());
        }
        match known
            .added
            .binary_search_by_key(&once.number, |(number, _)| *number)
        {
            Ok(place) => Ok(Some(known.added[place].1)),
            Err(_) => Err(errors::skipped()),
        }
    }

    fn added(&mut self, name: Name, once: &Once<'_>, id: EntryId, now_ms: u64) {
        if self.0.len() >= MAX_PRODUCERS && !self.0.contains_key(&name) {
            self.forget_one(now_ms);
        }
        let known = self.0.entry(name).or_insert_with(|| Remembered {
            last: 0,
            added: VecDeque::new(),
            since_ms: now_ms,
        });
        if known.is_over(now_ms) {
            known.added.clear();
        }
        known.last = once.number;
        known.since_ms = now_ms;
        known.added.push_back((once.number, id));
        let oldest = once.number.saturating_sub(ADDS_REMEMBERED);
        while known
            .added
            .front()
            .is_some_and(|(number, _)| *number <= oldest)
        {
            known.added.pop_front();
        }
    }

    /// All whose time is over, or else the one whose time is over first.
    fn forget_one(&mut self, now_ms: u64) {
        self.0.retain(|_, known| !known.is_over(now_ms));
        if self.0.len() >= MAX_PRODUCERS {
            let oldest = self.0.iter().min_by_key(|(_, known)| known.since_ms);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                self.0.remove(&oldest);
            }
        }
    }
}

impl Remembered {
    fn is_over(&self, now_ms: u64) -> bool {
        now_ms >= self.since_ms.saturating_add(REMEMBERED_MS)
    }
}
