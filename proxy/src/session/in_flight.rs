//! The requests in flight on one socket: their ids, their budget, and how to cancel them.
//!
//! A request is in flight until it is answered or cancelled. A wait or a subscription keeps its
//! request in flight.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Instant;

use foldhash::fast::RandomState;
use streamgate_backend::{CancelOnDrop, Cancellation, turn};
use streamgate_protocol::CacheError;
use streamgate_protocol::message::Credit;
use tracing::Span;

use crate::metrics::OperationKind;
use crate::rights::{OngoingNeeds, Rights};
use crate::session::limits::{MAX_WAITING_BYTES, WAIT_BYTES};
use crate::session::request_ticket::RequestTicket;
use crate::session::subscriptions::SubscriptionHandle;
use crate::session::waiting::WaitHandle;
use crate::wait_shares::{ShareKey, UsedUpShare, WaitShare};

/// Requests that are cancelled between two looks at the clock.
const CANCELLED_AT_ONCE: usize = 64;

/// Why the session does not admit a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AdmissionError {
    /// A request with the same id is in flight.
    Duplicate,
    /// Too many requests, or too many bytes of waits, are in flight.
    Overloaded,
    /// A share of the waits and subscriptions of all sockets is used up.
    TooManyWaits(UsedUpShare),
}

/// The requests in flight.
pub(super) struct InFlight<'b> {
    /// The hash takes a fraction of the time of the default one. It is seeded: a client that chose
    /// colliding ids would slow itself down only.
    requests: HashMap<u64, InFlightRequest<'b>, RandomState>,
    max_requests: usize,
    next_serial: u64,
    waiting_bytes: usize,
    /// Requests that may wait, and subscriptions.
    waits: WaitShare,
    /// Requests that receive a group's entries: waiting reads and consumers.
    receivers: usize,
}

struct InFlightRequest<'b> {
    serial: u64,
    /// Bytes of the request if it may wait, else 0.
    waiting_bytes: usize,
    /// Whether it receives a group's entries whenever there are new ones.
    is_receiver: bool,
    /// Set once the request waits or is a subscription.
    ongoing: Option<OngoingHandle<'b>>,
    /// Of a read that may wait for a group's entries: its end tells the backend that nobody waits.
    still_wanted: Option<CancelOnDrop>,
    /// What its subject needs rights for, if it may last; absent if everything is permitted.
    needs: Option<Box<OngoingNeeds>>,
    /// Ends with the request; absent unless somebody listens to spans.
    span: Option<Box<Span>>,
}

