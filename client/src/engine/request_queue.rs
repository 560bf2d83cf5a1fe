//! The calls and subscriptions of a client: those that wait to be sent, and those in flight.

use std::collections::VecDeque;

use streamgate_protocol::error::code;
use streamgate_protocol::limits::MIN_REQUESTS_IN_FLIGHT;
use streamgate_protocol::{CacheError, CacheResult};

use super::Millis;
use super::pause;
use super::pending_request::{Ask, MAX_AGE_MS};
use super::subscription_window::Window;

/// Calls that may wait to be sent, and as many that may wait to be asked again: subscriptions may
/// come while a backend is away for long. Beyond it a call is refused with `OVERLOADED`.
pub(super) const MAX_QUEUED_CALLS: usize = 65_536;

/// Bytes of names and values that may wait to be sent, for a tab that publishes faster than its
/// connection. Beyond it a call is refused with `OVERLOADED`.
pub(super) const MAX_QUEUED_BYTES: usize = 64 * 1024 * 1024;

/// Bytes of requests that may be unanswered at once. It bounds what lies in the socket's own
/// buffers, which on some runtimes cannot be asked how full they are. One request is always let
/// through.
pub(super) const MAX_IN_FLIGHT_BYTES: usize = 16 * 1024 * 1024;

/// Calls that are looked at for one that is not held back: how far others may go ahead of adds that
/// wait until it is known what became of those before them.
const MAX_LOOK_AHEAD: usize = 256;

/// A call or a subscription that is not over.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) ask: Ask,
    /// Of a subscription that was sent; apart, so that calls, of which there are many more, stay
    /// small.
    pub(super) window: Option<Box<Window>>,
    bytes: usize,
    /// When it came, or was lost, or had more to ask, or began to rest.
    pub(super) since: Millis,
    /// The last pause before it was asked for again, since anything came of it; 0 for none.
    pub(super) pause_ms: Millis,
    is_resting: bool,
}

impl Call {
    pub(super) fn new(ask: Ask) -> Self {
        Self {
            bytes: ask.weight(),
            ask,
            window: None,
            // When it is admitted.
            since: 0,
            pause_ms: 0,
            is_resting: false,
        }
    }

    pub(super) const fn id(&self) -> u64 {
        self.ask.id()
    }

    pub(super) fn is_tail(&self) -> bool {
        self.ask.is_subscription() && self.ask.is_read_only()
    }

    /// When it has waited for too long. A subscription that has begun waits for a connection for as
    /// long as it takes.
    fn expires_at(&self, queue_timeout_ms: u64) -> Option<Millis> {
        let (is_add, again) = (self.ask.adds_once().is_some(), self.ask.again_since);
        let end = match again.filter(|_| is_add) {
            Some(since) => since + queue_timeout_ms.min(MAX_AGE_MS),
            None => self.rests_until() + queue_timeout_ms,
        };
        self.window.is_none().then_some(end)
    }

    /// Whether it is asked again where nothing was done: a subscription, which has no other end than
    /// its owner's wish, unless it is one too many; and what was asked again already, of a server or
    /// of its backend.
    pub(super) fn goes_on(&self, error: &CacheError) -> bool {
        self.ask.again_since.is_some() || self.window.is_some() && error.code() != code::OVERLOADED
    }

    /// It is to be asked again after a pause.
    pub(super) fn rest(&mut self, now: Millis) {
        self.ask.again_since.get_or_insert(now);
        self.pause_ms = pause::after(self.pause_ms);
        (self.since, self.is_resting) = (now, true);
    }

    const fn rests_until(&self) -> Millis {
        self.since + self.pause_ms
    }

    /// Whether it makes sense to send it: a consumer that has no room for what it looks for waits
    /// until it has.
    fn is_ready(&self) -> bool {
        !self.is_resting
            && match &self.window {
                Some(window) => self.ask.look_after.is_none() || window.room() > 0,
                None => true,
            }
    }
}

/// In the order they came; those in flight sorted by id, which is nearly the same order, so that
/// an insertion is nearly always a push, and a removal of the first unless something waits there. Each
/// on the heap, because it is moved from one to the next.
#[derive(Debug)]
pub(super) struct Calls {
    /// Those that were sent on a connection that was lost, or that have more to ask. They go first.
    again: VecDeque<Box<Call>>,
    queued: VecDeque<Box<Call>>,
    queued_bytes: usize,
    in_flight: VecDeque<Box<Call>>,
    in_flight_bytes: usize,
    granted: usize,
    queue_timeout_ms: u64,
}

