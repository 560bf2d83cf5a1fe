//! All streams that somebody waits for, and the next probe to make. No I/O and no clock.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use redis::Value;
use streamgate_protocol::CacheError;
use tokio::time::Instant;

use crate::connection::command_connection::SendError;
use crate::connection::invalidations::Arming;
use crate::hub::MAX_WAITS;
use crate::hub::deadlines::Deadlines;
use crate::hub::feed::FeedSubscriber;
use crate::hub::feed::queued_segment::QueuedBytes;
use crate::hub::group::admission::{GroupKey, WaitQueues};
use crate::hub::message::HubMessage;
use crate::hub::probe::Probe;
use crate::hub::stream_state::StreamState;
use crate::hub::tracking::polling::PolledStream;
use crate::hub::tracking::recent_invalidations::RecentInvalidations;
use crate::hub::tracking::rechecks::Rechecks;
use crate::hub::tracking::throttle::ThrottledStreams;
use crate::hub::waiter::{GroupReadWaiter, ReadWaiter, WaiterKey};
use crate::operation::entry_sizes::EntrySizes;

/// Streams for which the table has room from the start: as many as may be waited for by default.
/// To grow a large table takes milliseconds, for which everybody waits. Room that was never used
/// takes no memory.
const RESERVED_STREAMS: usize = MAX_WAITS;

/// All streams that somebody waits for.
pub(super) struct WaitTable {
    wait_queues: Arc<WaitQueues>,
    sizes: Arc<EntrySizes>,
    /// Boxed, so that little moves when the table grows.
    streams: HashMap<Arc<[u8]>, Box<StreamState>>,
    deadlines: Deadlines,
    probe_queue: ProbeQueue,
    queued_bytes: QueuedBytes,
    throttled: ThrottledStreams,
    recent: RecentInvalidations,
    rechecks: Rechecks,
    /// Redis refuses `CLIENT TRACKING`, so streams are polled, and reads do not arm.
    is_polled: bool,
    /// Streams with a transient error.
    awaiting_retry: Vec<Arc<[u8]>>,
}

/// Streams that may need a probe, each once.
struct ProbeQueue {
    streams: VecDeque<Arc<[u8]>>,
    /// False while the hub is disconnected. Then nothing is listed, however many waiters come and
    /// go.
    is_open: bool,
}

