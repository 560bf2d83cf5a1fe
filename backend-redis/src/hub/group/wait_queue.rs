//! Who came first among the consumers of a group.
//!
//! A consumer that finds nobody of its group waiting tries at once; whoever comes while it tries,
//! or while another waits, queues behind. So nobody overtakes a waiting consumer, and the common
//! case of a consumer that finds entries costs no more than its one command.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::UnboundedSender;

use crate::hub::message::Message;

/// A group of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct GroupKey {
    pub(crate) stream: Arc<str>,
    pub(crate) group: Arc<str>,
}

/// The lines of all groups that somebody waits for.
#[derive(Default)]
pub(crate) struct Lines {
    lines: Mutex<HashMap<GroupKey, Line>>,
    /// One sequence for all, so that no number is ever given twice.
    numbers: AtomicU64,
}

#[derive(Default)]
struct Line {
    /// The first of the line is trying. Only an empty line lets one try, so it came before all
    /// who wait.
    trying: bool,
    waiting: usize,
}

/// What a consumer that comes may do.
pub(crate) enum Turn {
    /// Try, then wait if there is nothing.
    Try(Attempt),
    /// Wait.
    Queue(Place),
}

/// The right to try first. Dropping it lets the next one go on.
pub(crate) struct Attempt {
    lines: Arc<Lines>,
    key: GroupKey,
    number: u64,
    hub: UnboundedSender<Message>,
    over: bool,
}

/// A place in a line, until it is dropped.
pub(crate) struct Place {
    lines: Arc<Lines>,
    pub(crate) key: GroupKey,
    /// Lower numbers came first.
    pub(crate) number: u64,
    /// Of one that tried first, until the hub knows of it: so long it still counts as trying, or
    /// the hub would serve those behind it.
    unknown_to: Option<UnboundedSender<Message>>,
}

impl Lines {
    pub(crate) fn join(self: &Arc<Self>, key: GroupKey, hub: &UnboundedSender<Message>) -> Turn {
        let mut lines = self.lock();
        let line = lines.entry(key.clone()).or_default();
        // Under the lock, so that the order of numbers is the order of coming.
        let number = self.next_number();
        let lines = Arc::clone(self);
        if line.trying || line.waiting > 0 {
            line.waiting += 1;
            let unknown_to = None;
            return Turn::Queue(Place {
                lines,
                key,
                number,
                unknown_to,
            });
        }
        line.trying = true;
        Turn::Try(Attempt {
            lines,
            key,
            number,
            hub: hub.clone(),
            over: false,
        })
    }

    /// Whether the first of the line is trying, so that nobody may be served before it.
    pub(crate) fn is_trying(&self, key: &GroupKey) -> bool {
        self.lock().get(key).is_some_and(|line| line.trying)
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<GroupKey, Line>> {
        // Nothing that can panic happens under the lock.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a line and removes it once nobody is in it. Returns how many wait.
    fn leave(&self, key: &GroupKey, change: impl FnOnce(&mut Line)) -> usize {
        let mut lines = self.lock();
        let Entry::Occupied(mut entry) = lines.entry(key.clone()) else {
            return 0;
        };
        let line = entry.get_mut();
        change(line);
        let waiting = line.waiting;
        if !line.trying && waiting == 0 {
            entry.remove();
        }
        waiting
    }
}

impl Attempt {
    /// There was nothing: waits, in front of all who came later.
    pub(crate) fn wait(mut self) -> Place {
        self.over = true;
        self.lines.leave(&self.key, |line| line.waiting += 1);
        Place {
            lines: Arc::clone(&self.lines),
            key: self.key.clone(),
            number: self.number,
            unknown_to: Some(self.hub.clone()),
        }
    }
}

impl Place {
    /// The hub knows who waits here.
    pub(crate) fn is_known(&mut self) {
        if self.unknown_to.take().is_some() {
            self.lines.leave(&self.key, |line| line.trying = false);
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.over && self.lines.leave(&self.key, |line| line.trying = false) > 0 {
            // Without a hub nobody waits any more.
            let _ = self.hub.send(Message::NextInLine(self.key.clone()));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let tried = self.unknown_to.take();
        let waiting = self.lines.leave(&self.key, |line| {
            line.waiting = line.waiting.saturating_sub(1);
            line.trying &= tried.is_none();
        });
        if let Some(hub) = tried
            && waiting > 0
        {
            // Without a hub nobody waits any more.
            let _ = hub.send(Message::NextInLine(self.key.clone()));
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
        let lines = Arc::new(Lines::default());
        let Turn::Try(attempt) = lines.join(key(), &hub) else {
            panic!("the line is empty")
        };
        let Turn::Queue(second) = lines.join(key(), &hub) else {
            panic!("one is trying")
        };
        assert!(lines.is_trying(&key()));
        let mut first = attempt.wait();
        assert!(lines.is_trying(&key()), "the hub does not know of it yet");
        first.is_known();
        assert!(!lines.is_trying(&key()));
        assert!(first.number < second.number);
        let Turn::Queue(third) = lines.join(key(), &hub) else {
            panic!("two are waiting")
        };
        assert!(second.number < third.number);
        drop((first, second, third));
        assert!(lines.lock().is_empty());
        assert!(
            told.try_recv().is_err(),
            "nobody waited behind an attempt that ended"
        );
    }

    #[test]
    fn an_attempt_that_ends_lets_the_next_go_on() {
        let (hub, mut told) = unbounded_channel();
        let lines = Arc::new(Lines::default());
        let attempt = lines.join(key(), &hub);
        let _place = lines.join(key(), &hub);
        drop(attempt);
        assert!(matches!(told.try_recv(), Ok(Message::NextInLine(k)) if k == key()));
    }

    #[test]
    fn one_that_tried_and_left_before_the_hub_knew_lets_the_next_go_on() {
        let (hub, mut told) = unbounded_channel();
        let lines = Arc::new(Lines::default());
        let Turn::Try(attempt) = lines.join(key(), &hub) else {
            panic!("the line is empty")
        };
        let _second = lines.join(key(), &hub);
        drop(attempt.wait());
        assert!(!lines.is_trying(&key()));
        assert!(matches!(told.try_recv(), Ok(Message::NextInLine(k)) if k == key()));
    }
}
