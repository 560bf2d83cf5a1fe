//! Who came first among the consumers of a group.
//!
//! A consumer that finds nobody of its group waiting group_reads at once; whoever comes while it group_reads,
//! or while another waits, queues behind. So nobody overtakes a waiting consumer, and the common
//! case of a consumer that finds entries costs no more than its one command.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::UnboundedSender;

use crate::hub::message::HubMessage;

/// A group of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct GroupKey {
    pub(crate) stream: Arc<str>,
    pub(crate) group: Arc<str>,
}

/// The wait_queues of all groups that somebody waits for.
#[derive(Default)]
pub(crate) struct WaitQueues {
    wait_queues: Mutex<HashMap<GroupKey, GroupQueue>>,
    /// One sequence for all, so that no number is ever given twice.
    numbers: AtomicU64,
}

#[derive(Default)]
struct GroupQueue {
    /// The first of the line is trying. Only an empty line lets one try, so it came before all
    /// who wait.
    attempting: bool,
    waiting: usize,
}

/// What a consumer that comes may do.
pub(crate) enum Admission {
    /// GroupRead, then wait if there is nothing.
    First(FirstAttempt),
    /// HubWait.
    Queued(QueueSlot),
}

/// The right to try first. Dropping it lets the next one go on.
pub(crate) struct FirstAttempt {
    wait_queues: Arc<WaitQueues>,
    key: GroupKey,
    number: u64,
    hub: UnboundedSender<HubMessage>,
    over: bool,
}

/// A place in a line, until it is dropped.
pub(crate) struct QueueSlot {
    wait_queues: Arc<WaitQueues>,
    pub(crate) key: GroupKey,
    /// Lower numbers came first.
    pub(crate) number: u64,
    /// Of one that tried first, until the hub knows of it: so long it still counts as trying, or
    /// the hub would serve those behind it.
    unknown_to: Option<UnboundedSender<HubMessage>>,
}

impl WaitQueues {
    pub(crate) fn join(
        self: &Arc<Self>,
        key: GroupKey,
        hub: &UnboundedSender<HubMessage>,
    ) -> Admission {
        let mut wait_queues = self.lock();
        let line = wait_queues.entry(key.clone()).or_default();
        // Under the lock, so that the order of numbers is the order of coming.
        let number = self.next_number();
        let wait_queues = Arc::clone(self);
        if line.attempting || line.waiting > 0 {
            line.waiting += 1;
            let unknown_to = None;
            return Admission::Queued(QueueSlot {
                wait_queues,
                key,
                number,
                unknown_to,
            });
        }
        line.attempting = true;
        Admission::First(FirstAttempt {
            wait_queues,
            key,
            number,
            hub: hub.clone(),
            over: false,
        })
    }

    /// Whether the first of the line is trying, so that nobody may be served before it.
    pub(crate) fn first_is_attempting(&self, key: &GroupKey) -> bool {
        self.lock().get(key).is_some_and(|line| line.attempting)
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<GroupKey, GroupQueue>> {
        // Nothing that can panic happens under the lock.
        self.wait_queues
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a line and removes it once nobody is in it. Returns how many wait.
    fn leave(&self, key: &GroupKey, change: impl FnOnce(&mut GroupQueue)) -> usize {
        let mut wait_queues = self.lock();
        let Entry::Occupied(mut entry) = wait_queues.entry(key.clone()) else {
            return 0;
        };
        let line = entry.get_mut();
        change(line);
        let waiting = line.waiting;
        if !line.attempting && waiting == 0 {
            entry.remove();
        }
        waiting
    }
}

impl FirstAttempt {
    /// There was nothing: waits, in front of all who came later.
    pub(crate) fn wait(mut self) -> QueueSlot {
        self.over = true;
        self.wait_queues.leave(&self.key, |line| line.waiting += 1);
        QueueSlot {
            wait_queues: Arc::clone(&self.wait_queues),
            key: self.key.clone(),
            number: self.number,
            unknown_to: Some(self.hub.clone()),
        }
    }
}

impl QueueSlot {
    /// The hub knows who waits here.
    pub(crate) fn registered(&mut self) {
        if self.unknown_to.take().is_some() {
            self.wait_queues
                .leave(&self.key, |line| line.attempting = false);
        }
    }
}

impl Drop for FirstAttempt {
    fn drop(&mut self) {
        if !self.over
            && self
                .wait_queues
                .leave(&self.key, |line| line.attempting = false)
                > 0
        {
            // Without a hub nobody waits any more.
            let _ = self.hub.send(HubMessage::NextInLine(self.key.clone()));
        }
    }
}

impl Drop for QueueSlot {
    fn drop(&mut self) {
        let tried = self.unknown_to.take();
        let waiting = self.wait_queues.leave(&self.key, |line| {
            line.waiting = line.waiting.saturating_sub(1);
            line.attempting &= tried.is_none();
        });
        if let Some(hub) = tried
            && waiting > 0
        {
            // Without a hub nobody waits any more.
            let _ = hub.send(HubMessage::NextInLine(self.key.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    fn key() -> GroupKey {
        GroupKey {
            stream: "s".into(),
            group: "g".into(),
        }
    }

    #[test]
    fn only_the_first_of_an_empty_line_tries() {
        let (hub, mut told) = unbounded_channel();
        let wait_queues = Arc::new(WaitQueues::default());
        let Admission::First(attempt) = wait_queues.join(key(), &hub) else {
            panic!("the line is empty")
        };
        let Admission::Queued(second) = wait_queues.join(key(), &hub) else {
            panic!("one is trying")
        };
        assert!(wait_queues.first_is_attempting(&key()));
        let mut first = attempt.wait();
        assert!(
            wait_queues.first_is_attempting(&key()),
            "the hub does not know of it yet"
        );
        first.registered();
        assert!(!wait_queues.first_is_attempting(&key()));
        assert!(first.number < second.number);
        let Admission::Queued(third) = wait_queues.join(key(), &hub) else {
            panic!("two are waiting")
        };
        assert!(second.number < third.number);
        drop((first, second, third));
        assert!(wait_queues.lock().is_empty());
        assert!(
            told.try_recv().is_err(),
            "nobody waited behind an attempt that ended"
        );
    }

    #[test]
    fn an_attempt_that_ends_lets_the_next_go_on() {
        let (hub, mut told) = unbounded_channel();
        let wait_queues = Arc::new(WaitQueues::default());
        let attempt = wait_queues.join(key(), &hub);
        let _place = wait_queues.join(key(), &hub);
        drop(attempt);
        assert!(matches!(told.try_recv(), Ok(HubMessage::NextInLine(k)) if k == key()));
    }

    #[test]
    fn one_that_tried_and_left_before_the_hub_knew_lets_the_next_go_on() {
        let (hub, mut told) = unbounded_channel();
        let wait_queues = Arc::new(WaitQueues::default());
        let Admission::First(attempt) = wait_queues.join(key(), &hub) else {
            panic!("the line is empty")
        };
        let _second = wait_queues.join(key(), &hub);
        drop(attempt.wait());
        assert!(!wait_queues.first_is_attempting(&key()));
        assert!(matches!(told.try_recv(), Ok(HubMessage::NextInLine(k)) if k == key()));
    }
}
