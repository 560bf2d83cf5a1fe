//! Which consumer may read a group at once, and the numbers of those that wait.
//!
//! A consumer that finds its group's queue empty reads the group at once, on the connection for
//! commands. Consumers that come during that attempt, or while others wait, join the queue. So
//! nobody overtakes a waiting consumer, and a consumer that finds entries at once costs a single
//! command.
//!
//! A group read that does not wait has no place in the queue. It may overtake one that waits, in
//! the moment between an add and Redis's invalidation. Redis and the memory backend serve waiting
//! consumers within the add itself.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A group of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct GroupKey {
    pub(crate) stream: Arc<[u8]>,
    pub(crate) group: Arc<[u8]>,
}

/// The wait queues of all groups that have waiting consumers.
pub(crate) struct WaitQueues {
    queues: Mutex<HashMap<GroupKey, GroupQueue>>,
    /// One sequence for all waiters and tails, so that every number is unique.
    numbers: AtomicU64,
    /// Receives the groups whose first attempt ended, so that the hub serves the next consumer.
    ended_attempts: UnboundedSender<GroupKey>,
}

#[derive(Default)]
struct GroupQueue {
    /// The first consumer reads the group by itself. It found the queue empty, so it came before
    /// everybody who waits.
    first_is_attempting: bool,
    waiting: usize,
}

/// What a consumer may do when it joins.
pub(crate) enum Admission {
    /// Read the group, then wait if there are no entries.
    First(FirstAttempt),
    /// Wait.
    Queued(QueueSlot),
}

/// The right to read the group first. Dropping it lets the hub serve the next consumer.
pub(crate) struct FirstAttempt {
    queues: Arc<WaitQueues>,
    key: GroupKey,
    number: u64,
    found_nothing: bool,
}

/// A place in a group's queue. Dropping it leaves the queue.
pub(crate) struct QueueSlot {
    queues: Arc<WaitQueues>,
    pub(crate) key: GroupKey,
    /// Lower numbers came first.
    pub(crate) number: u64,
    /// The consumer made the first attempt, and the hub does not know yet that it waits. Until then
    /// it counts as attempting, or the hub would serve those after it first.
    counts_as_attempting: bool,
}

impl WaitQueues {
    /// Creates the queues, and the channel that reports groups whose first attempt has ended.
    pub(crate) fn new() -> (Self, UnboundedReceiver<GroupKey>) {
        let (ended_attempts, receiver) = unbounded_channel();
        let queues = Self {
            queues: Mutex::default(),
            numbers: AtomicU64::new(0),
            ended_attempts,
        };
        (queues, receiver)
    }

    /// Adds a consumer at the end of a group's queue.
    pub(crate) fn join(self: &Arc<Self>, key: GroupKey) -> Admission {
        let mut queues = self.lock();
        let queue = queues.entry(key.clone()).or_default();
        // Taken under the lock, so that numbers are in the order of joining.
        let number = self.next_number();
        if queue.first_is_attempting || queue.waiting > 0 {
            queue.waiting += 1;
            return Admission::Queued(QueueSlot {
                queues: Arc::clone(self),
                key,
                number,
                counts_as_attempting: false,
            });
        }
        queue.first_is_attempting = true;
        Admission::First(FirstAttempt {
            queues: Arc::clone(self),
            key,
            number,
            found_nothing: false,
        })
    }

    /// Returns whether the first consumer is still attempting, so that nobody may be served yet.
    pub(crate) fn first_is_attempting(&self, key: &GroupKey) -> bool {
        let queues = self.lock();
        queues
            .get(key)
            .is_some_and(|queue| queue.first_is_attempting)
    }