impl Calls {
    pub(super) fn new(queue_timeout_ms: u32) -> Self {
        Self {
            again: VecDeque::new(),
            queued: VecDeque::new(),
            queued_bytes: 0,
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            granted: MIN_REQUESTS_IN_FLIGHT as usize,
            queue_timeout_ms: u64::from(queue_timeout_ms),
        }
    }

    pub(super) fn has_room(&self) -> bool {
        let calls = self.queued.len().max(self.again.len());
        calls < MAX_QUEUED_CALLS && self.queued_bytes < MAX_QUEUED_BYTES
    }

    pub(super) fn admit(&mut self, mut call: Box<Call>, now: Millis) -> CacheResult<()> {
        if !self.has_room() {
            let why = "too many calls wait to be sent";
            return Err(CacheError::from_code(code::OVERLOADED, why));
        }
        call.since = now;
        self.queued_bytes += call.bytes;
        self.queued.push_back(call);
        Ok(())
    }

    /// A new connection grants the least until its server says more.
    pub(super) fn opened(&mut self) {
        self.granted = MIN_REQUESTS_IN_FLIGHT as usize;
    }

    pub(super) fn granted(&mut self, requests: usize) {
        self.granted = requests;
    }

    /// The next call to send, if there is a place in flight for it. One that is held back is passed
    /// over.
    pub(super) fn take_next(&mut self, is_held: impl Fn(&Ask) -> bool) -> Option<Box<Call>> {
        if self.in_flight.len() >= self.granted {
            return None;
        }
        let mut again = self.again.iter();
        let ready = again.position(|call| call.is_ready() && !is_held(&call.ask));
        let mut queued = self.queued.iter().take(MAX_LOOK_AHEAD);
        let (next, place) = match ready {
            Some(place) => (self.again.get(place)?, place),
            None => {
                let place = queued.position(|call| !is_held(&call.ask))?;
                (self.queued.get(place)?, place)
            }
        };
        if self.in_flight_bytes + next.bytes > MAX_IN_FLIGHT_BYTES && !self.in_flight.is_empty() {
            return None;
        }
        match ready {
            Some(place) => self.again.remove(place),
            None => self.take_queued(place),
        }
    }

    /// The next call, whether or not there is a place for it.
    pub(super) fn take_any(&mut self) -> Option<Box<Call>> {
        self.again.pop_front().or_else(|| self.take_queued(0))
    }

    fn take_queued(&mut self, place: usize) -> Option<Box<Call>> {
        let next = self.queued.remove(place)?;
        self.queued_bytes -= next.bytes;
        Some(next)
    }

    /// Gives back what [`take_next`](Self::take_next) gave last.
    pub(super) fn put_back(&mut self, call: Box<Call>) {
        if call.ask.was_sent {
            self.ask_again(call);
        } else {
            self.queued_bytes += call.bytes;
            self.queued.push_front(call);
        }
    }

    /// It was sent, or a part of what it asks for.
    pub(super) fn sent(&mut self, mut call: Box<Call>, bytes: usize) {
        call.ask.was_sent = true;
        call.bytes = bytes;
        if call.window.is_none() {
            call.window = call.ask.window().map(Box::new);
        }
        insert(&mut self.in_flight, call);
        self.in_flight_bytes += bytes;
    }

    /// It is to be asked again, before whatever was not asked yet.
    pub(super) fn ask_again(&mut self, call: Box<Call>) {
        insert(&mut self.again, call);
    }

    /// What is in flight with this id.
    pub(super) fn find(&mut self, id: u64) -> Option<&mut Call> {
        let place = self.place(id)?;
        self.in_flight.get_mut(place).map(Box::as_mut)
    }

    /// Where in flight it is: in front, unless something waits there.
    fn place(&self, id: u64) -> Option<usize> {
        if self.in_flight.front()?.id() == id {
            return Some(0);
        }
        let place = self.in_flight.binary_search_by_key(&id, |call| call.id());
        place.ok()
    }

    /// The account of a subscription that was sent.
    pub(super) fn window(&mut self, id: u64) -> Option<&mut Window> {
        self.find_sent(id)?.window.as_deref_mut()
    }

    /// Whether it is an add that is done once, and was sent.
    pub(super) fn is_sent_add(&mut self, id: u64) -> bool {
        let call = self.find_sent(id);
        call.is_some_and(|call| call.ask.adds_once().is_some())
    }

    /// What was sent with this id, whether it is in flight or to be asked again.
    fn find_sent(&mut self, id: u64) -> Option<&mut Call> {
        let call = match self.place(id) {
            Some(place) => self.in_flight.get_mut(place),
            None => self.again.iter_mut().find(|call| call.id() == id),
        };
        call.map(Box::as_mut)
    }

