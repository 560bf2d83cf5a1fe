//! The waiting consumers of one group: in which order they are served (first come, first served),
//! when the group is read, and for how many of them.

pub(crate) mod admission;

use std::collections::BTreeMap;

use streamgate_protocol::{CacheError, CacheResult, Entry, EntryId, Retry};
use tokio::time::Instant;

use crate::hub::deadlines::Deadlines;
use crate::hub::shared_entries::SharedEntries;
use crate::hub::waiter::GroupReadWaiter;

/// Maximum number of consumers for which one probe reads the group: enough to deliver a burst
/// quickly, and few enough that only few reads find nothing at the end of a burst.
const MAX_READS: usize = 64;

/// The waiting consumers of one group by number, which is the order in which they came.
#[derive(Default)]
pub(super) struct GroupWaiters {
    consumers: BTreeMap<u64, GroupReadWaiter>,
    /// The group may have entries.
    pub(super) due: bool,
    /// Serve the group even if a first attempt is still under way.
    pub(super) ignores_first_attempt: bool,
    /// A first attempt has delayed a probe, and no probe was made since.
    pub(super) delayed_by_first_attempt: bool,
    /// The same was so already at the last recheck.
    was_delayed_at_recheck: bool,
    /// Consumers for which the probe in flight reads the group.
    in_flight: usize,
    /// Consumers served since the group was last found empty.
    served: usize,
    /// A read after the last change of the stream found nothing left, so only the next change
    /// brings more. Not everything that happens to a group changes its stream: see
    /// [`recheck`](Self::recheck).
    is_drained: bool,
    /// Consumers may be past their deadline for which the group was not read yet.
    has_overdue: bool,
}

impl GroupWaiters {
    pub(super) fn is_empty(&self) -> bool {
        self.consumers.is_empty() && self.in_flight == 0
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.consumers.is_empty()
    }

    /// Returns whether the group has no entries before the next change of its stream.
    pub(super) fn is_drained(&self) -> bool {
        self.is_drained
    }

    /// Records that a consumer's own read found nothing, and that the stream has not changed since.
    pub(super) fn found_empty(&mut self) {
        self.is_drained |= !self.due;
    }

    /// Adds a consumer. `armed` says whether Redis pushes the stream's next change.
    pub(super) fn add(&mut self, consumer: GroupReadWaiter, armed: bool) {
        self.consumers.insert(consumer.slot.number, consumer);
        // A probe in flight that armed the key serves later consumers too.
        self.due |= !(armed && (self.is_drained || self.in_flight > 0));
    }

    /// The group may have more entries than the last read found.
    pub(super) fn mark_changed(&mut self) {
        (self.due, self.is_drained) = (true, false);
    }

