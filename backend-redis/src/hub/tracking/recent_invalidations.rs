//! The invalidations that have come lately.
//!
//! The first attempt of a wait arms its key, and the caller tells the hub afterwards. An
//! invalidation may come in between, when the hub does not know of the wait yet. So the hub
//! remembers invalidations for a while, and compares them with what it is told later.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::connection::invalidations::Arming;

/// Maximum number of invalidations that are remembered. A wait whose first attempt is older than
/// all of them reads once more.
const MAX_REMEMBERED: usize = 4096;

/// Maximum number of bytes of the names of their streams.
const MAX_REMEMBERED_BYTES: usize = 1024 * 1024;

/// The last invalidations of the current connection.
#[derive(Debug, Default)]
pub(in crate::hub) struct RecentInvalidations {
    generation: u64,
    /// The number of the last invalidation of each stream that is remembered.
    last: HashMap<Arc<[u8]>, u64>,
    /// The streams in the order of their invalidations, the oldest first.
    order: VecDeque<(u64, Arc<[u8]>)>,
    /// Bytes of their names.
    bytes: usize,
    /// Invalidations up to this number are forgotten. Each may have been of any stream.
    forgotten: u64,
}

impl RecentInvalidations {
    /// Starts anew for a connection. What was armed on an earlier one is armed no longer.
    pub(in crate::hub) fn start(&mut self, generation: u64) {
        self.generation = generation;
    }

    /// Records an invalidation of one stream.
    pub(in crate::hub) fn record(&mut self, stream: &[u8], number: u64) {
        let stream: Arc<[u8]> = stream.into();
        self.last.insert(Arc::clone(&stream), number);
        self.bytes += stream.len();
        self.order.push_back((number, stream));
        while (self.order.len() > MAX_REMEMBERED || self.bytes > MAX_REMEMBERED_BYTES)
            && let Some((number, stream)) = self.order.pop_front()
        {
            self.bytes -= stream.len();
            self.forgotten = self.forgotten.max(number);
            if self.last.get(&stream) == Some(&number) {
                self.last.remove(&stream);
            }
        }
    }

    /// Records an invalidation of all streams.
    pub(in crate::hub) fn record_all(&mut self, number: u64) {
        self.forgotten = self.forgotten.max(number);
        self.last.clear();
        self.order.clear();
        self.bytes = 0;
    }

    /// Returns whether a stream is still armed by a read, as far as the hub has heard.
    pub(in crate::hub) fn is_armed(&self, stream: &[u8], arming: Option<Arming>) -> bool {
        arming.is_some_and(|arming| {
            let last = self.last.get(stream).copied().unwrap_or(0);
            arming.generation == self.generation
                && arming.last_invalidation >= self.forgotten.max(last)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn after(last_invalidation: u64) -> Option<Arming> {
        Some(Arming {
            generation: 1,
            last_invalidation,
        })
    }

    #[test]
    fn a_read_arms_until_its_stream_is_invalidated_or_the_connection_is_lost() {
        let mut recent = RecentInvalidations::default();
        recent.start(1);
        recent.record(b"s", 5);
        assert!(recent.is_armed(b"s", after(5)));
        assert!(!recent.is_armed(b"s", after(4)));
        assert!(recent.is_armed(b"other", after(4)));
        assert!(!recent.is_armed(b"other", None));
        recent.record_all(6);
        assert!(!recent.is_armed(b"other", after(5)));
        assert!(recent.is_armed(b"s", after(6)));
        recent.start(2);
        assert!(!recent.is_armed(b"s", after(6)));
    }

    #[test]
    fn a_read_before_the_oldest_invalidation_that_is_remembered_arms_nothing() {
        let mut recent = RecentInvalidations::default();
        recent.start(1);
        let remembered = MAX_REMEMBERED as u64;
        for number in 1..=remembered + 10 {
            recent.record(&number.to_be_bytes(), number);
        }
        assert_eq!(recent.last.len(), MAX_REMEMBERED);
        assert!(!recent.is_armed(b"s", after(9)));
        assert!(recent.is_armed(b"s", after(10)));
        // One stream that changes all the time is forgotten once, not with each older change.
        for number in 0..remembered {
            recent.record(b"s", 2 * remembered + number);
        }
        assert_eq!(recent.last.len(), 1);
        assert!(!recent.is_armed(b"s", after(3 * remembered - 2)));
    }

    #[test]
    fn the_names_that_are_remembered_have_a_bound_in_bytes() {
        let mut recent = RecentInvalidations::default();
        recent.start(1);
        let name = |n: u8| vec![n; MAX_REMEMBERED_BYTES / 4];
        for number in 1..=10 {
            recent.record(&name(number), u64::from(number));
            assert!(recent.bytes <= MAX_REMEMBERED_BYTES);
        }
        assert_eq!((recent.order.len(), recent.last.len()), (4, 4));
        assert!(recent.is_armed(b"s", after(6)));
        assert!(!recent.is_armed(b"s", after(5)));
        recent.record_all(11);
        assert_eq!(recent.bytes, 0);
    }
}
