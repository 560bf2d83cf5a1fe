//! From frames to operations.

use std::collections::VecDeque;

use streamgate_protocol::codec::{DecodeError, Encoding};
use streamgate_protocol::error::code;
use streamgate_protocol::message::{Credit, Subscription};
use streamgate_protocol::{CacheError, ClientMessage, Operation, ServerMessage, close};
use tokio_tungstenite::tungstenite::Bytes;

use crate::session::MAX_PERFORMING_BYTES;
use crate::session::in_flight::{Refusal, Requests, Ticket};
use crate::session::outgoing::Outgoing;
use crate::session::waiting::Batch;
use crate::socket::Ending;

/// Frames that are decoded and performed together, at most: enough to give a busy client the
/// price of one round trip for all of them.
pub(super) const MAX_DRAIN_FRAMES: usize = 64;

/// Bytes of frames after which no further one is added to those decoded together.
pub(super) const MAX_DRAIN_BYTES: usize = 1024 * 1024;

/// Messages that are decoded and performed together, at most: what is left of a frame waits for
/// the next turn, so that no socket holds up the others or fills memory with refusals.
pub(super) const MAX_DRAIN_MESSAGES: usize = 1024;

/// What the answer of a read is reckoned with while it is performed, in bytes: how long it is
/// nobody knows before. With the bound on bytes being performed it says how many reads of one
/// socket are at the backend together.
pub(super) const READ_ANSWER_BYTES: usize = 1024 * 1024;

/// Longest text of a decoder's complaint that is given back, in characters: it quotes what it was
/// given, which may be as long as a frame.
const MAX_COMPLAINT_CHARS: usize = 200;

/// What came of decoding.
pub(super) struct Drained<'f> {
    pub(super) operations: Vec<Operation<'f>>,
    pub(super) batch: Batch,
    /// A subscription behind the operations. Nothing is decoded behind it before it has begun.
    pub(super) subscribe: Option<Subscribe<'f>>,
    /// What there was no turn for.
    pub(super) left: VecDeque<Bytes>,
    /// A violation; what came before it is among the operations, what came after it is dropped.
    pub(super) violation: Option<Ending>,
}

/// A subscription that was taken.
pub(super) struct Subscribe<'f> {
    pub(super) ticket: Ticket,
    pub(super) subscription: Subscription<'f>,
    pub(super) credit: Credit,
}

/// Decodes frames up to [`MAX_DRAIN_MESSAGES`]. Cancels, grants and pings are done, refusals are
/// answered; the rest is for the backend.
pub(super) fn decode<'f>(
    frames: &'f [Bytes],
    encoding: Encoding,
    requests: &mut Requests<'_>,
    outgoing: &mut Outgoing,
) -> Drained<'f> {
    let mut drain = Drain {
        encoding,
        requests,
        outgoing,
        operations: Vec::new(),
        batch: Batch {
            tickets: Vec::new(),
            bytes: 0,
        },
        subscribe: None,
        turns: MAX_DRAIN_MESSAGES,
    };
    let mut left = VecDeque::new();
    let mut violation = None;
    for frame in frames {
        match drain.frame(frame) {
            Ok([]) => {}
            Ok(rest) => left.push_back(frame.slice_ref(rest)),
            Err(ending) => {
                left.clear();
                violation = Some(ending);
                break;
            }
        }
    }
    Drained {
        operations: drain.operations,
        batch: drain.batch,
        subscribe: drain.subscribe,
        left,
        violation,
    }
}

struct Drain<'f, 's, 'b> {
    encoding: Encoding,
    requests: &'s mut Requests<'b>,
    outgoing: &'s mut Outgoing,
    operations: Vec<Operation<'f>>,
    batch: Batch,
    subscribe: Option<Subscribe<'f>>,
    turns: usize,
}

