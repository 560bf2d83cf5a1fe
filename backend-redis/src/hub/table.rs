//! Everybody who waits, and what to ask of Redis next. No I/O and no clock.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use redis::{RedisError, Value};
use streamgate_protocol::CacheError;
use tokio::time::Instant;

use crate::hub::deadlines::Deadlines;
use crate::hub::feed::queue::LiveBytes;
use crate::hub::group::wait_queue::Lines;
use crate::hub::message::{Address, Message, Reader};
use crate::hub::probe::Visit;
use crate::hub::stream_state::Watch;
use crate::hub::tracking::fallback::Arming;
use crate::hub::tracking::throttle::Resting;
use crate::wire::errors;

/// Bytes of all segments that are in queues of followers. Beyond it all who have not taken theirs
/// fall behind at once: they read by themselves what they can take.
pub(super) const MAX_LIVE_BYTES: usize = 64 * 1024 * 1024;

/// Streams that may need a round trip, each once.
struct Ready {
    streams: VecDeque<Arc<str>>,
    /// Nothing is listed while nothing can be asked, however many come and go meanwhile.
    open: bool,
}

/// The streams that somebody waits for.
pub(super) struct Table {
    lines: Arc<Lines>,
    watches: HashMap<Arc<str>, Watch>,
    deadlines: Deadlines,
    ready: Ready,
    live: LiveBytes,
    resting: Resting,
    /// What has to be armed by hand, where reads do not arm.
    armings: Option<Vec<Arming>>,
    /// Streams that Redis could not answer for.
    troubled: Vec<Arc<str>>,
}

impl Table {
    pub(super) fn new(lines: Arc<Lines>) -> Self {
        Self {
            lines,
            watches: HashMap::new(),
            deadlines: Deadlines::default(),
            ready: Ready {
                streams: VecDeque::new(),
                open: true,
            },
            live: LiveBytes::default(),
            resting: Resting::default(),
            armings: None,
            troubled: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.watches.is_empty()
    }

    pub(super) fn has_trouble(&self) -> bool {
        !self.troubled.is_empty()
    }

    /// When the next wait ends, or the next rest.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let (wait, rest) = (self.deadlines.first(), self.resting.first());
        wait.into_iter().chain(rest).min()
    }

    /// Whether reads do not arm, so that [`take_armings`](Self::take_armings) has to be used.
    pub(super) fn arm_by_hand(&mut self, by_hand: bool) {
        self.armings = by_hand.then(Vec::new);
    }

    pub(super) fn take_armings(&mut self) -> impl Iterator<Item = Arming> {
        self.armings
            .as_mut()
            .map(std::mem::take)
            .into_iter()
            .flatten()
    }

    pub(super) fn handle(&mut self, message: Message) {
        match message {
            Message::Read(stream, reader) => self.add_reader(stream, reader),
            Message::ReadGroup(consumer) => {
                let key = consumer.place.key.clone();
                let (stream, number) = (Arc::clone(&key.stream), consumer.place.number);
                let address = Address {
                    stream: Arc::clone(&stream),
                    group: Some(key.group),
                    number,
                };
                self.deadlines.insert(consumer.waiter.deadline, address);
                let by_hand = self.armings.is_some();
                self.watch(&stream).add_consumer(consumer, by_hand);
                self.settle(&stream);
            }
            Message::Follow(stream, member) => {
                self.watch(&stream).tail_source(member);
                self.settle(&stream);
            }
            Message::Unfollow(stream, number) => {
                if let Some(watch) = self.watches.get_mut(&stream) {
                    watch.unfollow(number);
                }
                self.settle(&stream);
            }
            Message::Leave(address) => {
                if let Some(watch) = self.watches.get_mut(&address.stream) {
                    watch.remove(&address, &self.lines, &mut self.deadlines);
                }
                self.settle(&address.stream);
            }
            Message::NextInLine(key) => self.settle(&key.stream),
        }
    }

    /// Redis pushed that a stream has changed.
    pub(super) fn changed(&mut self, stream: &str, now: Instant) {
        if let Some(watch) = self.watches.get_mut(stream) {
            if let Some(pause) = watch.pushed(now) {
                self.resting.insert(now + pause, watch.stream());
            }
            if watch.needs_visit() {
                self.ready.list(watch);
            }
        }
    }

    /// Every stream may have changed: after a `FLUSHALL`, and on a new connection.
    pub(super) fn all_changed(&mut self) {
        self.ready.open = true;
        self.resting.clear();
        for watch in self.watches.values_mut() {
            watch.changed();
            self.ready.list(watch);
        }
    }

    /// Looks at all groups again.
    pub(super) fn recheck(&mut self) {
        for watch in self.watches.values_mut() {
            watch.recheck(self.armings.is_some());
            self.ready.list(watch);
        }
    }

