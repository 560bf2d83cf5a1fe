//! The requests and subscriptions of a client: those that wait to be sent, and those in flight.

use std::collections::VecDeque;

use streamgate_protocol::limits::MIN_REQUESTS_IN_FLIGHT;

use super::delivery_log::ConsumerKey;
use super::pending_request::PendingRequest;
use super::subscription_window::SubscriptionWindow;
use super::time::Millis;

/// The requests that may wait to be sent, and as many again that may wait to be sent again:
/// subscriptions may accumulate while a backend is unavailable for long. Further requests fail with
/// `OVERLOADED`.
pub(super) const MAX_QUEUED_REQUESTS: usize = 65_536;

/// The bytes of names and values that may wait to be sent, for a tab that publishes faster than its
/// connection. Further requests fail with `OVERLOADED`.
pub(super) const MAX_QUEUED_BYTES: usize = 64 * 1024 * 1024;

/// The bytes of requests that may be unanswered at once. It bounds the socket's own buffers, whose
/// length some runtimes do not report. One request is always sent.
pub(super) const MAX_IN_FLIGHT_BYTES: usize = 16 * 1024 * 1024;

/// How many queued requests are examined for one that is not held back: how far others may overtake
/// adds that wait for the outcome of those before them.
const MAX_LOOK_AHEAD: usize = 256;

/// In the order in which they were admitted. Those in flight are sorted by id, which is nearly the
/// same order: an insertion is nearly always at the end, and a removal at the front unless a wait is
/// there. Each is boxed, because it moves from one list to the next.
#[derive(Debug)]
pub(super) struct RequestQueue {
    /// Requests to be sent again, and requests that recover lost entries. They go first.
    retries: VecDeque<Box<PendingRequest>>,
    queued: VecDeque<Box<PendingRequest>>,
    admitted: u64,
    queued_bytes: usize,
    in_flight: VecDeque<Box<PendingRequest>>,
    /// Subscriptions that the owner's close has ended, until the owner has heard of it.
    ended: VecDeque<Box<PendingRequest>>,
    in_flight_bytes: usize,
    max_in_flight: usize,
    timeout_ms: u64,
}

impl RequestQueue {
    pub(super) fn new(timeout_ms: u32) -> Self {
        Self {
            retries: VecDeque::new(),
            queued: VecDeque::new(),
            admitted: 0,
            queued_bytes: 0,
            in_flight: VecDeque::new(),
            ended: VecDeque::new(),
            in_flight_bytes: 0,
            max_in_flight: MIN_REQUESTS_IN_FLIGHT as usize,
            timeout_ms: u64::from(timeout_ms),
        }
    }

    pub(super) fn has_room(&self) -> bool {
        let requests = self.queued.len().max(self.retries.len());
        requests < MAX_QUEUED_REQUESTS && self.queued_bytes < MAX_QUEUED_BYTES
    }

    /// Queues a request to be sent. Returns whether there is room.
    pub(super) fn admit(&mut self, mut request: Box<PendingRequest>, now: Millis) -> bool {
        if !self.has_room() {
            return false;
        }
        self.admitted += 1;
        request.order = self.admitted;
        request.queued_at = now;
        self.queued_bytes += request.bytes;
        self.queued.push_back(request);
        true
    }

    /// Returns to the least that every server permits, until the new connection's server says more.
    pub(super) fn reset_max_in_flight(&mut self) {
        self.max_in_flight = MIN_REQUESTS_IN_FLIGHT as usize;
    }

    pub(super) fn set_max_in_flight(&mut self, requests: usize) {
        self.max_in_flight = requests;
    }

    /// Removes the next request to send, if one more may be in flight. Requests that are held back
    /// are skipped.
    pub(super) fn take_next(
        &mut self,
        is_held: impl Fn(&PendingRequest) -> bool,
    ) -> Option<Box<PendingRequest>> {
        if self.in_flight.len() >= self.max_in_flight {
            return None;
        }
        let mut retries = self.retries.iter();
        let ready = retries.position(|request| request.is_ready() && !is_held(request));
        let mut queued = self.queued.iter().take(MAX_LOOK_AHEAD);
        let (next, index) = match ready {
            Some(index) => (self.retries.get(index)?, index),
            None => {
                let index = queued.position(|request| !is_held(request))?;
                (self.queued.get(index)?, index)
            }
        };
        if self.in_flight_bytes + next.bytes > MAX_IN_FLIGHT_BYTES && !self.in_flight.is_empty() {
            return None;
        }
        match ready {
            Some(index) => self.retries.remove(index),
            None => self.take_queued(index),
        }
    }