    /// What was in flight with this id; it no longer is.
    pub(super) fn answered(&mut self, id: u64) -> Option<Box<Call>> {
        let place = self.place(id)?;
        let call = self.in_flight.remove(place)?;
        self.in_flight_bytes -= call.bytes;
        Some(call)
    }

    /// Forgets a call, and gives it back if it was sent; whether it is in flight, so that the server
    /// has to be told.
    pub(super) fn forget(&mut self, id: u64) -> (Option<Box<Call>>, bool) {
        if let Some(call) = self.answered(id) {
            return (Some(call), true);
        }
        let find = |calls: &VecDeque<Box<Call>>| calls.iter().position(|call| call.id() == id);
        if let Some(place) = find(&self.again) {
            return (self.again.remove(place), false);
        }
        if let Some(place) = find(&self.queued)
            && let Some(call) = self.queued.remove(place)
        {
            self.queued_bytes -= call.bytes;
        }
        (None, false)
    }

    /// The calls that were sent, in the order they came; there are none afterwards.
    pub(super) fn take_sent(&mut self) -> VecDeque<Box<Call>> {
        self.in_flight_bytes = 0;
        let mut sent = std::mem::take(&mut self.in_flight);
        // Both are sorted; a sort is four kilobytes of what a browser downloads.
        for call in self.again.drain(..) {
            insert(&mut sent, call);
        }
        sent
    }

    /// The same, when their connection was lost. Those that wait since an earlier loss go on
    /// waiting.
    pub(super) fn lose_sent(&mut self, now: Millis) -> VecDeque<Box<Call>> {
        for call in &mut self.in_flight {
            call.since = now;
            call.ask.again_since.get_or_insert(now);
            // What a consumer may have been given is looked for.
            call.ask.maybe_done |= !call.ask.is_read_only() && call.ask.consumer().is_none();
        }
        self.take_sent()
    }

    /// What they rest for may be over: all are ready.
    pub(super) fn wake(&mut self) {
        for call in &mut self.again {
            call.is_resting = false;
        }
    }

    /// Those that have rested for long enough are ready.
    pub(super) fn rested(&mut self, now: Millis) {
        for call in &mut self.again {
            call.is_resting &= now < call.rests_until();
        }
    }

    /// Whether to ask on for a call while the server has no backend.
    pub(super) fn has_patience(&self, call: &Call, now: Millis) -> bool {
        call.ask.has_patience(self.queue_timeout_ms, now)
    }

    /// One of the calls that have waited to be sent for too long.
    pub(super) fn expired(&mut self, now: Millis) -> Option<Box<Call>> {
        let timeout = self.queue_timeout_ms;
        let is_over = |call: &Call| call.expires_at(timeout).is_some_and(|end| now >= end);
        if let Some(place) = self.again.iter().position(|call| is_over(call)) {
            return self.again.remove(place);
        }
        if self.queued.front().is_some_and(|call| is_over(call)) {
            return self.take_queued(0);
        }
        None
    }

    pub(super) fn next_deadline(&self) -> Option<Millis> {
        let waiting = self.again.iter().chain(self.queued.front());
        let deadline = |call: &Call| match call.is_resting {
            true => Some(call.rests_until()),
            false => call.expires_at(self.queue_timeout_ms),
        };
        waiting.filter_map(|call| deadline(call)).min()
    }
}

/// Into its place by id, which is nearly always the last.
fn insert(calls: &mut VecDeque<Box<Call>>, call: Box<Call>) {
    let is_last = calls.back().is_none_or(|last| last.id() < call.id());
    if is_last {
        calls.push_back(call);
    } else {
        let place = calls.partition_point(|other| other.id() < call.id());
        calls.insert(place, call);
    }
}

#[cfg(test)]
mod tests {
    use streamgate_protocol::Operation;

    use super::*;

    fn call(id: u64) -> Box<Call> {
        let operation = Operation::ReadLatest {
            stream: "s".into(),
            count: 1,
        };
        let mut ask = Ask::call(operation);
        ask.set_id(id);
        Box::new(Call::new(ask))
    }

    /// Subscriptions, say, of a backend that is away.
    #[test]
    fn one_more_than_may_wait_to_be_asked_again_is_refused() {
        let mut calls = Calls::new(1_000);
        for id in 1..MAX_QUEUED_CALLS as u64 {
            calls.ask_again(call(id));
        }
        calls.admit(call(u64::MAX - 1), 0).unwrap();
        calls.ask_again(call(0));
        let refused = calls.admit(call(u64::MAX), 0).unwrap_err();
        assert_eq!(refused.code(), code::OVERLOADED);
    }
}
