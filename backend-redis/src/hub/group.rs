//! The waiting consumers of one group.

pub(crate) mod cancel_guard;
pub(crate) mod wait_queue;

use std::collections::BTreeMap;
use std::sync::Arc;

use streamgate_protocol::{CacheError, CacheResult, Retry, StreamEntry};
use tokio::time::Instant;

use crate::hub::deadlines::Deadlines;
use crate::hub::message::{GroupReadWaiter, SharedEntries, WaiterKey};
use crate::hub::probe::GroupRead;
use streamgate_protocol::EntryId;

/// Consumers tried for in one round trip at most: enough to hand out a burst quickly, and few
/// enough that a burst's end costs few needless group_reads.
const MAX_TRIES: usize = 64;

/// Waiting consumers by number, which is the order in which they came.
#[derive(Default)]
pub(super) struct GroupWaiters {
    consumers: BTreeMap<u64, GroupReadWaiter>,
    /// There may be entries.
    pub(super) due: bool,
    /// Serve even if one that came first has not said what came of its own attempt.
    pub(super) forced: bool,
    /// Such a one has held up a look, and no other look came to anything since.
    pub(super) held_up: bool,
    /// It did so already at the last recheck.
    doubted: bool,
    /// Consumers tried for in the round trip under way.
    trying: usize,
    /// Consumers served since the group was last found empty.
    served: usize,
    /// A look behind the last change of the stream found nothing left, so that the next change is
    /// what brings more. Not all that happens to a group changes its stream: see `recheck`.
    drained: bool,
    /// Consumers may be past their deadline that were never tried for.
    overdue: bool,
}

impl GroupWaiters {
    pub(super) fn is_empty(&self) -> bool {
        self.consumers.is_empty() && self.trying == 0
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.consumers.is_empty()
    }

    /// Whether nothing is left until the next change, so that whoever waits holds up nobody.
    pub(super) fn is_drained(&self) -> bool {
        self.drained
    }

    /// `armed`: the stream's next change will be told.
    pub(super) fn add(&mut self, consumer: GroupReadWaiter, armed: bool) {
        self.consumers.insert(consumer.slot.number, consumer);
        // A look that is under way and is behind the arming is one for whoever comes meanwhile too.
        self.due |= !(armed && (self.drained || self.trying > 0));
    }

    /// There may be more than the last look found.
    pub(super) fn changed(&mut self) {
        (self.due, self.drained) = (true, false);
    }

