//! The state of one stream that somebody waits for: its waiters, and whether its key is armed.
//!
//! *Armed* means that Redis pushes the stream's next change, or that the stream is polled. The
//! first read of a probe arms the key, and so does the first attempt of a wait, which callers send
//! by themselves; an invalidation disarms it. So a waiter that a read to the end of the stream did
//! not serve is woken by an invalidation.
//!
//! A stream has one probe in flight at most ([`crate::hub::probe`]). An invalidation that overtakes
//! the reply to a probe makes the stream due again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use streamgate_protocol::error::code;
use streamgate_protocol::{CacheError, CacheResult, Entry, EntryId, Retry};
use tokio::time::Instant;

use crate::connection::command_connection::SendError;
use crate::hub::deadlines::Deadlines;
use crate::hub::feed::queued_segment::QueuedBytes;
use crate::hub::feed::{Feed, FeedSubscriber};
use crate::hub::group::GroupWaiters;
use crate::hub::group::admission::{GroupKey, WaitQueues};
use crate::hub::probe::{ArmingRead, Probe, ProbeReply};
use crate::hub::readers::ReadWaiters;
use crate::hub::shared_entries::SharedEntries;
use crate::hub::tracking::throttle::Throttle;
use crate::hub::waiter::{GroupReadWaiter, ReadWaiter, WaiterKey};
use crate::tail::cursor::TailCursor;
use crate::tail::range::{RangeReply, RangeRequest};
use crate::wire::errors;

/// A stream that somebody waits for.
pub(super) struct StreamState {
    stream: Arc<[u8]>,
    /// Whether the table lists the stream among those that may need a probe.
    pub(super) is_listed: bool,
    readers: ReadWaiters,
    groups: HashMap<Arc<[u8]>, GroupWaiters>,
    /// Present while the stream has tails.
    feed: Option<Feed>,
    in_flight: InFlightProbe,
    /// A read is needed: to find entries for readers, or to arm. The feed's read arms too.
    due: bool,
    armed: bool,
    /// No entry was after this id when the key was armed. Unknown if absent.
    end: Option<EntryId>,
    throttle: Throttle,
    /// The stream has changed, and the next probe waits for the end of a pause.
    is_throttled: bool,
    /// Redis refuses to answer for now. The stream is probed again after a pause.
    transient_error: Option<CacheError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InFlightProbe {
    None,
    WithoutRead,
    WithRead,
}

impl StreamState {
    pub(super) fn new(stream: Arc<[u8]>) -> Self {
        Self {
            stream,
            is_listed: false,
            readers: ReadWaiters::default(),
            groups: HashMap::new(),
            feed: None,
            in_flight: InFlightProbe::None,
            due: false,
            armed: false,
            end: None,
            throttle: Throttle::default(),
            is_throttled: false,
            transient_error: None,
        }
    }

    pub(super) fn stream(&self) -> Arc<[u8]> {
        Arc::clone(&self.stream)
    }

    /// Returns whether nobody waits for the stream and no probe is in flight.
    pub(super) fn is_empty(&self) -> bool {
        let nobody = self.readers.is_empty() && self.groups.is_empty() && self.feed.is_none();
        nobody && self.in_flight == InFlightProbe::None
    }

    pub(super) fn has_transient_error(&self) -> bool {
        self.transient_error.is_some()
    }

    /// Returns whether a probe has to be made now.
    pub(super) fn needs_probe(&self) -> bool {
        self.in_flight == InFlightProbe::None
            && self.transient_error.is_none()
            && (self.due
                || self.feed.as_ref().is_some_and(|feed| feed.due)
                || self.groups.values().any(|group| group.due))
    }

    /// Returns the id after which the stream has to be polled where Redis refuses
    /// `CLIENT TRACKING`, if a probe found the end and no change was found since.
    pub(super) fn armed_after(&self) -> Option<EntryId> {
        self.end.filter(|_| self.armed && !self.is_empty())
    }

    /// Adds a reader. `is_armed` says that its own read armed the key and found nothing, and that
    /// the stream has not changed since.
    pub(super) fn add_reader(&mut self, reader: ReadWaiter, is_armed: bool) {
        if is_armed {
            self.end = Some(match self.end {
                Some(end) if self.armed => end.min(reader.after),
                _ => reader.after,
            });
            self.armed = true;
        } else {
            // The reply to a read in flight is compared with the ids of all readers when it comes.
            let is_reading = self.in_flight == InFlightProbe::WithRead;
            let is_at_end = self.armed && self.end.is_some_and(|end| end <= reader.after);
            self.due |= !is_reading && !is_at_end;
        }
        self.readers.add(reader);
    }

