//! The requests in flight on one socket.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use foldhash::fast::RandomState;
use streamgate_protocol::message::Credit;

use crate::session::subscriptions::Subscriber;
use crate::session::waiting::WaitHandle;

/// Bytes of the requests that may wait, on one socket: each is kept while it waits, which may be
/// for ever. Room for as many as are in flight by default, at 1 KiB each.
pub(super) const MAX_WAITING_BYTES: usize = 16 * 1024 * 1024;

/// A request that was taken. Its id may be another request's by the time it is over; its serial
/// number is its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) id: u64,
    serial: u64,
}

/// Why a request is not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Its id is that of a request in flight.
    Duplicate,
    /// Too many are in flight.
    Overloaded,
}

/// The requests that are neither answered nor cancelled.
pub(super) struct Requests<'b> {
    /// With a hash that is a fraction of the work of the default one, and seeded: a client that
    /// chose ids that collide would slow down itself.
    live: HashMap<u64, Live<'b>, RandomState>,
    max_in_flight: usize,
    next_serial: u64,
    waiting_bytes: usize,
}

struct Live<'b> {
    serial: u64,
    /// Of a request that may wait; else 0.
    waiting_bytes: usize,
    lasting: Option<Lasting<'b>>,
}

/// How to end what lasts, and what else can be done with it.
pub(super) enum Lasting<'b> {
    Wait(WaitHandle<'b>),
    Subscription(Subscriber<'b>),
}

impl<'b> Requests<'b> {
    pub(super) fn new(max_in_flight: u32) -> Self {
        Self {
            live: HashMap::default(),
            max_in_flight: max_in_flight as usize,
            next_serial: 0,
            waiting_bytes: 0,
        }
    }

    /// Takes a request, which holds `waiting_bytes` if it may wait.
    pub(super) fn admit(&mut self, id: u64, waiting_bytes: usize) -> Result<Ticket, Refusal> {
        let full = self.live.len() >= self.max_in_flight
            || (waiting_bytes > 0 && self.waiting_bytes + waiting_bytes > MAX_WAITING_BYTES);
        match self.live.entry(id) {
            Entry::Occupied(_) => Err(Refusal::Duplicate),
            Entry::Vacant(_) if full => Err(Refusal::Overloaded),
            Entry::Vacant(vacant) => {
                let serial = self.next_serial;
                self.next_serial += 1;
                self.waiting_bytes += waiting_bytes;
                vacant.insert(Live {
                    serial,
                    waiting_bytes,
                    lasting: None,
                });
                Ok(Ticket { id, serial })
            }
        }
    }

    /// Whether an id is that of a request in flight.
    pub(super) fn contains(&self, id: u64) -> bool {
        self.live.contains_key(&id)
    }

    /// Notes how to end what a request has become; `false` if it was cancelled.
    pub(super) fn lasts(&mut self, ticket: Ticket, lasting: Lasting<'b>) -> bool {
        match self.live.get_mut(&ticket.id) {
            Some(live) if live.serial == ticket.serial => {
                live.lasting = Some(lasting);
                true
            }
            _ => false,
        }
    }

    /// Whether it is neither over nor cancelled.
    pub(super) fn is_live(&self, ticket: Ticket) -> bool {
        self.live
            .get(&ticket.id)
            .is_some_and(|live| live.serial == ticket.serial)
    }

    /// Adds to a subscription's credit, if that is what the id is of.
    pub(super) fn grant(&self, id: u64, more: Credit) {
        if let Some(Lasting::Subscription(subscriber)) =
            self.live.get(&id).and_then(|live| live.lasting.as_ref())
        {
            subscriber.grant(more);
        }
    }

    /// Ends a request that is over; `false` if it was cancelled, and so is not answered.
    pub(super) fn finish(&mut self, ticket: Ticket) -> bool {
        match self.live.entry(ticket.id) {
            Entry::Occupied(live) if live.get().serial == ticket.serial => {
                self.waiting_bytes -= live.remove().waiting_bytes;
                true
            }
            _ => false,
        }
    }

    /// Ends a subscription from this side.
    pub(super) fn end(&mut self, ticket: Ticket) {
        if self.is_live(ticket) {
            self.cancel(ticket.id);
        }
    }

    /// Ends all that lasts; what is being performed stays in flight.
    pub(super) fn end_lasting(&mut self) {
        let lasting = self.live.iter().filter(|(_, live)| live.lasting.is_some());
        for id in lasting.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.cancel(id);
        }
    }

    /// Cancels a request if it is in flight. Its id is free at once.
    pub(super) fn cancel(&mut self, id: u64) {
        if let Some(live) = self.live.remove(&id) {
            self.waiting_bytes -= live.waiting_bytes;
            match live.lasting {
                Some(Lasting::Wait(wait)) => wait.end(),
                Some(Lasting::Subscription(subscriber)) => subscriber.end(),
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Arc;

    use futures_util::FutureExt;

    use super::*;
    use crate::session::waiting::Wait;

    #[test]
    fn a_cancelled_request_is_not_answered_even_if_its_id_is_in_use_again() {
        let mut requests = Requests::new(4);
        let first = requests.admit(7, 0).unwrap();
        requests.cancel(7);
        let second = requests.admit(7, 0).unwrap();
        assert!(!requests.finish(first));
        let (handle, _) = Wait::new(first, pending().boxed());
        assert!(!requests.lasts(first, Lasting::Wait(handle)));
        assert!(requests.finish(second));
        assert!(!requests.contains(7));
    }

    #[test]
    fn a_cancel_ends_the_wait_at_once() {
        let mut requests = Requests::new(4);
        let ticket = requests.admit(7, 10).unwrap();
        let waits = Arc::new(());
        let held = Arc::clone(&waits);
        let future = async move {
            let _held = held;
            pending().await
        };
        let (handle, _wait) = Wait::new(ticket, future.boxed());
        assert!(requests.lasts(ticket, Lasting::Wait(handle)));
        assert_eq!(Arc::strong_count(&waits), 2);
        requests.cancel(7);
        assert_eq!(
            Arc::strong_count(&waits),
            1,
            "without the wait being polled"
        );
        assert_eq!(requests.waiting_bytes, 0);
        requests.cancel(7);
    }

    #[test]
    fn what_lasts_ends_and_what_is_performed_does_not() {
        let mut requests = Requests::new(4);
        let (waits, performed) = (
            requests.admit(7, 10).unwrap(),
            requests.admit(8, 0).unwrap(),
        );
        let (handle, _wait) = Wait::new(waits, pending().boxed());
        assert!(requests.lasts(waits, Lasting::Wait(handle)));
        requests.end_lasting();
        assert!(!requests.is_live(waits));
        assert!(requests.finish(performed));
        assert_eq!(requests.waiting_bytes, 0);
    }

    #[test]
    fn a_duplicate_is_told_from_too_many() {
        let mut requests = Requests::new(1);
        let ticket = requests.admit(7, 0).unwrap();
        assert_eq!(requests.admit(7, 0), Err(Refusal::Duplicate));
        assert_eq!(requests.admit(8, 0), Err(Refusal::Overloaded));
        assert!(requests.finish(ticket));
        assert!(requests.admit(8, 0).is_ok());
    }

    #[test]
    fn the_bytes_of_waits_are_bounded_and_given_back() {
        let mut requests = Requests::new(10);
        let half = MAX_WAITING_BYTES / 2;
        let first = requests.admit(1, half).unwrap();
        requests.admit(2, half).unwrap();
        assert_eq!(requests.admit(3, 1), Err(Refusal::Overloaded));
        assert!(
            requests.admit(4, 0).is_ok(),
            "what cannot wait is not held by the bound"
        );
        assert!(requests.finish(first));
        assert!(requests.admit(3, half).is_ok());
        requests.cancel(2);
        assert!(requests.admit(5, half).is_ok());
    }
}