    /// Returns a number that nobody else has.
    pub(crate) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<GroupKey, GroupQueue>> {
        // Nothing that can panic happens under the lock.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a queue, and removes it once nobody is in it. Returns how many consumers wait.
    fn update(&self, key: &GroupKey, change: impl FnOnce(&mut GroupQueue)) -> usize {
        let mut queues = self.lock();
        let Entry::Occupied(mut entry) = queues.entry(key.clone()) else {
            return 0;
        };
        let queue = entry.get_mut();
        change(queue);
        let waiting = queue.waiting;
        if !queue.first_is_attempting && waiting == 0 {
            entry.remove();
        }
        waiting
    }

    fn report_ended_attempt(&self, key: &GroupKey) {
        // If the hub's task has ended, nobody waits any more.
        let _ = self.ended_attempts.send(key.clone());
    }
}

impl FirstAttempt {
    /// Joins the queue in front of all who came later, because the group has no entries.
    pub(crate) fn wait(mut self) -> QueueSlot {
        self.found_nothing = true;
        self.queues.update(&self.key, |queue| queue.waiting += 1);
        QueueSlot {
            queues: Arc::clone(&self.queues),
            key: self.key.clone(),
            number: self.number,
            counts_as_attempting: true,
        }
    }
}

impl QueueSlot {
    /// Ends the first attempt, because the hub's table has the consumer now.
    pub(crate) fn registered(&mut self) {
        if std::mem::take(&mut self.counts_as_attempting) {
            self.queues
                .update(&self.key, |queue| queue.first_is_attempting = false);
        }
    }
}

impl Drop for FirstAttempt {
    fn drop(&mut self) {
        if self.found_nothing {
            return;
        }
        let waiting = self
            .queues
            .update(&self.key, |queue| queue.first_is_attempting = false);
        if waiting > 0 {
            self.queues.report_ended_attempt(&self.key);
        }
    }
}

impl Drop for QueueSlot {
    fn drop(&mut self) {
        let ends_attempt = self.counts_as_attempting;
        let waiting = self.queues.update(&self.key, |queue| {
            queue.waiting = queue.waiting.saturating_sub(1);
            queue.first_is_attempting &= !ends_attempt;
        });
        if ends_attempt && waiting > 0 {
            self.queues.report_ended_attempt(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> GroupKey {
        GroupKey {
            stream: (*b"s").into(),
            group: (*b"g").into(),
        }
    }

    fn queues() -> (Arc<WaitQueues>, UnboundedReceiver<GroupKey>) {
        let (queues, ended_attempts) = WaitQueues::new();
        (Arc::new(queues), ended_attempts)
    }

    fn join_first(queues: &Arc<WaitQueues>) -> FirstAttempt {
        match queues.join(key()) {
            Admission::First(attempt) => attempt,
            Admission::Queued(_) => panic!("the queue is not empty"),
        }
    }

    fn join_queued(queues: &Arc<WaitQueues>) -> QueueSlot {
        match queues.join(key()) {
            Admission::Queued(slot) => slot,
            Admission::First(_) => panic!("the queue is empty"),
        }
    }

    #[test]
    fn only_the_first_consumer_of_an_empty_queue_reads_by_itself() {
        let (queues, mut ended_attempts) = queues();
        let attempt = join_first(&queues);
        let second = join_queued(&queues);
        assert!(queues.first_is_attempting(&key()));
        let mut first = attempt.wait();
        assert!(
            queues.first_is_attempting(&key()),
            "the hub does not know of it yet"
        );
        first.registered();
        assert!(!queues.first_is_attempting(&key()));
        assert!(first.number < second.number);
        let third = join_queued(&queues);
        assert!(second.number < third.number);
        drop((first, second, third));
        assert!(queues.lock().is_empty());
        assert!(
            ended_attempts.try_recv().is_err(),
            "the hub knows of all of them"
        );
    }

    #[test]
    fn the_end_of_a_first_attempt_is_reported_if_others_wait() {
        let (queues, mut ended_attempts) = queues();
        let attempt = join_first(&queues);
        let _second = join_queued(&queues);
        drop(attempt);
        assert_eq!(ended_attempts.try_recv(), Ok(key()));
    }

    #[test]
    fn leaving_before_the_hub_knows_ends_the_first_attempt() {
        let (queues, mut ended_attempts) = queues();
        let attempt = join_first(&queues);
        let _second = join_queued(&queues);
        drop(attempt.wait());
        assert!(!queues.first_is_attempting(&key()));
        assert_eq!(ended_attempts.try_recv(), Ok(key()));
    }
}