    /// Removes any request that waits to be sent.
    pub(super) fn take_any(&mut self) -> Option<Box<PendingRequest>> {
        self.retries.pop_front().or_else(|| self.take_queued(0))
    }

    fn take_queued(&mut self, index: usize) -> Option<Box<PendingRequest>> {
        let next = self.queued.remove(index)?;
        self.queued_bytes -= next.bytes;
        Some(next)
    }

    /// Puts the request back that [`take_next`](Self::take_next) returned last.
    pub(super) fn put_back(&mut self, request: Box<PendingRequest>) {
        if request.was_sent {
            self.retry(request);
        } else {
            self.queued_bytes += request.bytes;
            self.queued.push_front(request);
        }
    }

    /// Records that a request, or its recovery, was sent with this many bytes.
    pub(super) fn record_sent(&mut self, mut request: Box<PendingRequest>, bytes: usize) {
        request.was_sent = true;
        request.bytes = bytes;
        if request.window.is_none() {
            request.window = request.new_window().map(Box::new);
        }
        insert(&mut self.in_flight, request, PendingRequest::id);
        self.in_flight_bytes += bytes;
    }

    /// Queues a request to be sent again, before all that were not sent yet.
    pub(super) fn retry(&mut self, request: Box<PendingRequest>) {
        insert(&mut self.retries, request, order);
    }

    /// Returns the request in flight with this id.
    pub(super) fn find_in_flight(&mut self, id: u64) -> Option<&mut PendingRequest> {
        let index = self.index_in_flight(id)?;
        self.in_flight.get_mut(index).map(Box::as_mut)
    }

    /// Returns a request in flight that can deliver what a recovery finds: one that waits for entries
    /// of the same consumer.
    pub(super) fn find_receiver(&mut self, key: ConsumerKey<'_>) -> Option<&mut PendingRequest> {
        let mut requests = self.in_flight.iter_mut();
        let receiver =
            requests.find(|request| !request.is_recovering && request.consumer() == Some(key))?;
        Some(receiver)
    }

    /// Whether a background recovery for the consumer waits to be sent.
    pub(super) fn has_background_recovery(&self, key: ConsumerKey<'_>) -> bool {
        let mut waiting = self.retries.iter();
        waiting.any(|request| request.is_background() && request.consumer() == Some(key))
    }

    /// Usually it is the first, unless a wait is there.
    fn index_in_flight(&self, id: u64) -> Option<usize> {
        if self.in_flight.front()?.id() == id {
            return Some(0);
        }
        let index = self
            .in_flight
            .binary_search_by_key(&id, |request| request.id());
        index.ok()
    }

    /// Returns the flow control of a subscription that was sent.
    pub(super) fn find_window(&mut self, id: u64) -> Option<&mut SubscriptionWindow> {
        self.find_sent(id)?.window.as_deref_mut()
    }

    /// Whether it is an idempotent add that was sent.
    pub(super) fn is_sent_idempotent_add(&mut self, id: u64) -> bool {
        let request = self.find_sent(id);
        request.is_some_and(|request| request.is_idempotent_add())
    }

    /// In flight, waiting to be sent again, or ended.
    fn find_sent(&mut self, id: u64) -> Option<&mut PendingRequest> {
        let request = match self.index_in_flight(id) {
            Some(index) => self.in_flight.get_mut(index),
            None => match position(&self.retries, id) {
                Some(index) => self.retries.get_mut(index),
                None => self.ended.get_mut(position(&self.ended, id)?),
            },
        };
        request.map(Box::as_mut)
    }

    /// Removes the request in flight with this id.
    pub(super) fn take_in_flight(&mut self, id: u64) -> Option<Box<PendingRequest>> {
        let index = self.index_in_flight(id)?;
        let request = self.in_flight.remove(index)?;
        self.in_flight_bytes -= request.bytes;
        Some(request)
    }

    /// Removes a request wherever it is. Returns it, and whether it was in flight, so that the server
    /// must be notified.
    pub(super) fn remove(&mut self, id: u64) -> (Option<Box<PendingRequest>>, bool) {
        if let Some(request) = self.take_in_flight(id) {
            return (Some(request), true);
        }
        if let Some(index) = position(&self.retries, id) {
            return (self.retries.remove(index), false);
        }
        if let Some(index) = position(&self.queued, id) {
            return (self.take_queued(index), false);
        }
        if let Some(index) = position(&self.ended, id) {
            self.ended.remove(index);
        }
        (None, false)
    }

    /// Keeps a subscription that the owner's close has ended.
    pub(super) fn record_ended(&mut self, subscription: Box<PendingRequest>) {
        insert(&mut self.ended, subscription, order);
    }