    /// Adds a consumer. `is_armed` says the same as for a reader. Where streams are polled, the key
    /// may be armed after a reader's id, which may be greater than the end of the stream.
    pub(super) fn add_consumer(
        &mut self,
        mut consumer: GroupReadWaiter,
        is_polled: bool,
        is_armed: bool,
    ) {
        consumer.slot.registered();
        let has_readers_only = self.groups.is_empty() && !self.readers.is_empty();
        let group = Arc::clone(&consumer.slot.key.group);
        let group = self.groups.entry(group).or_default();
        if is_armed {
            self.armed = true;
            group.found_empty();
        }
        self.due |= !self.armed || (is_polled && has_readers_only);
        group.add(consumer, self.armed);
    }

    /// Adds a tail to the feed.
    pub(super) fn join_feed(&mut self, mut subscriber: FeedSubscriber) {
        let position = subscriber.position;
        let is_at_end = self.armed && self.end == Some(position);
        let cursor = subscriber.cursor.take();
        let feed = self.feed.get_or_insert_with(|| {
            let cursor = cursor.map_or_else(|| TailCursor::after(position), |cursor| *cursor);
            let mut feed = Feed::new(cursor);
            feed.due = !is_at_end;
            feed
        });
        feed.join(subscriber);
    }

    pub(super) fn leave_feed(&mut self, number: u64) {
        if let Some(feed) = &mut self.feed {
            feed.leave(number);
        }
        self.remove_empty();
    }

    /// Makes every tail lag whose queue is not empty.
    pub(super) fn lag_slow_tails(&mut self) {
        if let Some(feed) = &mut self.feed {
            feed.lag_slow();
        }
        self.remove_empty();
    }

    /// Removes a waiter whose caller has cancelled.
    pub(super) fn cancel(
        &mut self,
        key: &WaiterKey,
        wait_queues: &WaitQueues,
        deadlines: &mut Deadlines,
    ) {
        let waiter = match &key.group {
            None => {
                let reader = self.readers.remove(key.number);
                reader.map(|reader| reader.waiter)
            }
            Some(name) => self.groups.get_mut(name).and_then(|group| {
                let consumer = group.remove(key.number)?;
                // This consumer may have been the one for which the others had to wait.
                let may_have_delayed =
                    !group.is_drained() || wait_queues.first_is_attempting(&consumer.slot.key);
                group.due |= group.has_waiting() && may_have_delayed;
                Some(consumer.waiter)
            }),
        };
        if let Some(waiter) = waiter {
            deadlines.remove(waiter.deadline, key.number);
        }
        self.remove_empty();
    }

    /// The stream has changed, or may have: forgets what is known of it.
    pub(super) fn mark_changed(&mut self) {
        (self.armed, self.end) = (false, None);
        (self.due, self.is_throttled) = (true, false);
        self.groups
            .values_mut()
            .for_each(GroupWaiters::mark_changed);
        if let Some(feed) = &mut self.feed {
            feed.due = true;
        }
    }

    /// Takes an invalidation. Returns the pause after which [`end_throttle`](Self::end_throttle) is
    /// to be called, if the stream is throttled from now on.
    pub(super) fn invalidated(&mut self, now: Instant) -> Option<Duration> {
        let is_probing = self.in_flight != InFlightProbe::None;
        match self.throttle.invalidated(now, is_probing) {
            Some(pause) => {
                (self.armed, self.end) = (false, None);
                (!std::mem::replace(&mut self.is_throttled, true)).then_some(pause)
            }
            None => {
                self.mark_changed();
                None
            }
        }
    }

    pub(super) fn end_throttle(&mut self) {
        if self.is_throttled {
            self.mark_changed();
        }
    }

    /// Makes the groups due: Redis does not push everything that happens to them.
    pub(super) fn recheck_groups(&mut self) {
        self.groups.values_mut().for_each(GroupWaiters::recheck);
    }

    /// Probes again after a transient error.
    pub(super) fn retry(&mut self) {
        self.transient_error = None;
        self.mark_changed();
    }

