//! One stream that somebody waits for.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use streamgate_protocol::error::code;
use streamgate_protocol::{CacheError, CacheResult, Retry, StreamEntry};
use tokio::time::Instant;

use crate::hub::deadlines::Deadlines;
use crate::hub::feed::feed_queue::QueuedBytes;
use crate::hub::feed::{Feed, FeedSubscriber};
use crate::hub::group::GroupWaiters;
use crate::hub::group::wait_queue::{GroupKey, WaitQueues};
use crate::hub::message::{GroupReadWaiter, ReadWaiter, SharedEntries, WaiterKey};
use crate::hub::probe::{ArmingRead, GroupRead, Probe, ProbeReply};
use crate::hub::tracking::throttle::Throttle;
use crate::tail::range::{RangeReply, RangeRequest};
use crate::wire::errors;
use streamgate_protocol::EntryId;

/// Who waits for a stream, and what is known of it.
///
/// Armed means: Redis pushes the stream's next change. Every read arms, and a push disarms, so
/// whoever is not served by a read that found the end of the stream is woken by a push.
pub(super) struct StreamState {
    stream: Arc<str>,
    /// In the table's list of streams that may need a round trip.
    pub(super) listed: bool,
    readers: BTreeMap<u64, ReadWaiter>,
    groups: HashMap<Arc<str>, GroupWaiters>,
    /// Those who follow the stream, if any do.
    feed: Option<Feed>,
    /// A round trip is under way, and the read in it if there is one.
    probe_in_flight: Option<Option<ArmingRead>>,
    /// A read is needed: to find entries for readers, or to arm. That of the feed arms too.
    due: bool,
    armed: bool,
    /// When it was armed, no entry came after this one. Unknown if absent.
    end: Option<EntryId>,
    throttle: Throttle,
    /// It is to be looked at again, but not yet.
    throttled: bool,
    /// Redis cannot answer for now; there is a pause before it is asked again.
    transient_error: Option<CacheError>,
}

impl StreamState {
    pub(super) fn new(stream: Arc<str>) -> Self {
        Self {
            stream,
            listed: false,
            readers: BTreeMap::new(),
            groups: HashMap::new(),
            feed: None,
            probe_in_flight: None,
            due: false,
            armed: false,
            end: None,
            throttle: Throttle::default(),
            throttled: false,
            transient_error: None,
        }
    }

    pub(super) fn stream(&self) -> Arc<str> {
        Arc::clone(&self.stream)
    }

    pub(super) fn is_empty(&self) -> bool {
        let nobody = self.readers.is_empty() && self.groups.is_empty() && self.feed.is_none();
        nobody && self.probe_in_flight.is_none()
    }

    pub(super) fn awaits_retry(&self) -> bool {
        self.transient_error.is_some()
    }

    /// Whether a round trip is to be made now.
    pub(super) fn needs_probe(&self) -> bool {
        self.probe_in_flight.is_none()
            && self.transient_error.is_none()
            && (self.due
                || self.feed.as_ref().is_some_and(|feed| feed.due)
                || self.groups.values().any(|group| group.due))
    }

    pub(super) fn add_reader(&mut self, reader: ReadWaiter) {
        // The answer to a read under way is compared with every reader when it comes.
        let reading = matches!(self.probe_in_flight, Some(Some(_)));
        let at_end = self.armed && self.end.is_some_and(|end| end <= reader.after);
        self.due |= !reading && !at_end;
        self.readers.insert(reader.number, reader);
    }

    /// `fallback`: the stream is armed where those who wait are, which may be behind its end.
    pub(super) fn add_consumer(&mut self, mut consumer: GroupReadWaiter, fallback: bool) {
        consumer.slot.registered();
        let only_readers = self.groups.is_empty() && !self.readers.is_empty();
        self.due |= !self.armed || (fallback && only_readers);
        let group = Arc::clone(&consumer.slot.key.group);
        self.groups
            .entry(group)
            .or_default()
            .add(consumer, self.armed);
    }

