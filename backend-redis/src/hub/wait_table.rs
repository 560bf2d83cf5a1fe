//! Everybody who waits, and what to ask of Redis next. No I/O and no clock.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use redis::{RedisError, Value};
use streamgate_protocol::CacheError;
use tokio::time::Instant;

use crate::hub::deadlines::Deadlines;
use crate::hub::feed::feed_queue::QueuedBytes;
use crate::hub::group::wait_queue::WaitQueues;
use crate::hub::message::{HubMessage, ReadWaiter, WaiterKey};
use crate::hub::probe::Probe;
use crate::hub::stream_state::StreamState;
use crate::hub::tracking::fallback::FallbackRequest;
use crate::hub::tracking::throttle::ThrottledStreams;
use crate::wire::errors;

/// Bytes of all segments that are in queues of followers. Beyond it all who have not taken theirs
/// fall behind at once: they read by themselves what they can take.
pub(super) const MAX_TOTAL_QUEUED_BYTES: usize = 64 * 1024 * 1024;

/// Streams that may need a round trip, each once.
struct ProbeQueue {
    streams: VecDeque<Arc<str>>,
    /// Nothing is listed while nothing can be asked, however many come and go meanwhile.
    open: bool,
}

/// The streams that somebody waits for.
pub(super) struct WaitTable {
    wait_queues: Arc<WaitQueues>,
    streams: HashMap<Arc<str>, StreamState>,
    deadlines: Deadlines,
    ready: ProbeQueue,
    live: QueuedBytes,
    throttled: ThrottledStreams,
    /// What has to be armed by hand, where reads do not arm.
    fallback_requests: Option<Vec<FallbackRequest>>,
    /// Streams that Redis could not answer for.
    awaiting_retry: Vec<Arc<str>>,
}