    /// Makes the group due, because Redis does not push everything that happens to a group.
    ///
    /// A first attempt takes a round trip, and a recheck may come in the middle of it. So an
    /// attempt is ignored only from the second recheck on that finds the group delayed.
    pub(super) fn recheck(&mut self) {
        self.due = true;
        self.ignores_first_attempt = self.was_delayed_at_recheck;
        self.was_delayed_at_recheck = self.delayed_by_first_attempt;
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<GroupReadWaiter> {
        self.consumers.remove(&number)
    }

    /// Takes the consumers for which a probe reads the group now.
    ///
    /// These are as many as were served since the group was last empty: that many more are likely
    /// to be served again. So there is at most one read without entries for each entry.
    pub(super) fn start_probe(&mut self, deadlines: &mut Deadlines) -> Vec<GroupReadWaiter> {
        (self.due, self.ignores_first_attempt) = (false, false);
        (self.delayed_by_first_attempt, self.was_delayed_at_recheck) = (false, false);
        let wanted = self.served.clamp(1, MAX_READS);
        let mut consumers = Vec::new();
        while consumers.len() < wanted
            && let Some((number, consumer)) = self.consumers.pop_first()
        {
            deadlines.remove(consumer.waiter.deadline, number);
            if !consumer.waiter.is_cancelled() {
                consumers.push(consumer);
            }
        }
        self.in_flight = consumers.len();
        consumers
    }

    /// Takes the replies to a probe. `end` is the last entry before the probe, if that is known.
    /// Returns a transient error, after which the group has to be read again.
    pub(super) fn finish_probe(
        &mut self,
        replies: Vec<(GroupReadWaiter, CacheResult<Vec<Entry>>)>,
        end: Option<EntryId>,
        deadlines: &mut Deadlines,
        now: Instant,
    ) -> Option<CacheError> {
        self.in_flight = 0;
        let mut transient_error = None;
        let mut found_end = false;
        for (consumer, result) in replies {
            match result {
                Ok(entries) if !entries.is_empty() => {
                    self.served += 1;
                    let found = u64::try_from(entries.len()).unwrap_or(u64::MAX);
                    let last = entries
                        .last()
                        .and_then(|last| EntryId::parse(&last.id).ok());
                    found_end |= consumer.count == 0
                        || found < consumer.count
                        || end.is_some_and(|end| last >= Some(end));
                    consumer.waiter.complete(Ok(SharedEntries::all(entries)));
                }
                Ok(_) => {
                    found_end = true;
                    self.put_back(consumer, Ok(SharedEntries::none()), deadlines, now);
                }
                Err(error) if error.retry() == Retry::Later => {
                    self.put_back(consumer, Err(error.clone()), deadlines, now);
                    transient_error = Some(error);
                }
                Err(error) => {
                    // The group or the stream is gone, which ends every wait for it.
                    consumer.waiter.complete(Err(error.clone()));
                    self.fail(&error, deadlines);
                }
            }
        }
        if found_end {
            self.served = 0;
        }
        // An invalidation during the probe has made the group due already.
        self.is_drained = found_end && transient_error.is_none() && !self.due;
        self.due |= self.has_waiting() && (!found_end || transient_error.is_some());
        if !self.due {
            self.end_overdue(now, || Ok(SharedEntries::none()));
        }
        transient_error
    }

    /// Ends a probe that read the group for nobody, because its consumers had all cancelled.
    pub(super) fn end_probe_without_read(&mut self) {
        if std::mem::take(&mut self.in_flight) > 0 {
            self.due |= self.has_waiting();
        }
    }

    /// Forgets a probe to which there was no reply.
    pub(super) fn abandon_probe(&mut self) {
        self.in_flight = 0;
        self.served = 0;
        self.mark_changed();
    }

    /// Ends a consumer's wait at its deadline. If the group may have entries for it, the group is
    /// read first.
    pub(super) fn expire(&mut self, number: u64, end: CacheResult<SharedEntries>) {
        let may_have_entries = self.due || self.in_flight > 0;
        if may_have_entries && end.is_ok() {
            self.has_overdue = true;
        } else if let Some(consumer) = self.consumers.remove(&number) {
            consumer.waiter.complete(end);
        }
    }

    /// Ends every wait whose deadline has passed.
    pub(super) fn end_overdue(
        &mut self,
        now: Instant,
        end: impl Fn() -> CacheResult<SharedEntries>,
    ) {
        if std::mem::take(&mut self.has_overdue) {
            let is_overdue =
                |_: &u64, consumer: &mut GroupReadWaiter| consumer.waiter.is_overdue(now);
            for (_, consumer) in self.consumers.extract_if(.., is_overdue) {
                consumer.waiter.complete(end());
            }
        }
    }

    /// Ends every wait with an error.
    pub(super) fn fail(&mut self, error: &CacheError, deadlines: &mut Deadlines) {
        while let Some((number, consumer)) = self.consumers.pop_first() {
            deadlines.remove(consumer.waiter.deadline, number);
            consumer.waiter.complete(Err(error.clone()));
        }
    }

    /// Puts a consumer back that got no entries, unless it has cancelled or is overdue.
    pub(super) fn put_back(
        &mut self,
        consumer: GroupReadWaiter,
        if_overdue: CacheResult<SharedEntries>,
        deadlines: &mut Deadlines,
        now: Instant,
    ) {
        if consumer.waiter.is_cancelled() {
            return;
        }
        if consumer.waiter.is_overdue(now) {
            return consumer.waiter.complete(if_overdue);
        }
        deadlines.insert(consumer.waiter.deadline, consumer.key());
        self.consumers.insert(consumer.slot.number, consumer);
    }
}