    /// Asks again what Redis could not answer.
    pub(super) fn retry(&mut self) {
        for stream in std::mem::take(&mut self.troubled) {
            if let Some(watch) = self.watches.get_mut(&stream) {
                watch.retry();
                self.ready.list(watch);
            }
        }
    }

    /// The next round trip to make.
    pub(super) fn next_visit(&mut self) -> Option<Visit> {
        while let Some(stream) = self.ready.streams.pop_front() {
            let Some(watch) = self.watches.get_mut(&stream) else {
                continue;
            };
            watch.listed = false;
            let by_hand = self.armings.is_some();
            let visit = watch.start(&self.lines, &mut self.deadlines, by_hand);
            if visit.is_some() {
                return visit;
            }
            if watch.is_empty() {
                self.remove(&stream);
            }
        }
        None
    }

    /// Takes the answers to a round trip, or an error for the want of them.
    pub(super) fn finish(
        &mut self,
        visit: Visit,
        values: Result<Vec<Value>, RedisError>,
        now: Instant,
    ) {
        let stream = Arc::clone(&visit.stream);
        let Some(watch) = self.watches.get_mut(&stream) else {
            return;
        };
        match visit.answered(values) {
            Ok(visited) => watch.finish(visited, &mut self.deadlines, &self.live, now),
            Err(lost) => {
                let (visit, error) = *lost;
                watch.lose(visit, &errors::unanswered(&error, false));
            }
        }
        if watch.is_troubled() {
            self.troubled.push(Arc::clone(&stream));
        }
        if let (Some(armings), Some(end)) = (&mut self.armings, watch.armed_at()) {
            armings.push(Arming::Arm(Arc::clone(&stream), end));
        }
        self.settle(&stream);
        if self.live.get() > MAX_LIVE_BYTES {
            self.lag_waiting();
        }
    }

    /// Looks at the streams that have waited for it long enough.
    pub(super) fn rested(&mut self, now: Instant) {
        while let Some(stream) = self.resting.pop(now) {
            if let Some(watch) = self.watches.get_mut(&stream) {
                watch.rested();
                self.ready.list(watch);
            }
        }
    }

    /// Ends the waits whose deadline has passed.
    pub(super) fn expire(&mut self, now: Instant, down: Option<&CacheError>) {
        while let Some(address) = self.deadlines.pop(now) {
            if let Some(watch) = self.watches.get_mut(&address.stream) {
                watch.expire(&address, down);
            }
            self.settle(&address.stream);
        }
    }

    /// Nothing can be asked until [`all_changed`](Self::all_changed) is called: waits past their
    /// deadline do not go on.
    pub(super) fn disconnected(&mut self, now: Instant, error: &CacheError) {
        self.ready.open = false;
        self.ready.streams.clear();
        for watch in self.watches.values_mut() {
            watch.listed = false;
            watch.end_overdue(now, error);
        }
        self.watches.retain(|_, watch| !watch.is_empty());
    }

    fn lag_waiting(&mut self) {
        tracing::debug!("followers of many streams are slow: they read by themselves");
        for watch in self.watches.values_mut() {
            watch.lag_waiting();
        }
        let empty = self.watches.values().filter(|watch| watch.is_empty());
        for stream in empty.map(Watch::stream).collect::<Vec<_>>() {
            self.remove(&stream);
        }
    }

    fn add_reader(&mut self, stream: Arc<str>, reader: Reader) {
        let number = reader.number;
        let address = Address {
            stream: Arc::clone(&stream),
            group: None,
            number,
        };
        self.deadlines.insert(reader.waiter.deadline, address);
        self.watch(&stream).add_reader(reader);
        self.settle(&stream);
    }

    fn watch(&mut self, stream: &Arc<str>) -> &mut Watch {
        self.watches
            .entry(Arc::clone(stream))
            .or_insert_with(|| Watch::new(Arc::clone(stream)))
    }

    fn remove(&mut self, stream: &Arc<str>) {
        self.watches.remove(stream);
        if let Some(armings) = &mut self.armings {
            armings.push(Arming::Disarm(Arc::clone(stream)));
        }
    }

    /// Removes a stream that nobody waits for, or lists it for a round trip.
    fn settle(&mut self, stream: &Arc<str>) {
        if let Some(watch) = self.watches.get_mut(stream) {
            if watch.is_empty() {
                self.remove(stream);
            } else if watch.needs_visit() {
                self.ready.list(watch);
            }
        }
    }
}

impl Ready {
    fn list(&mut self, watch: &mut Watch) {
        if self.open && !std::mem::replace(&mut watch.listed, true) {
            self.streams.push_back(watch.stream());
        }
    }
}

#[cfg(test)]
mod tests;
