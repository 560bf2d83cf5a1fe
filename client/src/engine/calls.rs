//! The calls and subscriptions of a client: those that wait to be sent, and those in flight.

use std::collections::VecDeque;

use streamgate_protocol::error::code;
use streamgate_protocol::limits::MIN_REQUESTS_IN_FLIGHT;
use streamgate_protocol::{CacheError, CacheResult};

use super::Millis;
use super::ask::Ask;
use super::window::Window;

/// Calls that may wait to be sent. Beyond it a call is refused with `OVERLOADED`.
pub(super) const MAX_QUEUED_CALLS: usize = 65_536;

/// Bytes of names and values that may wait to be sent, for a tab that publishes faster than its
/// connection. Beyond it a call is refused with `OVERLOADED`.
pub(super) const MAX_QUEUED_BYTES: usize = 64 * 1024 * 1024;

/// Bytes of requests that may be unanswered at once. It bounds what lies in the socket's own
/// buffers, which on some runtimes cannot be asked how full they are. One request is always let
/// through.
pub(super) const MAX_IN_FLIGHT_BYTES: usize = 16 * 1024 * 1024;

#[derive(Debug)]
struct Queued {
    ask: Ask,
    bytes: usize,
    since: Millis,
}

#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) id: u64,
    pub(super) read_only: bool,
    /// Of a subscription; apart, so that calls, of which there are many more, stay small.
    pub(super) window: Option<Box<Window>>,
    bytes: usize,
}

impl InFlight {
    pub(super) const fn is_tail(&self) -> bool {
        self.window.is_some() && self.read_only
    }
}

/// In the order they came; those in flight sorted by id, which is nearly the same order, so that
/// a lookup is a binary search, an insertion nearly always a push and a removal nearly always of
/// the first.
#[derive(Debug)]
pub(super) struct Calls {
    queued: VecDeque<Queued>,
    queued_bytes: usize,
    in_flight: VecDeque<InFlight>,
    in_flight_bytes: usize,
    granted: usize,
    queue_timeout_ms: u64,
    /// Taken for sending; between `take_next` and `sent` or `put_back`.
    taken_since: Millis,
}

impl Calls {
    pub(super) fn new(queue_timeout_ms: u32) -> Self {
        Self {
            queued: VecDeque::new(),
            queued_bytes: 0,
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            granted: MIN_REQUESTS_IN_FLIGHT as usize,
            queue_timeout_ms: u64::from(queue_timeout_ms),
            taken_since: 0,
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.queued.len() < MAX_QUEUED_CALLS && self.queued_bytes < MAX_QUEUED_BYTES
    }

    pub(super) fn admit(&mut self, ask: Ask, now: Millis) -> CacheResult<()> {
        if !self.has_room() {
            let why = "too many calls wait to be sent";
            return Err(CacheError::from_code(code::OVERLOADED, why));
        }
        let bytes = ask.weight();
        self.queued_bytes += bytes;
        self.queued.push_back(Queued {
            ask,
            bytes,
            since: now,
        });
        Ok(())
    }

    /// A new connection grants the least until its server says more.
    pub(super) fn opened(&mut self) {
        self.granted = MIN_REQUESTS_IN_FLIGHT as usize;
    }

    pub(super) fn granted(&mut self, requests: usize) {
        self.granted = requests;
    }

    /// The next call to send, if there is a place in flight for it.
    pub(super) fn take_next(&mut self) -> Option<Ask> {
        let next = self.queued.front()?;
        let fits = self.in_flight_bytes + next.bytes <= MAX_IN_FLIGHT_BYTES;
        if self.in_flight.len() >= self.granted || !(fits || self.in_flight.is_empty()) {
            return None;
        }
        self.take_any()
    }

    /// The next call, whether or not there is a place for it.
    pub(super) fn take_any(&mut self) -> Option<Ask> {
        let next = self.queued.pop_front()?;
        self.queued_bytes -= next.bytes;
        self.taken_since = next.since;
        Some(next.ask)
    }

    /// Gives back what [`take_next`](Self::take_next) gave last.
    pub(super) fn put_back(&mut self, ask: Ask) {
        let bytes = ask.weight();
        self.queued_bytes += bytes;
        self.queued.push_front(Queued {
            ask,
            bytes,
            since: self.taken_since,
        });
    }

    pub(super) fn sent(&mut self, ask: &Ask, bytes: usize) {
        let call = InFlight {
            id: ask.id(),
            read_only: ask.is_read_only(),
            window: ask.window().map(Box::new),
            bytes,
        };
        let place = self.in_flight.partition_point(|other| other.id < call.id);
        self.in_flight.insert(place, call);
        self.in_flight_bytes += bytes;
    }

    /// What is in flight with this id.
    pub(super) fn find(&mut self, id: u64) -> Option<&mut InFlight> {
        let place = self.in_flight.binary_search_by_key(&id, |call| call.id);
        self.in_flight.get_mut(place.ok()?)
    }

    /// The account of a subscription that is in flight.
    pub(super) fn window(&mut self, id: u64) -> Option<&mut Window> {
        self.find(id)?.window.as_deref_mut()
    }

    /// What was in flight with this id; it no longer is.
    pub(super) fn answered(&mut self, id: u64) -> Option<InFlight> {
        let place = self.in_flight.binary_search_by_key(&id, |call| call.id);
        let call = self.in_flight.remove(place.ok()?)?;
        self.in_flight_bytes -= call.bytes;
        Some(call)
    }

    /// Forgets a call; whether the server knows it and has to be told.
    pub(super) fn forget(&mut self, id: u64) -> bool {
        if self.answered(id).is_some() {
            return true;
        }
        if let Some(place) = self.queued.iter().position(|call| call.ask.id() == id)
            && let Some(call) = self.queued.remove(place)
        {
            self.queued_bytes -= call.bytes;
        }
        false
    }

    /// The calls in flight, the oldest first; there are none afterwards.
    pub(super) fn lose_in_flight(&mut self) -> VecDeque<InFlight> {
        self.in_flight_bytes = 0;
        std::mem::take(&mut self.in_flight)
    }

    /// One of the calls that have waited to be sent for too long.
    pub(super) fn expired(&mut self, now: Millis) -> Option<u64> {
        let first = self.queued.front()?;
        if now < first.since + self.queue_timeout_ms {
            return None;
        }
        self.take_any().map(|ask| ask.id())
    }

    pub(super) fn next_deadline(&self) -> Option<Millis> {
        self.queued
            .front()
            .map(|call| call.since + self.queue_timeout_ms)
    }
}
