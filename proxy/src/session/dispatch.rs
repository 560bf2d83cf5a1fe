//! From frames to operations: decodes what a client sent, admits its requests, and collects the
//! operations that the backend performs together.
//!
//! A cancel takes effect before the operations after it in the same frame are performed.

use std::collections::VecDeque;
use std::time::Instant;

use streamgate_backend::{Backend, Cancellation};
use streamgate_protocol::codec::{DecodeError, Encoding};
use streamgate_protocol::error::code;
use streamgate_protocol::message::{Credit, Subscription};
use streamgate_protocol::text::Text;
use streamgate_protocol::{CacheError, ClientMessage, Operation, ServerMessage, close};
use tokio_tungstenite::tungstenite::Bytes;
use tracing::Level;

use crate::metrics::OperationKind;
use crate::refusal::Refusal;
use crate::rights::DeadLetterTerms;
use crate::session::authentication::SessionAccess;
use crate::session::batch::RequestBatch;
use crate::session::handshake::{Handshake, no_hello};
use crate::session::in_flight::{AdmissionError, InFlight};
use crate::session::limits::{
    MAX_BATCH_MESSAGES, MAX_BATCH_MOVED_BYTES, MAX_DECODE_ERROR_CHARS, MAX_PERFORMING_BYTES,
    MAX_TURN, OPERATION_BYTES, OPERATION_ITEM_BYTES, READ_REPLY_BYTES, RESERVED_REPLY_BYTES,
};
use crate::session::memory::SessionMemory;
use crate::session::outgoing::Outgoing;
use crate::session::recorder::Recorder;
use crate::session::request_limits::{RequestLimits, TooSoon};
use crate::session::request_ticket::RequestTicket;
use crate::socket::CloseReason;
use crate::wait_shares::{ShareKey, UsedUpShare};

/// Messages between two looks at the clock.
const MESSAGES_PER_LOOK: usize = 16;

/// The result of dispatching frames.
pub(super) struct Dispatched<'f> {
    pub(super) operations: Vec<Operation<'f>>,
    /// The requests of these operations.
    pub(super) batch: RequestBatch,
    /// Of the operations that may wait for a group's entries, by their places.
    pub(super) cancellations: Vec<(usize, Cancellation)>,
    /// The client has said hello. It is greeted before anything after that is decoded.
    pub(super) is_greeting: bool,
    /// A subscription after the operations. It begins before anything after it is decoded.
    pub(super) subscription: Option<AdmittedSubscription<'f>>,
    /// A new token. Nothing after it is decoded before it is verified.
    pub(super) new_token: Option<Text<'f>>,
    /// Frames, or the rest of one, beyond the bounds of this turn.
    pub(super) remaining: VecDeque<Bytes>,
    /// A protocol violation. The operations before it are performed; the frames after it are
    /// dropped.
    pub(super) violation: Option<CloseReason>,
}

/// A subscription that the session has admitted and not yet begun.
pub(super) struct AdmittedSubscription<'f> {
    pub(super) ticket: RequestTicket,
    pub(super) subscription: Subscription<'f>,
    pub(super) dead_letters: DeadLetterTerms,
    pub(super) credit: Credit,
}

/// What a session dispatches with, and dispatching does not change.
pub(super) struct DispatchContext<'s> {
    pub(super) backend: &'s dyn Backend,
    pub(super) access: &'s SessionAccess<'s>,
    pub(super) recorder: &'s Recorder<'s>,
}

/// Dispatches the messages of frames, up to [`MAX_BATCH_MESSAGES`].
///
/// Hellos, cancels, grants and pings take effect here, and refused requests are answered here. The rest is
/// for the backend.
pub(super) fn dispatch<'f, 'b>(
    frames: &'f [Bytes],
    context: DispatchContext<'_>,
    limits: &mut RequestLimits<'b>,
    handshake: &mut Handshake,
    in_flight: &mut InFlight<'b>,
    memory: &mut SessionMemory,
    outgoing: &mut Outgoing,
) -> Dispatched<'f> {
    limits.begin_turn();
    let mut dispatcher = Dispatcher {
        encoding: outgoing.encoding(),
        context,
        limits,
        handshake,
        in_flight,
        memory,
        outgoing,
        now: Instant::now(),
        pong: None,
        operations: Vec::new(),
        batch: RequestBatch {
            tickets: Vec::new(),
            bytes: 0,
            moved_bytes: 0,
        },
        cancellations: Vec::new(),
        is_greeting: false,
        subscription: None,
        new_token: None,
        messages_left: MAX_BATCH_MESSAGES,
    };
    let mut remaining = VecDeque::new();
    let mut violation = None;
    for frame in frames {
        match dispatcher.frame(frame) {
            Ok([]) => {}
            Ok(rest) => remaining.push_back(frame.slice_ref(rest)),
            Err(reason) => {
                remaining.clear();
                violation = Some(reason);
                break;
            }
        }
    }
    dispatcher.send_pong();
    Dispatched {
        operations: dispatcher.operations,
        batch: dispatcher.batch,
        cancellations: dispatcher.cancellations,
        is_greeting: dispatcher.is_greeting,
        subscription: dispatcher.subscription,
        new_token: dispatcher.new_token,
        remaining,
        violation,
    }
}

