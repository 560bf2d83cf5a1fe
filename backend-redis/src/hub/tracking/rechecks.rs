//! The streams whose groups are read from time to time, because Redis does not push everything that
//! happens to a group.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

/// Streams of which groups are rechecked together.
const STREAMS_AT_ONCE: usize = 64;

/// The streams that have waiting consumers, and how far a recheck of them has come.
#[derive(Default)]
pub(in crate::hub) struct Rechecks {
    streams: BTreeSet<Arc<[u8]>>,
    under_way: Option<Position>,
}

/// What a recheck does next.
enum Position {
    Start,
    After(Arc<[u8]>),
}

impl Rechecks {
    pub(in crate::hub) fn add(&mut self, stream: &Arc<[u8]>) {
        self.streams.insert(Arc::clone(stream));
    }

    pub(in crate::hub) fn remove(&mut self, stream: &Arc<[u8]>) {
        self.streams.remove(stream);
    }

    /// Starts a recheck of all streams, unless one is under way.
    pub(in crate::hub) fn start(&mut self) {
        if !self.streams.is_empty() {
            self.under_way.get_or_insert(Position::Start);
        }
    }

    pub(in crate::hub) fn are_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Returns the next streams of the recheck under way, and ends it after the last.
    pub(in crate::hub) fn next_streams(&mut self) -> Vec<Arc<[u8]>> {
        let start = match self.under_way.take() {
            None => return Vec::new(),
            Some(Position::Start) => Bound::Unbounded,
            Some(Position::After(stream)) => Bound::Excluded(stream),
        };
        let rest = self.streams.range((start, Bound::Unbounded));
        let next: Vec<_> = rest.take(STREAMS_AT_ONCE).cloned().collect();
        if next.len() == STREAMS_AT_ONCE {
            self.under_way = next.last().cloned().map(Position::After);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recheck_comes_to_every_stream_once_although_others_come_and_go() {
        let key = |n: usize| -> Arc<[u8]> { format!("{n:04}").into_bytes().into() };
        let mut rechecks = Rechecks::default();
        rechecks.start();
        assert!(!rechecks.are_under_way(), "there are no streams");
        (0..200).for_each(|n| rechecks.add(&key(n)));
        rechecks.start();
        let mut found = rechecks.next_streams();
        assert_eq!(found.len(), STREAMS_AT_ONCE);
        // The last one found, one before it, and one that is still to come.
        for n in [STREAMS_AT_ONCE - 1, 3, 150] {
            rechecks.remove(&key(n));
        }
        rechecks.add(&key(1_000));
        while rechecks.are_under_way() {
            found.extend(rechecks.next_streams());
        }
        let expected = (0..200).filter(|n| *n != 150).chain([1_000]).map(key);
        assert_eq!(found, expected.collect::<Vec<_>>());
    }
}