    /// Takes in one who follows from where it stands.
    pub(super) fn tail_source(&mut self, subscriber: FeedSubscriber) {
        let at_end = self.armed && self.end == Some(subscriber.cursor.at);
        let feed = self.feed.get_or_insert_with(|| {
            let mut feed = Feed::new(subscriber.cursor);
            feed.due = !at_end;
            feed
        });
        feed.join(subscriber);
    }

    pub(super) fn leave_feed(&mut self, number: u64) {
        if let Some(feed) = &mut self.feed {
            feed.leave(number);
        }
        self.tidy();
    }

    /// Lets followers fall behind who have not taken what they were given.
    pub(super) fn lag_waiting(&mut self) {
        if let Some(feed) = &mut self.feed {
            feed.lag_waiting();
        }
        self.tidy();
    }

    /// Removes one who does not wait any more.
    pub(super) fn remove(
        &mut self,
        address: &WaiterKey,
        wait_queues: &WaitQueues,
        deadlines: &mut Deadlines,
    ) {
        let waiter = match &address.group {
            None => self
                .readers
                .remove(&address.number)
                .map(|reader| reader.waiter),
            Some(name) => self.groups.get_mut(name).and_then(|group| {
                let consumer = group.remove(address.number)?;
                // The one in front may have been the one that held up the others.
                let held_up =
                    !group.is_drained() || wait_queues.first_is_attempting(&consumer.slot.key);
                group.due |= group.has_waiting() && held_up;
                Some(consumer.waiter)
            }),
        };
        if let Some(waiter) = waiter {
            deadlines.remove(waiter.deadline, address.number);
        }
        self.tidy();
    }

    /// The stream has changed, or may have: what was known is void.
    pub(super) fn changed(&mut self) {
        (self.armed, self.end, self.due, self.throttled) = (false, None, true, false);
        self.groups.values_mut().for_each(GroupWaiters::changed);
        if let Some(feed) = &mut self.feed {
            feed.due = true;
        }
    }

    /// Redis pushed that the stream has changed. Returns how long to wait before it is looked at,
    /// by [`rested`](Self::rested), if that is not now.
    pub(super) fn pushed(&mut self, now: Instant) -> Option<Duration> {
        match self.throttle.pushed(now, self.probe_in_flight.is_some()) {
            Some(pause) => {
                (self.armed, self.end) = (false, None);
                (!std::mem::replace(&mut self.throttled, true)).then_some(pause)
            }
            None => {
                self.changed();
                None
            }
        }
    }

    /// It has waited long enough to be looked at.
    pub(super) fn rested(&mut self) {
        if self.throttled {
            self.changed();
        }
    }

    /// Looks at the groups again: not all that happens to a group is pushed.
    ///
    /// Where it is armed by hand, only entries that come behind its end are told of: who follows
    /// looks for anything else, and so does who does not know an end.
    pub(super) fn recheck(&mut self, fallback: bool) {
        if fallback {
            let unknown = self.end.is_none() && !self.readers.is_empty();
            self.due |= unknown || !self.groups.is_empty();
            if let Some(feed) = &mut self.feed {
                feed.due = true;
            }
        }
        for group in self.groups.values_mut() {
            group.recheck();
        }
    }

    /// The pause is over.
    pub(super) fn retry(&mut self) {
        self.transient_error = None;
        self.changed();
    }