struct Dispatcher<'f, 's, 'b> {
    encoding: Encoding,
    context: DispatchContext<'s>,
    limits: &'s mut RequestLimits<'b>,
    handshake: &'s mut Handshake,
    in_flight: &'s mut InFlight<'b>,
    memory: &'s mut SessionMemory,
    outgoing: &'s mut Outgoing,
    now: Instant,
    /// The last ping: one pong answers all that arrived together.
    pong: Option<u64>,
    operations: Vec<Operation<'f>>,
    batch: RequestBatch,
    cancellations: Vec<(usize, Cancellation)>,
    is_greeting: bool,
    subscription: Option<AdmittedSubscription<'f>>,
    new_token: Option<Text<'f>>,
    messages_left: usize,
}

impl<'f> Dispatcher<'f, '_, '_> {
    /// Dispatches the messages of a frame, and returns the bytes beyond the bounds of this turn.
    fn frame(&mut self, frame: &'f [u8]) -> Result<&'f [u8], CloseReason> {
        let mut messages = self.encoding.messages::<ClientMessage<'_>>(frame);
        while self.messages_left > 0
            && self.batch.bytes < MAX_PERFORMING_BYTES
            && self.batch.moved_bytes < MAX_BATCH_MOVED_BYTES
            && self.subscription.is_none()
            && !self.is_greeting
            && self.new_token.is_none()
        {
            let rest = messages.rest();
            match messages.next() {
                None => return Ok(&[]),
                Some(Ok(message)) => self.message(message, rest.len() - messages.rest().len())?,
                Some(Err(error)) => {
                    let bytes = rest.len() - messages.rest().len();
                    self.undecodable(error, bytes)?;
                }
            }
            self.messages_left -= 1;
            if self.limits.ends_turn() {
                self.messages_left = 0;
            }
            if self.messages_left.is_multiple_of(MESSAGES_PER_LOOK)
                && self.now.elapsed() >= MAX_TURN
            {
                self.messages_left = 0;
            }
        }
        Ok(messages.rest())
    }

    fn send_pong(&mut self) {
        if let Some(nonce) = self.pong.take() {
            self.outgoing.push(&ServerMessage::Pong { nonce });
        }
    }

    fn message(&mut self, message: ClientMessage<'f>, bytes: usize) -> Result<(), CloseReason> {
        if !self.handshake.is_done() && !matches!(message, ClientMessage::Hello(_)) {
            return Err(no_hello());
        }
        match message {
            ClientMessage::Hello(hello) => {
                self.handshake.hello(&hello)?;
                self.is_greeting = true;
            }
            ClientMessage::Request { id, operation } => self.request(id, operation, bytes)?,
            ClientMessage::Cancel { id } => {
                self.count(bytes);
                self.cancel(id);
            }
            ClientMessage::Ping { nonce } => {
                self.count(bytes);
                self.pong = Some(nonce);
            }
            ClientMessage::Subscribe {
                id,
                subscription,
                credit,
            } => self.subscribe(id, subscription, credit, bytes)?,
            ClientMessage::Grant { id, credit } => {
                self.count(bytes);
                self.in_flight.grant(id, credit);
            }
            // It has been heard, which is all that it is for.
            ClientMessage::Pong { .. } => self.count(bytes),
            ClientMessage::Authenticate { token } => self.new_token = Some(token),
            other => {
                let kind = format!("{other:?}");
                return self.undecodable(DecodeError::UnknownKind(kind), bytes);
            }
        }
        Ok(())
    }

    fn subscribe(
        &mut self,
        id: u64,
        mut subscription: Subscription<'f>,
        credit: Credit,
        bytes: usize,
    ) -> Result<(), CloseReason> {
        let kind = OperationKind::of_subscription(&subscription);
        // The session keeps its bytes as it keeps those of a waiting request.
        if let Some(mut ticket) = self.admit(id, bytes, true, kind)? {
            let valid = self.context.access.validate(|| subscription.validate());
            let permitted = self.context.access.permit_subscription(&mut subscription);
            let dead_letters = match permitted.and_then(|it| valid.map(|()| it)) {
                Ok((needs, dead_letters)) => {
                    self.in_flight.set_needs(ticket, needs);
                    dead_letters
                }
                Err(error) => {
                    self.refuse(ticket, &error);
                    return Ok(());
                }
            };
            ticket.is_delivery = matches!(subscription, Subscription::Consume { .. });
            self.subscription = Some(AdmittedSubscription {
                ticket,
                subscription,
                dead_letters,
                credit,
            });
        }
        Ok(())
    }

    fn request(
        &mut self,
        id: u64,
        mut operation: Operation<'f>,
        bytes: usize,
    ) -> Result<(), CloseReason> {
        let may_wait = operation.block_ms().is_some();
        let kind = OperationKind::of(&operation);
        if let Some(mut ticket) = self.admit(id, bytes, may_wait, kind)? {
            let valid = self.context.access.validate(|| operation.validate());
            let permitted = self.context.access.permit(&mut operation);
            match permitted.and_then(|needs| valid.map(|()| needs)) {
                Ok(needs) => self.in_flight.set_needs(ticket, needs),
                Err(error) => {
                    self.refuse(ticket, &error);
                    return Ok(());
                }
            }
            // Only what is permitted begins a window.
            if let Err(too_soon) = self.limits.take_window(&operation) {
                self.refuse_for_now(ticket, &too_soon);
                return Ok(());
            }
            let beside = OPERATION_BYTES + items(&operation) * OPERATION_ITEM_BYTES;
            let reply = if operation.is_read() {
                RESERVED_REPLY_BYTES
            } else {
                0
            };
            // The backend encodes it once more.
            ticket.reserved = 2 * bytes + beside + reply;
            if !self.memory.reserve_request(ticket.reserved) {
                self.refuse(ticket, &out_of_memory());
                return Ok(());
            }
            ticket.is_delivery = matches!(
                operation,
                Operation::ReadGroup { .. }
                    | Operation::ReadPending { .. }
                    | Operation::Claim { .. }
            );
            if may_wait && ticket.is_delivery {
                let cancellation = self.in_flight.cancellation(ticket);
                self.cancellations
                    .push((self.operations.len(), cancellation));
            }
            let item_bytes = items(&operation) * OPERATION_ITEM_BYTES;
            ticket.bytes = bytes + item_bytes + expected_reply_bytes(&operation);
            self.batch.bytes += ticket.bytes;
            let reply_bytes = match operation.is_read() {
                true => self.context.backend.expected_reply_bytes(&operation),
                false => 0,
            };
            ticket.moved_bytes = bytes.saturating_add(reply_bytes);
            self.batch.moved_bytes = self.batch.moved_bytes.saturating_add(ticket.moved_bytes);
            self.batch.tickets.push(ticket);
            self.operations.push(operation);
        }
        Ok(())
    }

    /// Cancels a request, begun or not.
    ///
    /// A read that has not begun must not begin: the backend would hand it an entry that is added
    /// after it, and the client has gone. An operation that changes something is still performed.
    fn cancel(&mut self, id: u64) {
        self.in_flight.cancel_id(id);
        let last = self.batch.tickets.iter().rposition(|t| t.id == id);
        if let Some(index) = last
            && self.operations.get(index).is_some_and(Operation::is_read)
        {
            let ticket = self.batch.tickets.remove(index);
            self.batch.bytes -= ticket.bytes;
            self.batch.moved_bytes = self.batch.moved_bytes.saturating_sub(ticket.moved_bytes);
            self.memory.request_performed(ticket.reserved);
            self.operations.remove(index);
            self.cancellations.retain(|(place, _)| *place != index);
            for (place, _) in &mut self.cancellations {
                *place -= usize::from(*place > index);
            }
        }
    }

    /// Answers a request that was admitted with an error: it does not begin.
    fn refuse(&mut self, ticket: RequestTicket, error: &CacheError) {
        self.in_flight.complete(ticket);
        self.context
            .recorder
            .refused(ticket.operation, error.kind());
        self.outgoing.error(ticket.id, error);
    }

    /// Does the same with one that comes too soon.
    fn refuse_for_now(&mut self, ticket: RequestTicket, too_soon: &TooSoon) {
        let TooSoon { refusal, wait } = too_soon;
        let error =
            CacheError::backend(code::OVERLOADED, refusal.sentence()).with_retry_after(*wait);
        self.in_flight.complete(ticket);
        self.context.recorder.record_refusal(*refusal);
        self.context
            .recorder
            .refused(ticket.operation, error.kind());
        self.outgoing.error(ticket.id, &error);
    }

    /// Counts a message that no rate refuses: too many slow their client down.
    fn count(&mut self, bytes: usize) {
        let _ = self.limits.take(bytes);
    }

    /// Admits a request of this size, and takes it from the rates; returns `None` if it was refused,
    /// and so is answered.
    fn admit(
        &mut self,
        id: u64,
        bytes: usize,
        may_wait: bool,
        operation: OperationKind,
    ) -> Result<Option<RequestTicket>, CloseReason> {
        let waiting_bytes = if may_wait { bytes } else { 0 };
        match self.in_flight.admit(id, waiting_bytes) {
            Ok(mut ticket) => {
                (ticket.operation, ticket.started) = (operation, Some(self.now));
                if tracing::enabled!(Level::DEBUG) {
                    self.in_flight.open_span(ticket);
                }
                if let Err(too_soon) = self.limits.take(bytes) {
                    self.refuse_for_now(ticket, &too_soon);
                    return Ok(None);
                }
                Ok(Some(ticket))
            }
            Err(AdmissionError::Duplicate) => Err(duplicate_id()),
            Err(refused) => {
                self.count(bytes);
                let why = match refused {
                    AdmissionError::TooManyWaits(UsedUpShare::Socket) => {
                        let refusal = Refusal::TooManyWaitsOfSocket;
                        self.context.recorder.record_refusal(refusal);
                        refusal.sentence()
                    }
                    AdmissionError::TooManyWaits(UsedUpShare::Of(ShareKey::Address(_))) => {
                        self.context.recorder.address_has_its_waits();
                        "the connections of this address have their share of the waits and \
                         subscriptions that the server takes; end some"
                    }
                    AdmissionError::TooManyWaits(UsedUpShare::Of(ShareKey::Subject(_))) => {
                        let refusal = Refusal::TooManyWaitsOfSubject;
                        self.context.recorder.record_refusal(refusal);
                        refusal.sentence()
                    }
                    _ => "too many requests are in flight on this connection; await some replies",
                };
                let error = CacheError::backend(code::OVERLOADED, why);
                self.context.recorder.refused(operation, error.kind());
                self.outgoing.error(id, &error);
                Ok(None)
            }
        }
    }

    /// Answers a request of which only the id was readable. Anything else is a violation.
    fn undecodable(&mut self, error: DecodeError, bytes: usize) -> Result<(), CloseReason> {
        if !self.handshake.is_done() {
            return Err(no_hello());
        }
        let (id, code, reason) = match error {
            DecodeError::Content { id, reason } => (id, code::ERR, reason),
            DecodeError::Limit { id, reason } => (id, code::LIMIT, reason),
            _ => {
                return Err(CloseReason::by_server(
                    close::MALFORMED,
                    "a frame that cannot be decoded",
                ));
            }
        };
        if self.in_flight.contains_id(id) {
            return Err(duplicate_id());
        }
        self.count(bytes);
        let reason: String = reason.chars().take(MAX_DECODE_ERROR_CHARS).collect();
        let error = CacheError::backend(code, reason);
        self.context
            .recorder
            .refused(OperationKind::Unknown, error.kind());
        self.outgoing.error(id, &error);
        Ok(())
    }
}

fn expected_reply_bytes(operation: &Operation<'_>) -> usize {
    if operation.is_read() {
        READ_REPLY_BYTES
    } else {
        0
    }
}

/// Returns how many fields or ids an operation has.
fn items(operation: &Operation<'_>) -> usize {
    match operation {
        Operation::Add { fields, .. } | Operation::IdempotentAdd { fields, .. } => fields.len(),
        Operation::Ack { ids, .. } => ids.len(),
        Operation::ReadPending { except, .. } => except.len(),
        _ => 0,
    }
}

fn out_of_memory() -> CacheError {
    let why = "the server has no memory left for this request; nothing was done; try again later";
    CacheError::backend(code::OVERLOADED, why)
}

fn duplicate_id() -> CloseReason {
    CloseReason::by_server(
        close::DUPLICATE_ID,
        "a request with the id of one still in flight",
    )
}
