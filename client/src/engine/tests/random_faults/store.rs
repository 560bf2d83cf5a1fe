//! The model of the backend: one stream and one group, which outlive every connection.

use std::collections::BTreeMap;

use streamgate_protocol::Entry;
use streamgate_protocol::limits::ADDS_REMEMBERED;

use super::*;

pub(super) type Answer = Result<Reply, Box<Fault>>;

/// A consumer of the group.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// The consumer under test.
    Tested,
    /// One that crashes with whatever it holds.
    Crashed,
}

struct PendingEntry {
    owner: Owner,
    deliveries: u32,
}

#[derive(Default)]
pub(super) struct ModelStore {
    /// The values of the entries. An entry's id is its place, starting with 1.
    pub(super) entries: Vec<u64>,
    producers: BTreeMap<String, (u64, BTreeMap<u64, usize>)>,
    last_delivered: usize,
    pending: BTreeMap<usize, PendingEntry>,
    /// How often each entry was delivered, also after its acknowledgement.
    pub(super) deliveries: BTreeMap<usize, u32>,
    /// Entries that a crashed consumer held.
    pub(super) reclaimed: BTreeSet<usize>,
    /// Until when late recoveries fail.
    pub(super) outage_ends_at: Millis,
}

pub(super) fn id(place: usize) -> String {
    format!("{place}-0")
}

pub(super) fn place(id: &str) -> usize {
    id.split('-').next().unwrap().parse().unwrap()
}

/// Whether no reply and no push can carry the entry with this value.
pub(super) const fn is_too_large(value: u64) -> bool {
    value.is_multiple_of(17)
}

/// Entries as a reply carries them: as many as fit, and whether there are more; or the first one, if
/// it is too large.
pub(super) enum Carried {
    Entries { entries: Vec<Entry>, more: bool },
    TooLarge(usize),
}

impl ModelStore {
    pub(super) fn entry(&self, at: usize) -> Entry {
        let value = self.entries[at - 1].to_string();
        Entry::new(id(at), [("n", value)])
    }

    pub(super) fn is_too_large(&self, at: usize) -> bool {
        is_too_large(self.entries[at - 1])
    }

    pub(super) fn is_pending(&self, at: usize) -> bool {
        self.pending.contains_key(&at)
    }

    fn deliver(&mut self, at: usize, owner: Owner) {
        *self.deliveries.entry(at).or_default() += 1;
        let deliveries = self.deliveries[&at];
        self.pending.insert(at, PendingEntry { owner, deliveries });
    }

    /// Delivers new entries, as `XREADGROUP` does.
    pub(super) fn deliver_next(&mut self, owner: Owner, count: u64) -> Vec<usize> {
        let mut delivered = Vec::new();
        while self.last_delivered < self.entries.len()
            && (count == 0 || (delivered.len() as u64) < count)
        {
            self.last_delivered += 1;
            self.deliver(self.last_delivered, owner);
            delivered.push(self.last_delivered);
        }
        delivered
    }

    pub(super) fn any_crashed(&self) -> bool {
        let mut pending = self.pending.values();
        pending.any(|entry| entry.owner == Owner::Crashed)
    }

    /// Hands an entry of the crashed consumer to the tested one.
    pub(super) fn reclaim(&mut self) -> Option<usize> {
        let held = |(_, pending): &(&usize, &PendingEntry)| pending.owner == Owner::Crashed;
        let at = *self.pending.iter().find(held)?.0;
        self.reclaimed.insert(at);
        self.deliver(at, Owner::Tested);
        Some(at)
    }

    /// Returns what fits into one reply.
    pub(super) fn carry(&self, places: &[usize], most: usize) -> Carried {
        if let Some(first) = places.first()
            && self.is_too_large(*first)
        {
            return Carried::TooLarge(*first);
        }
        let fitting = places
            .iter()
            .take(most)
            .take_while(|at| !self.is_too_large(**at));
        let entries: Vec<_> = fitting.map(|at| self.entry(*at)).collect();
        let more = entries.len() < places.len();
        Carried::Entries { entries, more }
    }

