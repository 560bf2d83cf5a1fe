//! Every decision of a client, as a state machine without I/O and without a clock.
//!
//! Commands, what the socket did, and the time go in; frames, answers and the next deadline come
//! out. There are four kinds of method:
//!
//! - commands of the owner: [`call`](Engine::call), [`subscribe`](Engine::subscribe),
//!   [`consumed`](Engine::consumed), [`cancel`](Engine::cancel), [`close`](Engine::close);
//! - what happened: [`handle_opened`](Engine::handle_opened),
//!   [`handle_frame`](Engine::handle_frame), [`handle_closed`](Engine::handle_closed),
//!   [`handle_timeout`](Engine::handle_timeout);
//! - what to do: [`poll_action`](Engine::poll_action), [`poll_transmit`](Engine::poll_transmit),
//!   [`poll_event`](Engine::poll_event), each until it gives `None`;
//! - [`next_deadline`](Engine::next_deadline): when to call `handle_timeout`.
//!
//! After any method of the first two kinds, poll all of the third. Times are milliseconds on one
//! clock that never goes back; where it starts is of no importance.

mod config;
mod connection_state;
mod delivery_log;
mod heartbeat;
mod idempotent_producers;
mod new_request;
mod pause;
mod pending_request;
mod reconnect_backoff;
mod replies;
mod request_queue;
mod subscription_window;
mod subscriptions;
mod transmit;

use std::collections::VecDeque;

use streamgate_protocol::close::{self, AfterClose};
use streamgate_protocol::codec::{DecodeError, Encoding};
use streamgate_protocol::error::code;
use streamgate_protocol::limits;
use streamgate_protocol::message::{Fault, Item, Welcome};
use streamgate_protocol::{CacheError, CacheResult, Reply, ServerMessage};

pub use config::Config;
pub use connection_state::ConnectionState;
use delivery_log::DeliveryLog;
use heartbeat::{Heartbeat, HeartbeatStatus};
use idempotent_producers::IdempotentProducers;
pub use new_request::NewRequest;
use pending_request::Ask;
use reconnect_backoff::Backoff;
use request_queue::{Call, Calls};

/// Milliseconds on a clock that never goes back.
pub type Millis = u64;

/// What a driver has to do with its socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Open a socket and answer with [`Engine::handle_opened`] or [`Engine::handle_closed`].
    Connect,
    /// Close the socket with this code and reason; then answer with [`Engine::handle_closed`].
    Close {
        /// A code of [`streamgate_protocol::close`].
        code: u16,
        /// At most 123 bytes.
        reason: &'static str,
    },
    /// Forget the socket without waiting for anything; no answer is expected.
    Abandon,
}

/// What a driver has to tell the owner.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A call or a subscription is over.
    Finished {
        /// Its id.
        id: u64,
        /// What came of it; of a subscription always an error.
        result: CacheResult<Reply>,
    },
    /// Something of a subscription. Once its owner takes it: [`Engine::consumed`].
    Pushed {
        /// The subscription's id.
        id: u64,
        /// What fits it: to a consumer, entries; to a tail, if there are none, a position.
        item: Item,
    },
    /// The connection's state changed.
    State(ConnectionState),
}

/// The state machine. See the [module](self).
#[derive(Debug)]
pub struct Engine {
    config: Config,
    phase: ConnectionPhase,
    /// Whether any attempt has succeeded. Until then a failure is the owner's answer.
    ever_opened: bool,
    calls: Calls,
    given: DeliveryLog,
    producers: IdempotentProducers,
    cancels: Vec<u64>,
    /// Subscriptions that are to be granted more; each once.
    grants: Vec<u64>,
    heartbeat: Heartbeat,
    backoff: Backoff,
    max_frame_bytes: usize,
    /// Whether this connection's server has said what it grants.
    welcomed: bool,
    /// Whether it has said that its backend is away.
    is_degraded: bool,
    /// What the server did against the protocol.
    violation: Option<&'static str>,
    actions: VecDeque<Action>,
    events: VecDeque<Event>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ConnectionPhase {
    Connecting {
        give_up_at: Millis,
    },
    Open {
        since: Millis,
    },
    Waiting {
        until: Millis,
    },
    /// The owner, or a violation, closed the socket; its end is awaited, but not forever.
    Closing {
        give_up_at: Millis,
    },
    Closed,
}

impl Engine {
    /// A new engine, which asks for a connection at once.
    pub fn new(config: Config, now: Millis) -> Self {
        let mut engine = Self {
            phase: ConnectionPhase::Closed,
            ever_opened: false,
            calls: Calls::new(config.queue_timeout_ms),
            given: DeliveryLog::default(),
            producers: IdempotentProducers::new(config.seed),
            cancels: Vec::new(),
            grants: Vec::new(),
            heartbeat: Heartbeat::new(now),
            backoff: Backoff::new(&config),
            max_frame_bytes: limits::MIN_FRAME_BYTES as usize,
            welcomed: false,
            is_degraded: false,
            violation: None,
            actions: VecDeque::new(),
            events: VecDeque::new(),
            config,
        };
        engine.connect(now);
        engine
    }