    /// The round trip to make now, if there is anything to ask.
    pub(super) fn start(
        &mut self,
        wait_queues: &WaitQueues,
        deadlines: &mut Deadlines,
        fallback: bool,
    ) -> Option<Probe> {
        if !self.needs_probe() {
            return None;
        }
        let mut group_reads = Vec::new();
        for (name, group) in self.groups.iter_mut().filter(|(_, group)| group.due) {
            let key = GroupKey {
                stream: Arc::clone(&self.stream),
                group: Arc::clone(name),
            };
            if group.forced || !wait_queues.first_is_attempting(&key) {
                let consumers = group.start(deadlines).into_iter();
                group_reads.extend(consumers.map(|consumer| GroupRead {
                    group: Arc::clone(name),
                    consumer,
                }));
            } else {
                group.held_up = true;
            }
        }
        self.tidy();
        let feed = self.feed.as_mut().and_then(Feed::start);
        // Nobody needs a read of its own to arm what the feed arms.
        let needed = feed.is_none() || !self.readers.is_empty();
        let read = (std::mem::take(&mut self.due) && needed).then(|| self.read());
        // Readers may wait behind the end: what is added before their ids is told to others.
        let others = self.readers.is_empty() || !self.groups.is_empty() || self.feed.is_some();
        // Whoever is given the last entry need not be followed by a look at what is behind it.
        let wanted = fallback || !group_reads.is_empty();
        let find_end = wanted && read.is_some() && feed.is_none() && others;
        if read.is_some() || feed.is_some() {
            // From the moment Redis reads; a push before the answer is seen disarms again.
            (self.armed, self.end) = (true, None);
        } else if group_reads.is_empty() {
            return None;
        }
        self.probe_in_flight = Some(read);
        self.throttle.look();
        Some(Probe {
            stream: Arc::clone(&self.stream),
            read,
            find_end,
            feed,
            group_reads,
        })
    }

    /// Behind which entry to look for others, if that is known and nobody has been told of one.
    pub(super) fn armed_at(&self) -> Option<EntryId> {
        self.end.filter(|_| self.armed && !self.is_empty())
    }

    pub(super) fn finish(
        &mut self,
        reply: ProbeReply,
        deadlines: &mut Deadlines,
        live: &QueuedBytes,
        now: Instant,
    ) {
        self.probe_in_flight = None;
        self.throttle.looked(reply.is_useful(), now);
        let end = reply.end.as_ref().and_then(|end| end.as_ref().ok());
        let end = end.copied();
        match reply.read {
            Some((read, Ok(entries))) => {
                self.deliver(read, entries, deadlines);
                self.found_end(reply.end);
            }
            // A reader goes on waiting for the stream to come back, as it does in Redis.
            Some((read, Err(error))) if error.code() == code::WRONGTYPE => {
                self.deliver(read, Vec::new(), deadlines);
                self.end = None;
            }
            Some((_, Err(error))) if error.retry() == Retry::Later => {
                self.transient_error = Some(error)
            }
            Some((_, Err(error))) => {
                self.armed = false;
                self.fail(&error, deadlines);
            }
            None => {}
        }
        if let Some((read, result)) = reply.feed {
            self.finish_feed(read, result, live);
        }
        let mut group_reads = reply.group_reads.into_iter().peekable();
        while let Some((first, result)) = group_reads.next() {
            let name = Arc::clone(&first.group);
            let mut of_group = vec![(first, result)];
            while let Some(next) = group_reads.next_if(|(next, _)| next.group == name) {
                of_group.push(next);
            }
            let group = self.groups.entry(name).or_default();
            let transient_error = group.finish(of_group, end, deadlines, now);
            self.transient_error = self.transient_error.take().or(transient_error);
        }
        self.tidy();
    }

    /// There was no answer to a round trip.
    pub(super) fn lose(&mut self, probe: Probe, unanswered: &CacheError) {
        self.probe_in_flight = None;
        for GroupRead { consumer, .. } in probe.group_reads {
            consumer.waiter.end(Err(unanswered.clone()));
        }
        self.groups.values_mut().for_each(GroupWaiters::lose);
        self.changed();
        self.tidy();
    }

    /// Ends a wait at its deadline: empty, or with what kept Redis from being asked.
    pub(super) fn expire(&mut self, address: &WaiterKey, down: Option<&CacheError>) {
        let end = match down.or(self.transient_error.as_ref()) {
            Some(error) => Err(error.clone()),
            None => Ok(SharedEntries::nothing()),
        };
        match &address.group {
            None => {
                if let Some(reader) = self.readers.remove(&address.number) {
                    reader.waiter.end(end);
                }
            }
            Some(name) => {
                if let Some(group) = self.groups.get_mut(name) {
                    group.expire(address.number, end);
                }
            }
        }
        self.tidy();
    }