/// The way to what a request has become.
pub(super) enum OngoingHandle<'b> {
    Wait(WaitHandle<'b>),
    /// It takes further round trips, and is still being performed.
    Continuing(WaitHandle<'b>),
    Subscription(SubscriptionHandle<'b>),
}

impl<'b> InFlight<'b> {
    pub(super) fn new(max_requests: u32, waits: WaitShare) -> Self {
        Self {
            requests: HashMap::default(),
            max_requests: max_requests as usize,
            next_serial: 0,
            waiting_bytes: 0,
            waits,
            receivers: 0,
        }
    }

    /// Lets the waits count for a key too.
    pub(super) fn join(&mut self, key: ShareKey) {
        self.waits.join(key);
    }

    /// Admits a request, with its `waiting_bytes` if it may wait.
    pub(super) fn admit(
        &mut self,
        id: u64,
        waiting_bytes: usize,
    ) -> Result<RequestTicket, AdmissionError> {
        let is_full = self.requests.len() >= self.max_requests
            || (waiting_bytes > 0 && self.waiting_bytes + waiting_bytes > MAX_WAITING_BYTES);
        match self.requests.entry(id) {
            Entry::Occupied(_) => Err(AdmissionError::Duplicate),
            Entry::Vacant(_) if is_full => Err(AdmissionError::Overloaded),
            Entry::Vacant(vacant) => {
                if waiting_bytes > 0 {
                    self.waits.try_add().map_err(AdmissionError::TooManyWaits)?;
                }
                let serial = self.next_serial;
                self.next_serial += 1;
                self.waiting_bytes += waiting_bytes;
                vacant.insert(InFlightRequest {
                    serial,
                    waiting_bytes,
                    is_receiver: false,
                    ongoing: None,
                    still_wanted: None,
                    needs: None,
                    span: None,
                });
                Ok(RequestTicket {
                    id,
                    serial,
                    is_delivery: false,
                    bytes: 0,
                    moved_bytes: 0,
                    operation: OperationKind::Unknown,
                    started: None,
                    reserved: 0,
                })
            }
        }
    }

    /// Returns what tells the backend that a request was cancelled, also while it is performed: the
    /// wait that it may become must not take an entry then.
    pub(super) fn cancellation(&mut self, ticket: RequestTicket) -> Cancellation {
        let (still_wanted, cancellation) = Cancellation::new();
        if let Some(request) = self.requests.get_mut(&ticket.id) {
            request.still_wanted = Some(still_wanted);
        }
        cancellation
    }

    /// Keeps what is checked again if the rights change.
    pub(super) fn set_needs(&mut self, ticket: RequestTicket, needs: Option<Box<OngoingNeeds>>) {
        if needs.is_some()
            && let Some(request) = self.requests.get_mut(&ticket.id)
        {
            request.needs = needs;
        }
    }

    /// Puts subscriptions under the terms of these rights. Returns the ids of waits and subscriptions
    /// that they do not permit, each with why.
    pub(super) fn apply_rights(&self, rights: &Rights) -> Vec<(u64, CacheError)> {
        let refused = |(id, request): (&u64, &InFlightRequest<'_>)| {
            let needs = request.needs.as_ref()?;
            match rights.still_permit(needs) {
                Ok(terms) => {
                    if let Some(OngoingHandle::Subscription(subscription)) = &request.ongoing {
                        subscription.set_terms(&terms);
                    }
                    None
                }
                Err(error) => Some((*id, error)),
            }
        };
        self.requests.iter().filter_map(refused).collect()
    }

    /// Returns the bytes of memory that waits and subscriptions take.
    pub(super) fn bytes_of_waits(&self) -> usize {
        self.waiting_bytes + self.waits.len() * WAIT_BYTES
    }

    /// Returns whether requests receive a group's entries whenever there are new ones.
    pub(super) fn has_receivers(&self) -> bool {
        self.receivers > 0
    }

    /// Opens a span for a request. Call it only if somebody listens: it allocates.
    pub(super) fn open_span(&mut self, ticket: RequestTicket) {
        let (id, operation) = (ticket.id, ticket.operation.name());
        let span = tracing::debug_span!("request", id, operation);
        if let Some(request) = self.requests.get_mut(&id) {
            request.span = Some(Box::new(span));
        }
    }

    /// Notes in the span of a request how it is answered.
    pub(super) fn trace_reply(&self, ticket: RequestTicket, code: &str) {
        let request = self.requests.get(&ticket.id);
        let request = request.filter(|request| request.serial == ticket.serial);
        if let Some(span) = request.and_then(|request| request.span.as_deref()) {
            tracing::debug!(parent: span, code, "request answered");
        }
    }

    /// Returns how many requests are in flight.
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    /// Returns whether a request with this id is in flight.
    pub(super) fn contains_id(&self, id: u64) -> bool {
        self.requests.contains_key(&id)
    }

    /// Records what a request has become; returns `false` if it was cancelled.
    pub(super) fn set_ongoing(
        &mut self,
        ticket: RequestTicket,
        ongoing: OngoingHandle<'b>,
    ) -> bool {
        match self.requests.get_mut(&ticket.id) {
            Some(request) if request.serial == ticket.serial => {
                let continues = matches!(ongoing, OngoingHandle::Continuing(_));
                request.is_receiver = ticket.is_delivery && !continues;
                self.receivers += usize::from(request.is_receiver);
                request.ongoing = Some(ongoing);
                true
            }
            _ => false,
        }
    }

    /// Adds to a subscription's credit; does nothing if the id is not that of a subscription.
    pub(super) fn grant(&self, id: u64, more: Credit) {
        if let Some(OngoingHandle::Subscription(subscription)) = self
            .requests
            .get(&id)
            .and_then(|request| request.ongoing.as_ref())
        {
            subscription.grant(more);
        }
    }

    /// Removes a request that is done; returns `false` if it was cancelled: then nobody answers it.
    pub(super) fn complete(&mut self, ticket: RequestTicket) -> bool {
        match self.requests.entry(ticket.id) {
            Entry::Occupied(request) if request.get().serial == ticket.serial => {
                let request = request.remove();
                self.give_back(&request);
                true
            }
            _ => false,
        }
    }

    /// Cancels the request with this id, if it is in flight. The id is free at once.
    pub(super) fn cancel_id(&mut self, id: u64) {
        if let Some(request) = self.requests.remove(&id) {
            self.give_back(&request);
            match request.ongoing {
                Some(OngoingHandle::Wait(wait) | OngoingHandle::Continuing(wait)) => wait.cancel(),
                Some(OngoingHandle::Subscription(subscription)) => subscription.end(),
                None => {}
            }
        }
    }

    /// Cancels a request, unless another one has its id by now.
    pub(super) fn cancel(&mut self, ticket: RequestTicket) {
        if self.is_in_flight(ticket) {
            self.cancel_id(ticket.id);
        }
    }

    /// Cancels all waits and subscriptions. Requests being performed stay in flight, and none of them
    /// begins to wait.
    ///
    /// Those that receive a group's entries are cancelled at once: an entry must not go from one of
    /// them to the next. Others have their turns meanwhile, as there may be many thousands.
    pub(super) async fn cancel_ongoing(&mut self) {
        for request in self.requests.values_mut() {
            request.still_wanted = None;
        }
        let ongoing = self.requests.iter().filter(|(_, request)| {
            !matches!(request.ongoing, None | Some(OngoingHandle::Continuing(_)))
        });
        let (receivers, others): (Vec<_>, Vec<_>) = ongoing
            .map(|(id, request)| (*id, request.is_receiver))
            .partition(|(_, is_receiver)| *is_receiver);
        for (id, _) in receivers {
            self.cancel_id(id);
        }
        for ids in others.chunks(CANCELLED_AT_ONCE) {
            let began = Instant::now();
            for (id, _) in ids {
                self.cancel_id(*id);
            }
            turn::pass_time(began.elapsed()).await;
        }
    }

    fn give_back(&mut self, request: &InFlightRequest<'b>) {
        if request.waiting_bytes > 0 {
            self.waits.remove();
        }
        self.waiting_bytes -= request.waiting_bytes;
        self.receivers -= usize::from(request.is_receiver);
    }

    fn is_in_flight(&self, ticket: RequestTicket) -> bool {
        self.requests
            .get(&ticket.id)
            .is_some_and(|request| request.serial == ticket.serial)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Arc;

    use futures_util::FutureExt;

    use super::*;
    use crate::session::waiting::WaitingRequest;
    use crate::wait_shares::WaitShares;

    fn in_flight<'b>(max_requests: u32) -> InFlight<'b> {
        InFlight::new(max_requests, WaitShares::default().share())
    }

    #[test]
    fn a_cancelled_request_is_not_answered_even_if_its_id_is_in_use_again() {
        let mut in_flight = in_flight(4);
        let first = in_flight.admit(7, 0).unwrap();
        in_flight.cancel_id(7);
        let second = in_flight.admit(7, 0).unwrap();
        assert!(!in_flight.complete(first));
        let (handle, _) = WaitingRequest::new(first, pending().boxed());
        assert!(!in_flight.set_ongoing(first, OngoingHandle::Wait(handle)));
        assert!(in_flight.complete(second));
        assert!(!in_flight.contains_id(7));
    }

    #[test]
    fn a_cancel_drops_the_wait_at_once() {
        let mut in_flight = in_flight(4);
        let ticket = in_flight.admit(7, 10).unwrap();
        let owner = Arc::new(());
        let held = Arc::clone(&owner);
        let future = async move {
            let _held = held;
            pending().await
        };
        let (handle, _wait) = WaitingRequest::new(ticket, future.boxed());
        assert!(in_flight.set_ongoing(ticket, OngoingHandle::Wait(handle)));
        assert_eq!(Arc::strong_count(&owner), 2);
        in_flight.cancel_id(7);
        // Although nobody has polled the wait since.
        assert_eq!(Arc::strong_count(&owner), 1);
        assert_eq!(in_flight.waiting_bytes, 0);
        in_flight.cancel_id(7);
    }

    #[tokio::test]
    async fn cancelling_all_waits_leaves_the_requests_being_performed() {
        let mut in_flight = in_flight(4);
        let waiting = in_flight.admit(7, 10).unwrap();
        let performing = in_flight.admit(8, 0).unwrap();
        let continuing = in_flight.admit(9, 0).unwrap();
        let (handle, _continuation) = WaitingRequest::new(continuing, pending().boxed());
        assert!(in_flight.set_ongoing(continuing, OngoingHandle::Continuing(handle)));
        let (handle, _wait) = WaitingRequest::new(waiting, pending().boxed());
        assert!(in_flight.set_ongoing(waiting, OngoingHandle::Wait(handle)));
        in_flight.cancel_ongoing().await;
        assert!(!in_flight.is_in_flight(waiting));
        assert!(in_flight.complete(performing));
        assert!(in_flight.complete(continuing));
        assert_eq!(in_flight.waiting_bytes, 0);
    }

    #[test]
    fn a_duplicate_id_is_not_mistaken_for_overload() {
        let mut in_flight = in_flight(1);
        let ticket = in_flight.admit(7, 0).unwrap();
        assert_eq!(in_flight.admit(7, 0), Err(AdmissionError::Duplicate));
        assert_eq!(in_flight.admit(8, 0), Err(AdmissionError::Overloaded));
        assert!(in_flight.complete(ticket));
        assert!(in_flight.admit(8, 0).is_ok());
    }

    #[test]
    fn the_bytes_of_waits_are_bounded_and_freed() {
        let mut in_flight = in_flight(10);
        let half = MAX_WAITING_BYTES / 2;
        let first = in_flight.admit(1, half).unwrap();
        in_flight.admit(2, half).unwrap();
        assert_eq!(in_flight.admit(3, 1), Err(AdmissionError::Overloaded));
        assert!(in_flight.admit(4, 0).is_ok(), "it cannot wait");
        assert!(in_flight.complete(first));
        assert!(in_flight.admit(3, half).is_ok());
        in_flight.cancel_id(2);
        assert!(in_flight.admit(5, half).is_ok());
    }

    #[test]
    fn a_socket_has_a_share_of_all_waits_and_gives_it_back() {
        let all = WaitShares::default();
        let mut first = InFlight::new(u32::MAX, all.share());
        let waits = (0..).take_while(|id| first.admit(*id, 1).is_ok()).count() as u64;
        let refused = first.admit(waits, 1);
        let expected = AdmissionError::TooManyWaits(UsedUpShare::Socket);
        assert_eq!(refused, Err(expected));
        assert!(first.admit(waits, 0).is_ok(), "it cannot wait");
        first.cancel_id(0);
        assert!(first.admit(0, 1).is_ok());
        let mut second = InFlight::new(u32::MAX, all.share());
        assert!(second.admit(1, 1).is_ok(), "some are left");
        drop(first);
        let all = (2..).take_while(|id| second.admit(*id, 1).is_ok()).count() as u64;
        assert_eq!(all + 1, waits);
    }
}