    /// The encoding to offer as the subprotocol.
    pub fn encoding(&self) -> Encoding {
        self.config.encoding
    }

    /// Whether the engine has stopped for good: nothing will come out any more.
    pub fn is_closed(&self) -> bool {
        self.phase == ConnectionPhase::Closed
    }

    /// Whether it is closed, or about to be.
    fn is_ending(&self) -> bool {
        matches!(
            self.phase,
            ConnectionPhase::Closing { .. } | ConnectionPhase::Closed
        )
    }

    /// Whether another call would be taken rather than refused with `OVERLOADED`.
    pub fn has_room(&self) -> bool {
        self.calls.has_room()
    }

    /// Starts a call, which ends with exactly one [`Event::Finished`] unless it is cancelled.
    ///
    /// `call` is an [`Operation`](streamgate_protocol::Operation), or a [`NewRequest`] made of one. `id`
    /// must be new: greater than those of most earlier calls, equal to none in flight.
    pub fn call(&mut self, id: u64, call: impl Into<NewRequest>, now: Millis) {
        let NewRequest(mut call) = call.into();
        let valid = call.ask.validate();
        call.ask.set_id(id);
        if self.config.exactly_once {
            call.ask.once();
        }
        self.admit(call, valid, now);
    }

    /// Ends a call or a subscription; nothing more comes of it. Unknown ids are ignored, and so is
    /// an add that was sent: it is done, and those behind it wait for its answer.
    pub fn cancel(&mut self, id: u64) {
        if self.calls.is_sent_add(id) {
            return;
        }
        let (forgotten, was_sent) = self.calls.forget(id);
        if let Some(call) = forgotten {
            self.remember(&call);
        }
        if was_sent {
            self.cancels.push(id);
        }
    }

    /// Ends the client: every call fails, tails end with `CLOSED`, the socket is closed.
    pub fn close(&mut self, now: Millis) {
        match self.phase {
            ConnectionPhase::Closing { .. } | ConnectionPhase::Closed => {}
            ConnectionPhase::Open { .. } => {
                self.close_in_flight();
                self.fail_queued(code::CLOSED, "the client was closed");
                self.begin_closing(close::NORMAL, "", now);
            }
            ConnectionPhase::Connecting { .. } | ConnectionPhase::Waiting { .. } => {
                self.fail_queued(code::CLOSED, "the client was closed");
                self.actions.push_back(Action::Abandon);
                self.stop(close::NORMAL, "");
            }
        }
    }

    /// The socket is open and the server chose this subprotocol.
    pub fn handle_opened(&mut self, subprotocol: &str, now: Millis) {
        if !matches!(self.phase, ConnectionPhase::Connecting { .. }) {
            return;
        }
        self.max_frame_bytes = limits::MIN_FRAME_BYTES as usize;
        (self.welcomed, self.is_degraded) = (false, false);
        self.calls.opened();
        self.heartbeat = Heartbeat::new(now);
        self.ever_opened = true;
        self.phase = ConnectionPhase::Open { since: now };
        if Encoding::from_subprotocol(subprotocol) == Some(self.config.encoding) {
            self.events.push_back(Event::State(ConnectionState::Open));
        } else {
            self.violated("the server does not speak streamgate.v1", now);
        }
    }

