//! What consumers of groups were given, so that a lost answer can be told from what came.
//!
//! Redis gives a group's entries in the order of their ids, so what is pending for a consumer
//! behind the last that it was given is what it was given without knowing. Calls of one consumer
//! may be answered out of order; that is what the last ids are for.
//!
//! A look may also find what is on its way to another call of the same consumer, on another of the
//! server's connections to Redis. Nothing tells that from what was lost, so then both give it.

use std::collections::VecDeque;

use streamgate_protocol::{EntryId, StreamEntry};

/// Ids that are remembered of each consumer. An answer that is lost while more than so many others
/// came to the same consumer is not found again; what it gave stays pending.
const MAX_IDS: usize = 1_024;

/// Consumers that are remembered. A read of a group by any other ends with `UNKNOWN_OUTCOME` when
/// its answer is lost.
pub(super) const MAX_CONSUMERS: usize = 1_024;

/// Of one stream and group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name<'a> {
    pub(super) stream: &'a str,
    pub(super) group: &'a str,
    pub(super) consumer: &'a str,
}

#[derive(Debug, Default)]
pub(super) struct DeliveryLog {
    /// Sorted by name.
    consumers: Vec<Consumer>,
}

#[derive(Debug)]
struct Consumer {
    stream: String,
    group: String,
    consumer: String,
    /// The last that were given.
    ids: VecDeque<EntryId>,
    /// The greatest of those before.
    before: EntryId,
    /// A look went as far as this entry, and has not come to the end: a read is not given more than it
    /// asks for.
    looked: Option<String>,
}

impl DeliveryLog {
    /// Entries came. Nothing is noted of a consumer for which there is no place.
    pub(super) fn came(&mut self, name: Name<'_>, entries: &[StreamEntry]) {
        let place = match self.place(name) {
            Ok(place) => place,
            Err(_) if self.is_full() => return,
            Err(place) => {
                self.consumers.insert(place, Consumer::new(name));
                place
            }
        };
        let consumer = &mut self.consumers[place];
        for id in entries.iter().filter_map(|(id, _)| EntryId::parse(id).ok()) {
            if consumer.ids.len() == MAX_IDS
                && let Some(oldest) = consumer.ids.pop_front()
            {
                consumer.before = consumer.before.max(oldest);
            }
            consumer.ids.push_back(id);
        }
    }

    /// Where to look for what was given in an answer that was lost; none if that is not known.
    pub(super) fn look_after(&self, name: Name<'_>) -> Option<String> {
        match self.place(name) {
            Ok(place) => Some(self.consumers[place].before.into()),
            Err(_) if self.is_full() => None,
            Err(_) => Some(EntryId::ZERO.into()),
        }
    }

    /// Leaves those that did not come yet.
    pub(super) fn keep_new(&self, name: Name<'_>, entries: &mut Vec<StreamEntry>) {
        if let Ok(place) = self.place(name) {
            let came = &self.consumers[place].ids;
            entries.retain(|(id, _)| EntryId::parse(id).map_or(true, |id| !came.contains(&id)));
        }
    }

    /// A look found entries up to this one, or nothing any more.
    pub(super) fn looked(&mut self, name: Name<'_>, last: Option<&String>) {
        // Of a consumer that nothing came to, too, a look may not have come to the end.
        self.came(name, &[]);
        if let Ok(place) = self.place(name) {
            self.consumers[place].looked = last.cloned();
        }
    }

    /// Where a look has to go on.
    pub(super) fn look_on(&self, name: Name<'_>) -> Option<String> {
        self.consumers[self.place(name).ok()?].looked.clone()
    }

    fn place(&self, name: Name<'_>) -> Result<usize, usize> {
        self.consumers
            .binary_search_by(|consumer| consumer.name().cmp(&name))
    }

    fn is_full(&self) -> bool {
        self.consumers.len() >= MAX_CONSUMERS
    }
}

impl Consumer {
    fn new(name: Name<'_>) -> Self {
        Self {
            stream: name.stream.to_owned(),
            group: name.group.to_owned(),
            consumer: name.consumer.to_owned(),
            ids: VecDeque::new(),
            before: EntryId::ZERO,
            looked: None,
        }
    }

    fn name(&self) -> Name<'_> {
        Name {
            stream: &self.stream,
            group: &self.group,
            consumer: &self.consumer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: Name<'_> = Name {
        stream: "s",
        group: "g",
        consumer: "c",
    };

    fn entries(ids: impl IntoIterator<Item = u64>) -> Vec<StreamEntry> {
        ids.into_iter()
            .map(|ms| (EntryId::new(ms, 0).to_string(), vec![]))
            .collect()
    }

    #[test]
    fn what_came_does_not_come_again() {
        let mut given = DeliveryLog::default();
        assert_eq!(given.look_after(NAME).as_deref(), Some("0-0"));
        given.came(NAME, &entries([6, 7]));
        given.came(NAME, &entries([1, 2]));
        assert_eq!(given.look_after(NAME).as_deref(), Some("0-0"));
        let mut found = entries(1..=8);
        given.keep_new(NAME, &mut found);
        assert_eq!(found, entries([3, 4, 5, 8]));
        let other = Name {
            consumer: "d",
            ..NAME
        };
        let mut found = entries([1]);
        given.keep_new(other, &mut found);
        assert_eq!(found, entries([1]));
    }

    #[test]
    fn what_is_forgotten_is_not_looked_for() {
        let mut given = DeliveryLog::default();
        let many = MAX_IDS as u64 + 10;
        given.came(NAME, &entries(1..=many));
        assert_eq!(given.look_after(NAME).as_deref(), Some("10-0"));
        let mut found = entries(10..=many + 1);
        given.keep_new(NAME, &mut found);
        assert_eq!(found, entries([10, many + 1]));
    }

    #[test]
    fn only_so_many_consumers_are_known() {
        let mut given = DeliveryLog::default();
        let names: Vec<String> = (0..=MAX_CONSUMERS).map(|n| n.to_string()).collect();
        let name = |n: usize| Name {
            consumer: &names[n],
            ..NAME
        };
        for n in 0..=MAX_CONSUMERS {
            given.came(name(n), &entries([5]));
        }
        assert_eq!(given.look_after(name(0)).as_deref(), Some("0-0"));
        assert_eq!(given.look_after(name(MAX_CONSUMERS)), None);
        assert_eq!(given.consumers.len(), MAX_CONSUMERS);
    }
}
