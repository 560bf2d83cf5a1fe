//! Every decision of a client, as a state machine without I/O and without a clock.
//!
//! Commands, socket events and the time go in; frames, results and the next deadline come out. So
//! reconnecting, limits and heartbeats are tested in virtual time. Two drivers share the engine: a
//! future with channels for Rust handles, and JavaScript, which holds its promises by id. There are
//! four kinds of methods:
//!
//! - commands of the owner: [`request`](Engine::request), [`subscribe`](Engine::subscribe),
//!   [`consumed`](Engine::consumed), [`cancel`](Engine::cancel), [`close`](Engine::close),
//!   [`network_changed`](Engine::network_changed);
//! - events: [`handle_opened`](Engine::handle_opened), [`handle_frame`](Engine::handle_frame),
//!   [`handle_closed`](Engine::handle_closed), [`postpone_connect`](Engine::postpone_connect),
//!   [`handle_token`](Engine::handle_token), [`handle_timeout`](Engine::handle_timeout);
//! - results: [`poll_action`](Engine::poll_action), [`poll_transmit`](Engine::poll_transmit),
//!   [`poll_event`](Engine::poll_event), each polled until it returns `None`;
//! - [`next_deadline`](Engine::next_deadline): when to call `handle_timeout`.
//!
//! After any method of the first two kinds, poll all of the third. Times are in milliseconds on one
//! clock that never goes back.

mod authentication;
mod availability;
mod client_fault;
mod client_id;
mod config;
mod connection;
mod connection_phase;
mod connection_state;
mod delivery_log;
mod dispatch;
mod encoded_request;
mod event;
mod heartbeat;
mod idempotent_producers;
mod jitter;
mod new_request;
mod pending_request;
mod reconnect_backoff;
mod recovery;
mod replies;
mod request_end;
mod request_queue;
mod retry_backoff;
mod retry_policy;
mod subscription_window;
mod subscriptions;
mod time;
mod tokens;
mod transmit;

use std::collections::VecDeque;

use streamgate_protocol::codec::Encoding;
use streamgate_protocol::limits;

use availability::Availability;
pub use client_id::ClientId;
pub use config::ClientConfig;
use connection_phase::ConnectionPhase;
pub use connection_state::ConnectionState;
use delivery_log::DeliveryLog;
pub use event::{EngineEvent, SocketAction};
use heartbeat::Heartbeat;
use idempotent_producers::IdempotentProducers;
use jitter::Jitter;
pub use new_request::NewRequest;
use pending_request::PendingRequest;
use reconnect_backoff::ReconnectBackoff;
use recovery::LateRecovery;
use request_queue::{RequestQueue, earlier};
pub use time::Millis;
use tokens::Tokens;
pub use tokens::{TokenError, TokenSource};

/// The state machine of one client.
#[derive(Debug)]
pub struct Engine {
    config: ClientConfig,
    phase: ConnectionPhase,
    /// Whether any server has sent its welcome.
    was_ever_open: bool,
    queue: RequestQueue,
    delivery_log: DeliveryLog,
    late_recovery: LateRecovery,
    /// How many background recoveries there were.
    background_recoveries: u64,
    producers: IdempotentProducers,
    /// Requests to cancel at the server.
    cancels: Vec<u64>,
    /// Subscriptions that are due a grant; each once.
    grants: Vec<u64>,
    heartbeat: Heartbeat,
    backoff: ReconnectBackoff,
    jitter: Jitter,
    max_frame_bytes: usize,
    /// Whether this connection's server was sent the hello.
    said_hello: bool,
    /// Whether this connection's server has sent its welcome.
    is_welcomed: bool,
    /// The nonce of a ping to answer.
    pong: Option<u64>,
    availability: Availability,
    tokens: Tokens,
    /// Why the client closes: the code and the reason that its owner sees, if they are not those of
    /// the server's close.
    stopped_with: Option<(u16, String)>,
    /// The owner closes the client, at the latest then.
    close_at: Option<Millis>,
    /// Before then, the server wants no further connection.
    connect_not_before: Millis,
    actions: VecDeque<SocketAction>,
    events: VecDeque<EngineEvent>,
}