    /// Returns the probe to make now, if one is needed.
    pub(super) fn start_probe(
        &mut self,
        wait_queues: &WaitQueues,
        deadlines: &mut Deadlines,
        is_polled: bool,
    ) -> Option<Probe> {
        if !self.needs_probe() {
            return None;
        }
        let group_reads = self.start_group_reads(wait_queues, deadlines);
        self.remove_empty();
        let feed = self.feed.as_mut().and_then(Feed::start_read);
        // The feed's read arms, so only readers need another.
        let is_needed = feed.is_none() || !self.readers.is_empty();
        let read = (std::mem::take(&mut self.due) && is_needed).then(|| self.readers.read());
        // Readers may wait for ids after the end: entries before those ids are for others only.
        let has_others = self.readers.is_empty() || !self.groups.is_empty() || self.feed.is_some();
        let is_wanted = is_polled || !group_reads.is_empty();
        let find_end = is_wanted && read.is_some() && feed.is_none() && has_others;
        if read.is_some() || feed.is_some() {
            // Redis arms the key when it reads. An invalidation before the reply disarms it again.
            (self.armed, self.end) = (true, None);
        } else if group_reads.is_empty() {
            return None;
        }
        self.in_flight = if read.is_some() {
            InFlightProbe::WithRead
        } else {
            InFlightProbe::WithoutRead
        };
        self.throttle.start_probe();
        Some(Probe {
            stream: Arc::clone(&self.stream),
            arms: !is_polled && (read.is_some() || feed.is_some()),
            read,
            find_end,
            feed,
            group_reads,
            cancelled: Vec::new(),
        })
    }

    /// Takes the replies to a probe, and serves the waiters.
    pub(super) fn finish_probe(
        &mut self,
        reply: ProbeReply,
        deadlines: &mut Deadlines,
        queued_bytes: &QueuedBytes,
        now: Instant,
    ) {
        self.in_flight = InFlightProbe::None;
        self.throttle.finish_probe(reply.has_entries(), now);
        let end = reply.end.as_ref().and_then(|end| end.as_ref().ok());
        let end = end.copied();
        match reply.read {
            Some((read, Ok(entries))) => {
                self.deliver(read, entries, deadlines);
                self.learn_end(reply.end);
            }
            // As in Redis, a reader goes on waiting until the key is a stream again.
            Some((read, Err(error))) if error.code() == code::WRONGTYPE => {
                self.deliver(read, Vec::new(), deadlines);
                self.end = None;
            }
            Some((_, Err(error))) if error.retry() == Retry::Later => {
                self.transient_error = Some(error);
            }
            Some((_, Err(error))) => {
                self.armed = false;
                self.fail(&error, deadlines);
            }
            None => {}
        }
        if let Some((request, result)) = reply.feed {
            self.finish_feed_read(request, result, queued_bytes);
        }
        self.finish_group_reads(reply.group_reads, end, deadlines, now);
        if let Some(refusal) = reply.arming_refusal {
            self.armed = false;
            self.transient_error = Some(refusal);
        }
        self.remove_empty();
    }

    /// Forgets a probe to which there was no reply. Redis may have delivered entries to its
    /// consumers, unless it was not sent.
    pub(super) fn abandon_probe(
        &mut self,
        probe: Probe,
        error: &SendError,
        deadlines: &mut Deadlines,
        now: Instant,
    ) {
        self.in_flight = InFlightProbe::None;
        let was_sent = matches!(error, SendError::NoAnswer(_));
        if probe.feed.is_some()
            && was_sent
            && let Some(feed) = &mut self.feed
        {
            feed.read_cut_off();
        }
        for consumer in probe.group_reads {
            let group = self.groups.get_mut(&consumer.slot.key.group);
            match group {
                Some(group) if !was_sent => {
                    let error = Err(errors::disconnected());
                    group.put_back(consumer, error, deadlines, now);
                }
                _ => consumer.waiter.complete(Err(error.to_cache_error(false))),
            }
        }
        self.groups
            .values_mut()
            .for_each(GroupWaiters::abandon_probe);
        self.mark_changed();
        self.remove_empty();
    }

    /// Ends a wait at its deadline, without entries or with the error that prevented a read.
    pub(super) fn expire(&mut self, key: &WaiterKey, down: Option<&CacheError>) {
        let end = match down.or(self.transient_error.as_ref()) {
            Some(error) => Err(error.clone()),
            None => Ok(SharedEntries::none()),
        };
        match &key.group {
            None => {
                if let Some(reader) = self.readers.remove(key.number) {
                    reader.waiter.complete(end);
                }
            }
            Some(name) => {
                if let Some(group) = self.groups.get_mut(name) {
                    group.expire(key.number, end);
                }
            }
        }
        self.remove_empty();
    }