    /// Performs an operation that does not wait.
    pub(super) fn perform(&mut self, operation: Operation<'_>, most: usize) -> Answer {
        let fault = |code| Err(Box::new(Fault::from(&CacheError::from_code(code, "why"))));
        Ok(match operation {
            Operation::IdempotentAdd {
                fields,
                producer,
                number,
                after,
                ..
            } => {
                assert!(
                    after < number,
                    "{number} after {after}: a server refuses it"
                );
                let known = self.producers.get(&*producer);
                let (last, ids) = known.cloned().unwrap_or_default();
                let added = if after > last {
                    return fault(code::OUT_OF_ORDER);
                } else if number > last {
                    self.entries.push(fields[0].1.to_text().parse().unwrap());
                    let added = self.entries.len();
                    let known = self.producers.entry(producer.to_string()).or_default();
                    known.0 = number;
                    known.1.insert(number, added);
                    added
                } else if last - number >= ADDS_REMEMBERED {
                    return fault(code::FORGOTTEN);
                } else {
                    match ids.get(&number) {
                        Some(added) => *added,
                        None => return fault(code::SKIPPED),
                    }
                };
                Reply::Added { id: id(added) }
            }
            Operation::ReadGroup { count, .. } => {
                let delivered = self.deliver_next(Owner::Tested, count);
                self.reply(&delivered, most)?
            }
            Operation::ReadPending {
                after,
                count,
                except,
                ..
            } => {
                let except: BTreeSet<usize> = except.iter().map(|id| place(id)).collect();
                let found = self.pending.range(place(&after) + 1..);
                let found = found.filter(|(at, pending)| {
                    pending.owner == Owner::Tested && !except.contains(*at)
                });
                let found: Vec<_> = found.map(|(at, _)| *at).collect();
                let count = if count == 0 {
                    found.len()
                } else {
                    count as usize
                };
                self.reply(&found[..count.min(found.len())], most)?
            }
            Operation::Claim { count, .. } => {
                let claimed: Vec<_> = (0..count).map_while(|_| self.reclaim()).collect();
                match self.reply(&claimed, most)? {
                    Reply::Entries { entries, more, .. } => {
                        let mut claimed = Claimed::new("0-0", entries, vec![]);
                        claimed.more = more;
                        Reply::Claimed(claimed)
                    }
                    other => panic!("{other:?}"),
                }
            }
            Operation::Ack { ids, .. } => {
                let acked = ids
                    .iter()
                    .filter(|id| self.pending.remove(&place(id)).is_some());
                Reply::Acknowledged {
                    count: acked.count() as u64,
                }
            }
            other => panic!("{other:?}"),
        })
    }

    /// Returns the reply that carries these entries.
    pub(super) fn reply(&self, places: &[usize], most: usize) -> Answer {
        match self.carry(places, most) {
            Carried::Entries { entries, more } => Ok(Reply::Entries {
                entries,
                last_id: None,
                more,
            }),
            Carried::TooLarge(at) => {
                let mut fault = Fault::from(&CacheError::from_code(code::LIMIT, "too large"));
                fault.entry = Some(id(at));
                Err(Box::new(fault))
            }
        }
    }

    /// Whether the deliveries of each entry were counted right: one, and one more if it was
    /// reclaimed.
    pub(super) fn check_deliveries(&self) {
        for (at, deliveries) in &self.deliveries {
            let expected = 1 + u32::from(self.reclaimed.contains(at));
            assert_eq!(*deliveries, expected, "the deliveries of {at}");
        }
        let counted = self
            .pending
            .iter()
            .all(|(at, pending)| pending.deliveries == self.deliveries[at]);
        assert!(counted);
    }
}