impl Engine {
    /// Returns a new engine, which asks for a connection at once.
    pub fn new(client_id: &ClientId, mut config: ClientConfig, now: Millis) -> Self {
        let tokens = Tokens::new(std::mem::take(&mut config.token_source));
        let mut engine = Self {
            phase: ConnectionPhase::Closed,
            was_ever_open: false,
            queue: RequestQueue::new(config.queue_timeout_ms),
            delivery_log: DeliveryLog::default(),
            late_recovery: LateRecovery::default(),
            background_recoveries: 0,
            producers: IdempotentProducers::new(client_id.text()),
            cancels: Vec::new(),
            grants: Vec::new(),
            heartbeat: Heartbeat::new(now),
            backoff: ReconnectBackoff::new(&config),
            jitter: Jitter::new(client_id.seed()),
            max_frame_bytes: limits::MIN_FRAME_BYTES as usize,
            said_hello: false,
            is_welcomed: false,
            pong: None,
            availability: Availability::default(),
            tokens,
            stopped_with: None,
            close_at: None,
            connect_not_before: 0,
            actions: VecDeque::new(),
            events: VecDeque::new(),
            config,
        };
        engine.set_state(ConnectionState::Connecting);
        engine.connect(now);
        engine
    }

    /// Returns the encoding to offer as the subprotocol.
    pub fn encoding(&self) -> Encoding {
        self.config.encoding
    }

    /// Whether the engine has stopped for good: it returns no further events.
    pub fn is_closed(&self) -> bool {
        self.phase == ConnectionPhase::Closed
    }

    /// Whether it is closed, or its socket is.
    fn is_ending(&self) -> bool {
        matches!(
            self.phase,
            ConnectionPhase::Closing { .. } | ConnectionPhase::Closed
        )
    }

    /// Whether another request would be accepted rather than refused with `OVERLOADED`.
    pub fn has_room(&self) -> bool {
        self.queue.has_room()
    }

    /// Starts a request, which ends with exactly one [`EngineEvent::Finished`] unless it is
    /// cancelled. The owner, or the server, validates it.
    ///
    /// `request` is an [`Operation`](streamgate_protocol::Operation), or a [`NewRequest`] made of
    /// one. `id` must be new: greater than those of most earlier requests, equal to none in flight.
    pub fn request(&mut self, id: u64, request: impl Into<NewRequest>, now: Millis) {
        let NewRequest(mut request) = request.into();
        request.set_id(id);
        if self.config.exactly_once {
            request.make_idempotent();
        }
        self.admit(request, now);
    }

    /// Cancels a request or a subscription: no further event follows. Ignores unknown ids, and an
    /// idempotent add that was sent: adds after it need its reply.
    pub fn cancel(&mut self, id: u64) {
        if self.queue.is_sent_idempotent_add(id) {
            return;
        }
        self.remove(id);
    }

    /// Removes a request, at the server too.
    fn remove(&mut self, id: u64) -> Option<Box<PendingRequest>> {
        let (removed, was_in_flight) = self.queue.remove(id);
        if let Some(request) = &removed {
            self.save_recovery(request);
            if was_in_flight && request.is_recovering {
                self.abandon_recovery(request);
            }
        }
        if was_in_flight {
            self.cancels.push(id);
        }
        removed
    }

    /// Returns what to do with the socket next.
    pub fn poll_action(&mut self) -> Option<SocketAction> {
        self.actions.pop_front()
    }

    /// Returns what to report to the owner next.
    pub fn poll_event(&mut self) -> Option<EngineEvent> {
        self.events.pop_front()
    }

    /// Returns when to call [`handle_timeout`](Self::handle_timeout), if ever.
    pub fn next_deadline(&self) -> Option<Millis> {
        let phase = match self.phase {
            ConnectionPhase::Connecting { give_up_at }
            | ConnectionPhase::Closing { give_up_at } => Some(give_up_at),
            ConnectionPhase::Pausing { until } => Some(until),
            ConnectionPhase::Open { since } if !self.is_welcomed => {
                Some(self.welcome_deadline(since))
            }
            ConnectionPhase::Open { .. } => Some(self.heartbeat.next_deadline()),
            ConnectionPhase::Closed => None,
        };
        let is_open = matches!(self.phase, ConnectionPhase::Open { .. });
        let producers = self.producers.next_deadline().filter(|_| is_open);
        let availability = self.availability.next_deadline().filter(|_| is_open);
        let recovery = self.late_recovery.due_at.filter(|_| is_open);
        let queue = self.queue.next_deadline();
        let renewal = self.tokens.renew_at().filter(|_| is_open);
        let close = self.close_deadline();
        let deadlines = [
            close,
            phase,
            queue,
            producers,
            availability,
            recovery,
            renewal,
        ];
        deadlines.into_iter().fold(None, earlier)
    }
}

#[cfg(test)]
mod tests;