    /// Ends the waits whose deadline has passed while their group was due to be read.
    pub(super) fn end_overdue(&mut self, now: Instant, error: &CacheError) {
        for group in self.groups.values_mut() {
            group.end_overdue(now, || Err(error.clone()));
        }
        self.remove_empty();
    }

    /// Ends every wait and every tail with an error.
    fn fail(&mut self, error: &CacheError, deadlines: &mut Deadlines) {
        self.readers.fail(error, deadlines);
        for group in self.groups.values_mut() {
            group.fail(error, deadlines);
        }
        self.end_feed(error);
        self.remove_empty();
    }

    /// Takes the consumers of every due group. A group whose first attempt is under way is delayed.
    fn start_group_reads(
        &mut self,
        wait_queues: &WaitQueues,
        deadlines: &mut Deadlines,
    ) -> Vec<GroupReadWaiter> {
        let mut group_reads = Vec::new();
        for (name, group) in self.groups.iter_mut().filter(|(_, group)| group.due) {
            let key = GroupKey {
                stream: Arc::clone(&self.stream),
                group: Arc::clone(name),
            };
            if group.ignores_first_attempt || !wait_queues.first_is_attempting(&key) {
                group_reads.append(&mut group.start_probe(deadlines));
            } else {
                group.delayed_by_first_attempt = true;
            }
        }
        group_reads
    }

    /// Takes the replies to the group reads, which are in runs of one group each.
    fn finish_group_reads(
        &mut self,
        replies: Vec<(GroupReadWaiter, CacheResult<Vec<Entry>>)>,
        end: Option<EntryId>,
        deadlines: &mut Deadlines,
        now: Instant,
    ) {
        let mut replies = replies.into_iter().peekable();
        while let Some(first) = replies.next() {
            let name = Arc::clone(&first.0.slot.key.group);
            let mut of_group = vec![first];
            while let Some(next) = replies.next_if(|(next, _)| next.slot.key.group == name) {
                of_group.push(next);
            }
            let group = self.groups.entry(name).or_default();
            let error = group.finish_probe(of_group, end, deadlines, now);
            self.transient_error = self.transient_error.take().or(error);
        }
        self.groups
            .values_mut()
            .for_each(GroupWaiters::end_probe_without_read);
    }

    fn finish_feed_read(
        &mut self,
        request: RangeRequest,
        result: CacheResult<RangeReply>,
        queued_bytes: &QueuedBytes,
    ) {
        let Some(feed) = &mut self.feed else { return };
        match result.and_then(|range| feed.finish_read(request, range, queued_bytes)) {
            Ok(end) => {
                if self.armed {
                    self.end = end.or(self.end);
                }
            }
            Err(error) if error.retry() == Retry::Later => self.transient_error = Some(error),
            // Unlike a reader, a tail does not wait until the key is a stream again.
            Err(error) => {
                self.end_feed(&error);
                // The remaining waiters may have relied on that read to arm the key.
                self.due |= !self.readers.is_empty() || !self.groups.is_empty();
            }
        }
    }

    fn end_feed(&mut self, error: &CacheError) {
        if let Some(feed) = self.feed.take() {
            feed.end(error);
        }
    }

    fn deliver(&mut self, read: ArmingRead, entries: Vec<Entry>, deadlines: &mut Deadlines) {
        match self.readers.deliver(read, entries, deadlines) {
            Ok(outcome) => {
                self.end = outcome.end.filter(|_| self.armed);
                self.due |= outcome.needs_read;
            }
            Err(error) => self.fail(&error, deadlines),
        }
    }

    /// Takes the last entry before the read. The polling has to find entries after it.
    fn learn_end(&mut self, end: Option<CacheResult<EntryId>>) {
        match end {
            Some(Ok(last)) if self.armed => {
                self.end = Some(self.end.map_or(last, |end| end.min(last)));
            }
            Some(Ok(_)) | None => {}
            // The next recheck reads again.
            Some(Err(_)) => self.end = None,
        }
    }

    fn remove_empty(&mut self) {
        self.groups.retain(|_, group| !group.is_empty());
        self.feed.take_if(|feed| feed.is_empty());
    }
}