    /// A frame came in.
    pub fn handle_frame(&mut self, frame: &[u8], is_text: bool, now: Millis) {
        if !matches!(self.phase, ConnectionPhase::Open { .. }) {
            return;
        }
        self.heartbeat.heard(now);
        if is_text != self.config.encoding.is_text() {
            return self.violated("the server sent a frame of the wrong type", now);
        }
        for message in self.config.encoding.messages::<ServerMessage>(frame) {
            match message {
                Ok(ServerMessage::Reply { id, outcome }) => {
                    if let Err(reason) = self.answered(id, outcome, now) {
                        return self.violated(reason, now);
                    }
                }
                Ok(ServerMessage::Push { id, item }) => {
                    if let Err(reason) = self.pushed(id, item) {
                        return self.violated(reason, now);
                    }
                }
                Ok(ServerMessage::Welcome(welcome)) => self.welcomed(&welcome),
                Ok(ServerMessage::Backend { away }) => self.backend(away),
                Ok(ServerMessage::Pong { .. }) => {}
                Ok(ServerMessage::Position { id, last_id }) => {
                    if let Some(call) = self.calls.find(id) {
                        call.ask.stands_at(last_id);
                    }
                }
                // A newer server may have more to say than this client understands.
                Err(DecodeError::UnknownKind(_)) => {}
                Err(_) => return self.violated("the server sent what cannot be decoded", now),
            }
        }
    }

    /// The socket is closed, or could not be opened.
    pub fn handle_closed(&mut self, code: u16, reason: &str, now: Millis) {
        match self.phase {
            ConnectionPhase::Closed | ConnectionPhase::Waiting { .. } => {}
            // A violation by the server is what the owner has to know, not how it took the close.
            ConnectionPhase::Closing { .. } => match self.violation {
                Some(violation) => self.stop(close::MALFORMED, violation),
                None => self.stop(code, reason),
            },
            ConnectionPhase::Connecting { .. } | ConnectionPhase::Open { .. } => {
                self.lost(code, reason, now)
            }
        }
    }

    /// The time has come that [`next_deadline`](Self::next_deadline) named. Too early, too late
    /// and without need are all right.
    pub fn handle_timeout(&mut self, now: Millis) {
        self.calls.rested(now);
        while let Some(call) = self.calls.expired(now) {
            let (code, why) = match self.phase {
                ConnectionPhase::Open { .. } => (code::OVERLOADED, "its turn did not come in time"),
                _ => (code::DISCONNECTED, "no connection in time"),
            };
            self.fail_unsent(&call, code, why);
        }
        self.producers.go_on(now);
        match self.phase {
            ConnectionPhase::Connecting { give_up_at } if now >= give_up_at => {
                self.actions.push_back(Action::Abandon);
                self.lost(close::ABNORMAL, "no connection in time", now);
            }
            ConnectionPhase::Waiting { until } if now >= until => self.connect(now),
            ConnectionPhase::Closing { give_up_at } if now >= give_up_at => {
                self.actions.push_back(Action::Abandon);
                self.stop(close::ABNORMAL, "the server did not answer the close");
            }
            ConnectionPhase::Open { .. } if self.heartbeat.is_given_up(now) => {
                self.actions.push_back(Action::Abandon);
                self.lost(close::HEARTBEAT_MISSED, "this client was frozen", now);
                self.network_changed(now);
            }
            ConnectionPhase::Open { .. } if self.heartbeat.check(now) == HeartbeatStatus::Dead => {
                self.actions.push_back(Action::Abandon);
                self.lost(close::HEARTBEAT_MISSED, "the server is silent", now);
            }
            ConnectionPhase::Open { .. } => self.heartbeat.noticed(now),
            _ => {}
        }
    }

    /// Something happened that connections do not always survive, or that may have brought them
    /// back: the network changed, the machine slept, the tab was frozen. What would be tried
    /// later is tried at once.
    pub fn network_changed(&mut self, now: Millis) {
        match self.phase {
            ConnectionPhase::Waiting { .. } => self.connect(now),
            ConnectionPhase::Open { .. } => self.heartbeat.network_changed(),
            _ => {}
        }
    }

    /// What to do with the socket.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// What to tell the owner.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due, if ever.
    pub fn next_deadline(&self) -> Option<Millis> {
        let phase = match self.phase {
            ConnectionPhase::Connecting { give_up_at }
            | ConnectionPhase::Closing { give_up_at } => Some(give_up_at),
            ConnectionPhase::Waiting { until } => Some(until),
            ConnectionPhase::Open { .. } => Some(self.heartbeat.next_deadline()),
            ConnectionPhase::Closed => None,
        };
        let open = matches!(self.phase, ConnectionPhase::Open { .. });
        let goes_on = self.producers.next_deadline().filter(|_| open);
        [phase, self.calls.next_deadline(), goes_on]
            .into_iter()
            .flatten()
            .min()
    }

    fn connect(&mut self, now: Millis) {
        self.phase = ConnectionPhase::Connecting {
            give_up_at: now + u64::from(self.config.connect_timeout_ms),
        };
        self.actions.push_back(Action::Connect);
        if !self.ever_opened {
            self.events
                .push_back(Event::State(ConnectionState::Connecting));
        }
    }