    pub(super) const fn ended(&self) -> &VecDeque<Box<PendingRequest>> {
        &self.ended
    }

    /// Removes all requests that were sent, in the order in which they were admitted.
    pub(super) fn take_sent(&mut self) -> VecDeque<Box<PendingRequest>> {
        self.in_flight_bytes = 0;
        // Nearly sorted; a sort would be four kilobytes of a browser's download.
        for request in std::mem::take(&mut self.in_flight) {
            insert(&mut self.retries, request, order);
        }
        std::mem::take(&mut self.retries)
    }

    /// Removes all requests that were sent, because their connection was lost. The time in the
    /// queue starts again for those in flight, not for those that were waiting since an earlier
    /// loss.
    pub(super) fn take_lost(&mut self, now: Millis) -> VecDeque<Box<PendingRequest>> {
        for request in &mut self.in_flight {
            request.record_connection_lost(now);
        }
        self.take_sent()
    }

    /// Ends the pauses whose time is over.
    pub(super) fn end_due_pauses(&mut self, now: Millis) {
        for request in &mut self.retries {
            if request.pause_ends_at().is_some_and(|end| now >= end) {
                request.end_pause();
            }
        }
    }

    /// Whether to go on retrying a request while the server has no backend.
    pub(super) fn has_patience(&self, request: &PendingRequest, now: Millis) -> bool {
        request.has_patience(self.timeout_ms, now)
    }

    /// Returns the ids of requests of this kind, `max` at most.
    // Inlined it would be a larger download for browsers.
    #[inline(never)]
    pub(super) fn find_ids(&self, wanted: fn(&PendingRequest) -> bool, max: usize) -> Vec<u64> {
        let mut ids = Vec::new();
        for list in [&self.in_flight, &self.retries, &self.queued] {
            for request in list {
                if wanted(request) {
                    ids.push(request.id());
                    if ids.len() == max {
                        return ids;
                    }
                }
            }
        }
        ids
    }

    /// Removes a request that has waited to be sent for too long.
    pub(super) fn take_expired(&mut self, now: Millis) -> Option<Box<PendingRequest>> {
        let timeout = self.timeout_ms;
        let is_expired =
            |request: &PendingRequest| request.expires_at(timeout).is_some_and(|end| now >= end);
        if let Some(index) = self.retries.iter().position(|request| is_expired(request)) {
            return self.retries.remove(index);
        }
        if self
            .queued
            .front()
            .is_some_and(|request| is_expired(request))
        {
            return self.take_queued(0);
        }
        None
    }

    pub(super) fn next_deadline(&self) -> Option<Millis> {
        let deadline = |request: &PendingRequest| {
            let pause = request.pause_ends_at();
            pause.or_else(|| request.expires_at(self.timeout_ms))
        };
        let mut next = self.queued.front().and_then(|request| deadline(request));
        for request in &self.retries {
            next = earlier(next, deadline(request));
        }
        next
    }
}

/// Returns the earlier of two moments.
pub(super) fn earlier(one: Option<Millis>, other: Option<Millis>) -> Option<Millis> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        _ => one.or(other),
    }
}

// Inlined it would be a larger download for browsers.
#[inline(never)]
fn position(requests: &VecDeque<Box<PendingRequest>>, id: u64) -> Option<usize> {
    requests.iter().position(|request| request.id() == id)
}

fn order(request: &PendingRequest) -> u64 {
    request.order
}

/// Inserts by a key, which is nearly always at the end.
fn insert(
    requests: &mut VecDeque<Box<PendingRequest>>,
    request: Box<PendingRequest>,
    key: fn(&PendingRequest) -> u64,
) {
    let new = key(&request);
    if requests.back().is_none_or(|last| key(last) < new) {
        requests.push_back(request);
    } else {
        let index = requests.partition_point(|other| key(other) < new);
        requests.insert(index, request);
    }
}

#[cfg(test)]
mod tests {
    use streamgate_protocol::Operation;

    use super::*;
    use crate::engine::NewRequest;

    fn request(id: u64) -> Box<PendingRequest> {
        let operation = Operation::ReadLatest {
            stream: "s".into(),
            count: 1,
        };
        let NewRequest(mut request) = operation.into();
        request.set_id(id);
        request
    }

    /// Such as subscriptions while a backend is unavailable.
    #[test]
    fn requests_that_wait_to_be_sent_again_are_bounded_too() {
        let mut queue = RequestQueue::new(1_000);
        for id in 1..MAX_QUEUED_REQUESTS as u64 {
            queue.retry(request(id));
        }
        assert!(queue.admit(request(u64::MAX - 1), 0));
        queue.retry(request(0));
        assert!(!queue.admit(request(u64::MAX), 0));
    }
}