impl WaitTable {
    pub(super) fn new(wait_queues: Arc<WaitQueues>) -> Self {
        Self {
            wait_queues,
            streams: HashMap::new(),
            deadlines: Deadlines::default(),
            ready: ProbeQueue {
                streams: VecDeque::new(),
                open: true,
            },
            live: QueuedBytes::default(),
            throttled: ThrottledStreams::default(),
            fallback_requests: None,
            awaiting_retry: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    pub(super) fn awaits_retry(&self) -> bool {
        !self.awaiting_retry.is_empty()
    }

    /// When the next wait ends, or the next rest.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let (wait, rest) = (self.deadlines.first(), self.throttled.first());
        wait.into_iter().chain(rest).min()
    }

    /// Whether reads do not arm, so that [`take_fallback_requests`](Self::take_fallback_requests) has to be used.
    pub(super) fn use_fallback(&mut self, fallback: bool) {
        self.fallback_requests = fallback.then(Vec::new);
    }

    pub(super) fn take_fallback_requests(&mut self) -> impl Iterator<Item = FallbackRequest> {
        self.fallback_requests
            .as_mut()
            .map(std::mem::take)
            .into_iter()
            .flatten()
    }

    pub(super) fn handle(&mut self, message: HubMessage) {
        match message {
            HubMessage::Read(stream, reader) => self.add_reader(stream, reader),
            HubMessage::ReadGroup(consumer) => {
                let key = consumer.slot.key.clone();
                let (stream, number) = (Arc::clone(&key.stream), consumer.slot.number);
                let address = WaiterKey {
                    stream: Arc::clone(&stream),
                    group: Some(key.group),
                    number,
                };
                self.deadlines.insert(consumer.waiter.deadline, address);
                let fallback = self.fallback_requests.is_some();
                self.state(&stream).add_consumer(consumer, fallback);
                self.settle(&stream);
            }
            HubMessage::JoinFeed(stream, subscriber) => {
                self.state(&stream).tail_source(subscriber);
                self.settle(&stream);
            }
            HubMessage::LeaveFeed(stream, number) => {
                if let Some(state) = self.streams.get_mut(&stream) {
                    state.leave_feed(number);
                }
                self.settle(&stream);
            }
            HubMessage::CancelWait(address) => {
                if let Some(state) = self.streams.get_mut(&address.stream) {
                    state.remove(&address, &self.wait_queues, &mut self.deadlines);
                }
                self.settle(&address.stream);
            }
            HubMessage::NextInLine(key) => self.settle(&key.stream),
        }
    }

    /// Redis pushed that a stream has changed.
    pub(super) fn changed(&mut self, stream: &str, now: Instant) {
        if let Some(state) = self.streams.get_mut(stream) {
            if let Some(pause) = state.pushed(now) {
                self.throttled.insert(now + pause, state.stream());
            }
            if state.needs_probe() {
                self.ready.list(state);
            }
        }
    }

    /// Every stream may have changed: after a `FLUSHALL`, and on a new connection.
    pub(super) fn all_changed(&mut self) {
        self.ready.open = true;
        self.throttled.clear();
        for state in self.streams.values_mut() {
            state.changed();
            self.ready.list(state);
        }
    }

    /// Looks at all groups again.
    pub(super) fn recheck(&mut self) {
        for state in self.streams.values_mut() {
            state.recheck(self.fallback_requests.is_some());
            self.ready.list(state);
        }
    }

    /// Asks again what Redis could not answer.
    pub(super) fn retry(&mut self) {
        for stream in std::mem::take(&mut self.awaiting_retry) {
            if let Some(state) = self.streams.get_mut(&stream) {
                state.retry();
                self.ready.list(state);
            }
        }
    }

    /// The next round trip to make.
    pub(super) fn next_probe(&mut self) -> Option<Probe> {
        while let Some(stream) = self.ready.streams.pop_front() {
            let Some(state) = self.streams.get_mut(&stream) else {
                continue;
            };
            state.listed = false;
            let fallback = self.fallback_requests.is_some();
            let probe = state.start(&self.wait_queues, &mut self.deadlines, fallback);
            if probe.is_some() {
                return probe;
            }
            if state.is_empty() {
                self.remove(&stream);
            }
        }
        None
    }

    /// Takes the answers to a round trip, or an error for the want of them.
    pub(super) fn finish(
        &mut self,
        probe: Probe,
        values: Result<Vec<Value>, RedisError>,
        now: Instant,
    ) {
        let stream = Arc::clone(&probe.stream);
        let Some(state) = self.streams.get_mut(&stream) else {
            return;
        };
        match probe.answered(values) {
            Ok(reply) => state.finish(reply, &mut self.deadlines, &self.live, now),
            Err(lost) => {
                let (probe, error) = *lost;
                state.lose(probe, &errors::unanswered(&error, false));
            }
        }
        if state.awaits_retry() {
            self.awaiting_retry.push(Arc::clone(&stream));
        }
        if let (Some(fallback_requests), Some(end)) =
            (&mut self.fallback_requests, state.armed_at())
        {
            fallback_requests.push(FallbackRequest::Watch(Arc::clone(&stream), end));
        }
        self.settle(&stream);
        if self.live.get() > MAX_TOTAL_QUEUED_BYTES {
            self.lag_waiting();
        }
    }

    /// Looks at the streams that have waited for it long enough.
    pub(super) fn rested(&mut self, now: Instant) {
        while let Some(stream) = self.throttled.pop(now) {
            if let Some(state) = self.streams.get_mut(&stream) {
                state.rested();
                self.ready.list(state);
            }
        }
    }

    /// Ends the waits whose deadline has passed.
    pub(super) fn expire(&mut self, now: Instant, down: Option<&CacheError>) {
        while let Some(address) = self.deadlines.pop(now) {
            if let Some(state) = self.streams.get_mut(&address.stream) {
                state.expire(&address, down);
            }
            self.settle(&address.stream);
        }
    }

    /// Nothing can be asked until [`all_changed`](Self::all_changed) is called: waits past their
    /// deadline do not go on.
    pub(super) fn disconnected(&mut self, now: Instant, error: &CacheError) {
        self.ready.open = false;
        self.ready.streams.clear();
        for state in self.streams.values_mut() {
            state.listed = false;
            state.end_overdue(now, error);
        }
        self.streams.retain(|_, state| !state.is_empty());
    }

    fn lag_waiting(&mut self) {
        tracing::debug!("followers of many streams are slow: they read by themselves");
        for state in self.streams.values_mut() {
            state.lag_waiting();
        }
        let empty = self.streams.values().filter(|state| state.is_empty());
        for stream in empty.map(StreamState::stream).collect::<Vec<_>>() {
            self.remove(&stream);
        }
    }

    fn add_reader(&mut self, stream: Arc<str>, reader: ReadWaiter) {
        let number = reader.number;
        let address = WaiterKey {
            stream: Arc::clone(&stream),
            group: None,
            number,
        };
        self.deadlines.insert(reader.waiter.deadline, address);
        self.state(&stream).add_reader(reader);
        self.settle(&stream);
    }

    fn state(&mut self, stream: &Arc<str>) -> &mut StreamState {
        self.streams
            .entry(Arc::clone(stream))
            .or_insert_with(|| StreamState::new(Arc::clone(stream)))
    }

    fn remove(&mut self, stream: &Arc<str>) {
        self.streams.remove(stream);
        if let Some(fallback_requests) = &mut self.fallback_requests {
            fallback_requests.push(FallbackRequest::Unwatch(Arc::clone(stream)));
        }
    }

    /// Removes a stream that nobody waits for, or lists it for a round trip.
    fn settle(&mut self, stream: &Arc<str>) {
        if let Some(state) = self.streams.get_mut(stream) {
            if state.is_empty() {
                self.remove(stream);
            } else if state.needs_probe() {
                self.ready.list(state);
            }
        }
    }
}

impl ProbeQueue {
    fn list(&mut self, state: &mut StreamState) {
        if self.open && !std::mem::replace(&mut state.listed, true) {
            self.streams.push_back(state.stream());
        }
    }
}

#[cfg(test)]
mod tests;