    fn welcomed(&mut self, welcome: &Welcome) {
        self.max_frame_bytes = welcome.max_frame_bytes as usize;
        self.welcomed = true;
        self.calls.granted(welcome.max_in_flight as usize);
        self.heartbeat.every(welcome.heartbeat_ms);
    }

    /// The server told whether its backend is there.
    // In its caller it would be more of what a browser downloads.
    #[inline(never)]
    fn backend(&mut self, away: Option<Fault>) {
        let was_degraded = std::mem::replace(&mut self.is_degraded, away.is_some());
        if !self.is_degraded {
            self.calls.wake();
        }
        if was_degraded || self.is_degraded {
            let state = away.map_or(ConnectionState::Open, |fault| ConnectionState::Degraded {
                code: fault.code,
                message: fault.message,
            });
            self.events.push_back(Event::State(state));
        }
    }

    /// The connection is gone: unless there is no sense in it another one is made, for those that
    /// follow and to ask again what was not answered.
    fn lost(&mut self, code: u16, reason: &str, now: Millis) {
        if close::after_close(code) == AfterClose::Stop || !self.ever_opened {
            self.fail_in_flight("the connection was lost before the answer came");
            let error = if self.ever_opened {
                code::CLOSED
            } else {
                code::DISCONNECTED
            };
            self.fail_queued(error, "the connection ended for good");
            return self.stop(code, reason);
        }
        self.ask_again(now);
        if let ConnectionPhase::Open { since } = self.phase {
            self.backoff.was_open_for(now.saturating_sub(since));
        }
        self.phase = ConnectionPhase::Waiting {
            until: now + self.backoff.next_delay(),
        };
        let state = ConnectionState::Reconnecting {
            code,
            reason: reason.to_owned(),
        };
        self.events.push_back(Event::State(state));
    }

    fn violated(&mut self, reason: &'static str, now: Millis) {
        self.fail_in_flight(reason);
        self.fail_queued(code::PROTOCOL, reason);
        self.violation = Some(reason);
        self.begin_closing(close::MALFORMED, reason, now);
    }

    fn begin_closing(&mut self, code: u16, reason: &'static str, now: Millis) {
        self.actions.push_back(Action::Close { code, reason });
        self.phase = ConnectionPhase::Closing {
            give_up_at: now + u64::from(self.config.close_timeout_ms),
        };
    }

    fn stop(&mut self, code: u16, reason: &str) {
        self.phase = ConnectionPhase::Closed;
        let state = ConnectionState::Closed {
            code,
            reason: reason.to_owned(),
        };
        self.events.push_back(Event::State(state));
    }

    fn fail_in_flight(&mut self, why: &str) {
        self.end_in_flight(|call| CacheError::lost(call.ask.is_read_only(), why));
    }

    /// The owner does not wait for anything any more. A tail has lost nothing by that; what a call
    /// was to change, and what a consumer was given, is as unknown as ever.
    fn close_in_flight(&mut self) {
        let why = "the client was closed before the answer came";
        self.end_in_flight(|call| {
            if call.is_tail() {
                CacheError::from_code(code::CLOSED, "the client was closed")
            } else {
                CacheError::lost(call.ask.is_read_only(), why)
            }
        });
    }

    fn end_in_flight(&mut self, error: impl Fn(&Call) -> CacheError) {
        self.cancels.clear();
        self.grants.clear();
        for call in self.calls.take_sent() {
            self.finish(call.id(), Err(error(&call)));
        }
    }

    fn fail_queued(&mut self, code: &str, why: &str) {
        while let Some(call) = self.calls.take_any() {
            self.fail_unsent(&call, code, why);
        }
    }

    /// Of a call that waits to be sent. One that was sent before may have been carried out then.
    fn fail_unsent(&mut self, call: &Call, code: &str, why: &str) {
        self.remember(call);
        if let Some((stream, Some(_))) = call.ask.adds_once()
            && call.ask.was_sent
        {
            self.producers.given_up(stream);
        }
        let error = if call.ask.was_sent && !call.ask.is_read_only() {
            CacheError::lost(false, why)
        } else {
            CacheError::from_code(code, why)
        };
        self.finish(call.id(), Err(error));
    }

    fn finish(&mut self, id: u64, result: CacheResult<Reply>) {
        self.events.push_back(Event::Finished { id, result });
    }
}

#[cfg(test)]
mod tests;