    /// Looks again. Whoever group_reads first is waited for until the recheck after that which found it trying:
    /// an attempt takes a round trip, and a recheck may come in the middle of it.
    pub(super) fn recheck(&mut self) {
        self.due = true;
        self.forced = self.doubted;
        self.doubted = self.held_up;
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<GroupReadWaiter> {
        self.consumers.remove(&number)
    }

    /// Takes those to try for now: as many as were served in this run, because that many again
    /// are likely to be, so that at most one try for each entry finds nothing.
    pub(super) fn start(&mut self, deadlines: &mut Deadlines) -> Vec<GroupReadWaiter> {
        (self.due, self.forced) = (false, false);
        (self.held_up, self.doubted) = (false, false);
        let wanted = self.served.clamp(1, MAX_TRIES);
        let mut taken = Vec::new();
        while taken.len() < wanted
            && let Some((number, consumer)) = self.consumers.pop_first()
        {
            deadlines.remove(consumer.waiter.deadline, number);
            // Nobody may be handed entries who does not wait any more.
            if consumer.delivery.begin_delivery() {
                taken.push(consumer);
            }
        }
        self.trying = taken.len();
        taken
    }

    /// Takes the answers of a round trip, `end` being the last entry there was before it, if that
    /// is known. Returns an error after which to try again later.
    pub(super) fn finish(
        &mut self,
        group_reads: Vec<(GroupRead, CacheResult<Vec<StreamEntry>>)>,
        end: Option<EntryId>,
        deadlines: &mut Deadlines,
        now: Instant,
    ) -> Option<CacheError> {
        self.trying = 0;
        let mut transient_error = None;
        let mut exhausted = false;
        for (GroupRead { group, consumer }, result) in group_reads {
            match result {
                Ok(entries) if !entries.is_empty() => {
                    self.served += 1;
                    let found = u64::try_from(entries.len()).unwrap_or(u64::MAX);
                    let last = entries.last().and_then(|(id, _)| EntryId::parse(id).ok());
                    exhausted |= consumer.count == 0
                        || found < consumer.count
                        || end.is_some_and(|end| last >= Some(end));
                    consumer.waiter.end(Ok(SharedEntries::all(entries)));
                }
                Ok(_) => {
                    exhausted = true;
                    self.put_back(
                        group,
                        consumer,
                        Ok(SharedEntries::nothing()),
                        deadlines,
                        now,
                    );
                }
                Err(error) if error.retry() == Retry::Later => {
                    self.put_back(group, consumer, Err(error.clone()), deadlines, now);
                    transient_error = Some(error);
                }
                Err(error) => {
                    // The group or the stream is gone: that ends the wait of all.
                    consumer.waiter.end(Err(error.clone()));
                    self.fail(&error, deadlines);
                }
            }
        }
        if exhausted {
            self.served = 0;
        }
        // A change that was told meanwhile has made it due already.
        self.drained = exhausted && transient_error.is_none() && !self.due;
        self.due |= self.has_waiting() && (!exhausted || transient_error.is_some());
        if !self.due {
            self.end_overdue(now, || Ok(SharedEntries::nothing()));
        }
        transient_error
    }

    /// Nothing is known of what came of the group_reads under way.
    pub(super) fn lose(&mut self) {
        self.trying = 0;
        self.served = 0;
        self.changed();
    }

    /// Ends a consumer's wait at its deadline. If there may be entries that it was not tried for
    /// yet, that is done first.
    pub(super) fn expire(&mut self, number: u64, end: CacheResult<SharedEntries>) {
        let unsettled = self.due || self.trying > 0;
        if unsettled && end.is_ok() {
            self.overdue = true;
        } else if let Some(consumer) = self.consumers.remove(&number) {
            consumer.waiter.end(end);
        }
    }

    /// Ends the waits whose deadline has passed.
    pub(super) fn end_overdue(
        &mut self,
        now: Instant,
        end: impl Fn() -> CacheResult<SharedEntries>,
    ) {
        if std::mem::take(&mut self.overdue) {
            let is_overdue = |consumer: &GroupReadWaiter| consumer.waiter.is_overdue(now);
            let numbers: Vec<u64> = self
                .consumers
                .iter()
                .filter_map(|(number, consumer)| is_overdue(consumer).then_some(*number))
                .collect();
            for number in numbers {
                if let Some(consumer) = self.consumers.remove(&number) {
                    consumer.waiter.end(end());
                }
            }
        }
    }

    /// Ends every wait.
    pub(super) fn fail(&mut self, error: &CacheError, deadlines: &mut Deadlines) {
        while let Some((number, consumer)) = self.consumers.pop_first() {
            deadlines.remove(consumer.waiter.deadline, number);
            consumer.waiter.end(Err(error.clone()));
        }
    }

    fn put_back(
        &mut self,
        group: Arc<str>,
        consumer: GroupReadWaiter,
        if_overdue: CacheResult<SharedEntries>,
        deadlines: &mut Deadlines,
        now: Instant,
    ) {
        if !consumer.delivery.end_delivery() {
            return;
        }
        if consumer.waiter.is_overdue(now) {
            return consumer.waiter.end(if_overdue);
        }
        let number = consumer.slot.number;
        let stream = Arc::clone(&consumer.slot.key.stream);
        let address = WaiterKey {
            stream,
            group: Some(group),
            number,
        };
        deadlines.insert(consumer.waiter.deadline, address);
        self.consumers.insert(number, consumer);
    }
}