    /// Ends waits whose deadline has passed and that were only waiting to be tried for.
    pub(super) fn end_overdue(&mut self, now: Instant, error: &CacheError) {
        for group in self.groups.values_mut() {
            group.end_overdue(now, || Err(error.clone()));
        }
        self.tidy();
    }

    /// Ends every wait.
    pub(super) fn fail(&mut self, error: &CacheError, deadlines: &mut Deadlines) {
        while let Some((number, reader)) = self.readers.pop_first() {
            deadlines.remove(reader.waiter.deadline, number);
            reader.waiter.end(Err(error.clone()));
        }
        for group in self.groups.values_mut() {
            group.fail(error, deadlines);
        }
        self.end_feed(error);
        self.tidy();
    }

    fn finish_feed(
        &mut self,
        read: RangeRequest,
        result: CacheResult<RangeReply>,
        live: &QueuedBytes,
    ) {
        let Some(feed) = &mut self.feed else { return };
        match result.and_then(|range| feed.finish(read, range, live)) {
            Ok(end) => {
                if self.armed {
                    self.end = end.or(self.end);
                }
            }
            Err(error) if error.retry() == Retry::Later => self.transient_error = Some(error),
            // A tail does not wait for the stream to come back, unlike a reader.
            Err(error) => {
                self.end_feed(&error);
                // Who is left may have relied on that read to arm.
                self.due |= !self.readers.is_empty() || !self.groups.is_empty();
            }
        }
    }

    fn end_feed(&mut self, error: &CacheError) {
        if let Some(feed) = self.feed.take() {
            feed.end(error);
        }
    }

    /// One read for all readers: from the smallest id, with the largest count.
    fn read(&self) -> ArmingRead {
        let Some(after) = self.readers.values().map(|reader| reader.after).min() else {
            return ArmingRead::ARM;
        };
        let unlimited = self.readers.values().any(|reader| reader.count == 0);
        let largest = self
            .readers
            .values()
            .map(|reader| reader.count)
            .max()
            .unwrap_or(0);
        ArmingRead {
            after,
            count: if unlimited { 0 } else { largest },
        }
    }

    /// Where it is armed by hand, what is behind the last entry there is has to be told.
    fn found_end(&mut self, end: Option<CacheResult<EntryId>>) {
        match end {
            Some(Ok(last)) if self.armed => {
                self.end = Some(self.end.map_or(last, |end| end.min(last)));
            }
            Some(Ok(_)) => {}
            // It is looked for again.
            Some(Err(_)) => self.end = None,
            None => {}
        }
    }

    /// Gives each reader the entries after its own id.
    fn deliver(&mut self, read: ArmingRead, entries: Vec<StreamEntry>, deadlines: &mut Deadlines) {
        let ids: Result<Vec<EntryId>, _> =
            entries.iter().map(|(id, _)| EntryId::parse(id)).collect();
        let Ok(ids) = ids else {
            return self.fail(&errors::unexpected("ids of entries"), deadlines);
        };
        let found = u64::try_from(ids.len()).unwrap_or(u64::MAX);
        let more = read.count > 0 && found >= read.count;
        self.end = (self.armed && !more).then(|| ids.last().copied().unwrap_or(read.after));

        let entries = Arc::new(entries);
        let mut behind = false;
        let mut served = Vec::new();
        for (&number, reader) in &self.readers {
            // It came while this read, which began after its id, was under way.
            behind |= reader.after < read.after;
            if reader.after >= read.after {
                let start = ids.partition_point(|id| *id <= reader.after);
                let room = ids.len() - start;
                let length = match usize::try_from(reader.count) {
                    Ok(count) if count > 0 => room.min(count),
                    _ => room,
                };
                if length > 0 {
                    served.push((number, start..start + length));
                }
            }
        }
        for (number, part) in served {
            if let Some(reader) = self.readers.remove(&number) {
                deadlines.remove(reader.waiter.deadline, number);
                reader.waiter.end(Ok(SharedEntries::part(&entries, part)));
            }
        }
        self.due |= behind || (more && !self.readers.is_empty());
    }

    fn tidy(&mut self) {
        self.groups.retain(|_, group| !group.is_empty());
        self.feed.take_if(|feed| feed.is_empty());
    }
}