impl<'f> Drain<'f, '_, '_> {
    /// Decodes a frame and returns what there was no turn for.
    fn frame(&mut self, frame: &'f [u8]) -> Result<&'f [u8], Ending> {
        let mut messages = self.encoding.messages::<ClientMessage<'_>>(frame);
        while self.turns > 0 && self.batch.bytes < MAX_PERFORMING_BYTES && self.subscribe.is_none()
        {
            let rest = messages.rest();
            match messages.next() {
                None => return Ok(&[]),
                Some(Ok(message)) => self.message(message, rest.len() - messages.rest().len())?,
                Some(Err(error)) => self.undecodable(error)?,
            }
            self.turns -= 1;
        }
        Ok(messages.rest())
    }

    fn message(&mut self, message: ClientMessage<'f>, bytes: usize) -> Result<(), Ending> {
        match message {
            ClientMessage::Request { id, operation } => self.request(id, operation, bytes)?,
            ClientMessage::Cancel { id } => self.cancel(id),
            ClientMessage::Ping { nonce } => self.outgoing.push(&ServerMessage::Pong { nonce }),
            ClientMessage::Subscribe {
                id,
                subscription,
                credit,
            } => {
                // It is held for as long as it lasts, as a request that waits is.
                if let Some(ticket) = self.admit(id, bytes)? {
                    self.subscribe = Some(Subscribe {
                        ticket,
                        subscription,
                        credit,
                    });
                }
            }
            ClientMessage::Grant { id, credit } => self.requests.grant(id, credit),
        }
        Ok(())
    }

    fn request(&mut self, id: u64, operation: Operation<'f>, bytes: usize) -> Result<(), Ending> {
        // A removal of a consumer that holds much goes on for a while.
        let may_last = matches!(operation, Operation::RemoveConsumer { .. });
        let waiting_bytes = if may_last || operation.block_ms().is_some() {
            bytes
        } else {
            0
        };
        if let Some(ticket) = self.admit(id, waiting_bytes)? {
            self.batch.tickets.push(ticket);
            self.batch.bytes += bytes + answer_bytes(&operation);
            self.operations.push(operation);
        }
        Ok(())
    }

    /// Ends what a request asked for, begun or not. A read that was not begun must not be: what is
    /// added behind it would be handed to somebody who has gone. What changes something stands.
    fn cancel(&mut self, id: u64) {
        self.requests.cancel(id);
        let last = self.batch.tickets.iter().rposition(|t| t.id == id);
        if let Some(place) = last
            && self.operations.get(place).is_some_and(is_read)
        {
            self.batch.tickets.remove(place);
            self.operations.remove(place);
        }
    }

    /// A ticket for a request, or none if it is answered already.
    fn admit(&mut self, id: u64, waiting_bytes: usize) -> Result<Option<Ticket>, Ending> {
        match self.requests.admit(id, waiting_bytes) {
            Ok(ticket) => Ok(Some(ticket)),
            Err(Refusal::Duplicate) => Err(duplicate()),
            Err(Refusal::Overloaded) => {
                let why = "as many requests as were granted are in flight";
                self.outgoing
                    .answer(id, Err(CacheError::backend(code::OVERLOADED, why)));
                Ok(None)
            }
        }
    }

    /// A request of which only the id can be read is answered; the rest is a violation.
    fn undecodable(&mut self, error: DecodeError) -> Result<(), Ending> {
        let DecodeError::Request { id, reason } = error else {
            return Err(Ending::close(
                close::MALFORMED,
                "a frame that cannot be decoded",
            ));
        };
        if self.requests.contains(id) {
            return Err(duplicate());
        }
        let reason: String = reason.chars().take(MAX_COMPLAINT_CHARS).collect();
        let error = CacheError::backend(code::ERR, reason);
        self.outgoing.answer(id, Err(error));
        Ok(())
    }
}

fn answer_bytes(operation: &Operation<'_>) -> usize {
    if is_read(operation) {
        READ_ANSWER_BYTES
    } else {
        0
    }
}

fn is_read(operation: &Operation<'_>) -> bool {
    match operation {
        Operation::ReadLatest { .. }
        | Operation::Read { .. }
        | Operation::ReadGroup { .. }
        | Operation::ReadPending { .. }
        | Operation::PendingSummary { .. }
        | Operation::Pending { .. }
        | Operation::Claim { .. } => true,
        Operation::Add { .. }
        | Operation::AddOnce { .. }
        | Operation::CreateGroup { .. }
        | Operation::Ack { .. }
        | Operation::RemoveConsumer { .. } => false,
    }
}

fn duplicate() -> Ending {
    Ending::close(
        close::DUPLICATE_ID,
        "a request with the id of one still in flight",
    )
}