impl WaitTable {
    pub(super) fn new(wait_queues: Arc<WaitQueues>, sizes: Arc<EntrySizes>) -> Self {
        Self {
            wait_queues,
            sizes,
            streams: HashMap::with_capacity(RESERVED_STREAMS),
            deadlines: Deadlines::default(),
            probe_queue: ProbeQueue {
                streams: VecDeque::new(),
                is_open: true,
            },
            queued_bytes: QueuedBytes::default(),
            throttled: ThrottledStreams::default(),
            recent: RecentInvalidations::default(),
            rechecks: Rechecks::default(),
            is_polled: false,
            awaiting_retry: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Returns whether a stream has a transient error, so that [`retry`](Self::retry) is needed.
    pub(super) fn awaits_retry(&self) -> bool {
        !self.awaiting_retry.is_empty()
    }

    /// Returns when the next wait expires, or the next throttled stream may be probed.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let (wait, throttled) = (self.deadlines.first(), self.throttled.first());
        wait.into_iter().chain(throttled).min()
    }

    /// Takes a new connection, on which no key is armed. `tracks` says whether Redis pushes
    /// invalidations on it; else the caller polls the [streams](Self::polled_streams).
    pub(super) fn connected(&mut self, generation: u64, tracks: bool) {
        self.recent.start(generation);
        self.is_polled = !tracks;
        self.all_changed();
    }

    /// Returns the streams to poll, each with the id after which it had no entries.
    pub(super) fn polled_streams(&self) -> impl Iterator<Item = PolledStream> {
        let streams = self.streams.values();
        streams.filter_map(|state| Some((state.stream(), state.armed_after()?)))
    }

    pub(super) fn handle(&mut self, message: HubMessage) {
        match message {
            HubMessage::Read(stream, reader, arming) => self.add_reader(stream, reader, arming),
            HubMessage::ReadGroup(consumer, arming) => self.add_consumer(consumer, arming),
            HubMessage::JoinFeed(stream, subscriber) => self.join_feed(&stream, subscriber),
            HubMessage::CancelWait(key) => self.cancel_wait(&key),
            HubMessage::LeaveFeed(stream, number) => self.leave_feed(&stream, number),
        }
    }

    /// The first attempt of a group has ended, so the next consumer may be served.
    pub(super) fn attempt_ended(&mut self, key: &GroupKey) {
        self.update_lists(&key.stream);
    }

    /// Redis has pushed an invalidation of a stream.
    pub(super) fn invalidated(&mut self, stream: &[u8], number: u64, now: Instant) {
        self.recent.record(stream, number);
        self.changed(stream, now);
    }

    /// Redis has pushed an invalidation of all streams.
    pub(super) fn all_invalidated(&mut self, number: u64) {
        self.recent.record_all(number);
        self.all_changed();
    }

    /// A stream has changed.
    pub(super) fn changed(&mut self, stream: &[u8], now: Instant) {
        if let Some(state) = self.streams.get_mut(stream) {
            if let Some(pause) = state.invalidated(now) {
                self.throttled.insert(now + pause, state.stream());
            }
            if state.needs_probe() {
                self.probe_queue.list(state);
            }
        }
    }

    /// Every stream may have changed: after a `FLUSHALL`, and on a new connection.
    fn all_changed(&mut self) {
        self.probe_queue.is_open = true;
        self.throttled.clear();
        for state in self.streams.values_mut() {
            state.mark_changed();
            self.probe_queue.list(state);
        }
    }

    /// Starts to make everything due whose changes Redis does not push.
    pub(super) fn start_recheck(&mut self) {
        if self.is_polled {
            for state in self.streams.values_mut() {
                state.mark_changed();
                state.recheck_groups();
                self.probe_queue.list(state);
            }
        } else {
            self.rechecks.start();
        }
    }

    /// Returns whether a recheck has to be [continued](Self::continue_recheck).
    pub(super) fn is_rechecking(&self) -> bool {
        self.rechecks.are_under_way()
    }

    /// Continues a recheck with some streams: there may be many thousands.
    pub(super) fn continue_recheck(&mut self) {
        for stream in self.rechecks.next_streams() {
            if let Some(state) = self.streams.get_mut(&stream) {
                state.recheck_groups();
                self.probe_queue.list(state);
            }
        }
    }

    /// Probes the streams with a transient error again.
    pub(super) fn retry(&mut self) {
        for stream in std::mem::take(&mut self.awaiting_retry) {
            if let Some(state) = self.streams.get_mut(&stream) {
                state.retry();
                self.probe_queue.list(state);
            }
        }
    }

    /// Probes the throttled streams whose pause is over.
    pub(super) fn end_throttles(&mut self, now: Instant) {
        while let Some(stream) = self.throttled.pop(now) {
            if let Some(state) = self.streams.get_mut(&stream) {
                state.end_throttle();
                self.probe_queue.list(state);
            }
        }
    }

    /// Returns the next probe to make.
    pub(super) fn next_probe(&mut self) -> Option<Probe> {
        while let Some(stream) = self.probe_queue.streams.pop_front() {
            let Some(state) = self.streams.get_mut(&stream) else {
                continue;
            };
            state.is_listed = false;
            let probe = state.start_probe(&self.wait_queues, &mut self.deadlines, self.is_polled);
            if let Some(mut probe) = probe {
                probe.bound(&self.sizes, self.is_polled);
                return Some(probe);
            }
            if state.is_empty() {
                self.remove(&stream);
            }
        }
        None
    }

    /// Takes the replies to a probe, or the error that came instead of them.
    pub(super) fn finish_probe(
        &mut self,
        probe: Probe,
        values: Result<Vec<Value>, SendError>,
        now: Instant,
    ) {
        let stream = Arc::clone(&probe.stream);
        let Some(state) = self.streams.get_mut(&stream) else {
            return;
        };
        match probe.decode(values) {
            Ok(reply) => {
                reply.observe(self.sizes.place(&stream), &self.sizes);
                state.finish_probe(reply, &mut self.deadlines, &self.queued_bytes, now);
            }
            Err(unanswered) => {
                let (probe, error) = *unanswered;
                state.abandon_probe(probe, &error, &mut self.deadlines, now);
            }
        }
        if state.has_transient_error() {
            self.awaiting_retry.push(Arc::clone(&stream));
        }
        self.update_lists(&stream);
        if self.queued_bytes.exceed_bound() {
            self.lag_slow_tails();
        }
    }

    /// Ends the waits whose deadline has passed. `down` is why the hub is disconnected, if it is.
    pub(super) fn expire(&mut self, now: Instant, down: Option<&CacheError>) {
        while let Some(key) = self.deadlines.pop_overdue(now) {
            if let Some(state) = self.streams.get_mut(&key.stream) {
                state.expire(&key, down);
            }
            self.update_lists(&key.stream);
        }
    }

    /// Stops probing until [`all_changed`](Self::all_changed) is called, and ends the waits that
    /// were only kept beyond their deadline for a probe.
    pub(super) fn disconnected(&mut self, now: Instant, error: &CacheError) {
        self.probe_queue.is_open = false;
        self.probe_queue.streams.clear();
        for state in self.streams.values_mut() {
            state.is_listed = false;
            state.end_overdue(now, error);
        }
        self.streams.retain(|stream, state| {
            let is_empty = state.is_empty();
            if is_empty {
                self.rechecks.remove(stream);
            }
            !is_empty
        });
    }

    fn add_reader(&mut self, stream: Arc<[u8]>, reader: ReadWaiter, arming: Option<Arming>) {
        let key = WaiterKey {
            stream: Arc::clone(&stream),
            group: None,
            number: reader.number,
        };
        self.deadlines.insert(reader.waiter.deadline, key);
        let is_armed = self.recent.is_armed(&stream, arming);
        self.state(&stream).add_reader(reader, is_armed);
        self.update_lists(&stream);
    }

    fn add_consumer(&mut self, consumer: GroupReadWaiter, arming: Option<Arming>) {
        let key = consumer.key();
        let stream = Arc::clone(&key.stream);
        self.deadlines.insert(consumer.waiter.deadline, key);
        let is_armed = self.recent.is_armed(&stream, arming);
        let is_polled = self.is_polled;
        self.rechecks.add(&stream);
        self.state(&stream)
            .add_consumer(consumer, is_polled, is_armed);
        self.update_lists(&stream);
    }

    fn join_feed(&mut self, stream: &Arc<[u8]>, subscriber: FeedSubscriber) {
        self.state(stream).join_feed(subscriber);
        self.update_lists(stream);
    }

    fn leave_feed(&mut self, stream: &Arc<[u8]>, number: u64) {
        if let Some(state) = self.streams.get_mut(stream) {
            state.leave_feed(number);
        }
        self.update_lists(stream);
    }

    fn cancel_wait(&mut self, key: &WaiterKey) {
        if let Some(state) = self.streams.get_mut(&key.stream) {
            state.cancel(key, &self.wait_queues, &mut self.deadlines);
        }
        self.update_lists(&key.stream);
    }

    fn lag_slow_tails(&mut self) {
        tracing::debug!(
            bytes = self.queued_bytes.get(),
            "queues of tails hold too much: slow tails read by themselves"
        );
        for state in self.streams.values_mut() {
            state.lag_slow_tails();
        }
        let empty = self.streams.values().filter(|state| state.is_empty());
        for stream in empty.map(|state| state.stream()).collect::<Vec<_>>() {
            self.remove(&stream);
        }
    }

    fn state(&mut self, stream: &Arc<[u8]>) -> &mut StreamState {
        self.streams
            .entry(Arc::clone(stream))
            .or_insert_with(|| Box::new(StreamState::new(Arc::clone(stream))))
    }

    /// Removes a stream that nobody waits for, or lists one that needs a probe.
    fn update_lists(&mut self, stream: &Arc<[u8]>) {
        if let Some(state) = self.streams.get_mut(stream) {
            if state.is_empty() {
                self.remove(stream);
            } else if state.needs_probe() {
                self.probe_queue.list(state);
            }
        }
    }

    fn remove(&mut self, stream: &Arc<[u8]>) {
        self.streams.remove(stream);
        self.rechecks.remove(stream);
    }
}

impl ProbeQueue {
    fn list(&mut self, state: &mut StreamState) {
        if self.is_open && !std::mem::replace(&mut state.is_listed, true) {
            self.streams.push_back(state.stream());
        }
    }
}

#[cfg(test)]
mod tests;
