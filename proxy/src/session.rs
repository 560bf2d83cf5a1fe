//! One socket's life after the handshake.
//!
//! Everything about a socket happens in one task, whose loop is here. `perform.rs` has the way of a
//! request, `push.rs` that of a subscription's items, `graceful_close.rs` the end, and `limits.rs`
//! every bound.
//!
//! After a protocol violation the session decodes nothing more. It still performs the operations
//! before the violation, and answers those that are done at once.

mod authentication;
mod availability_changes;
mod backend_errors;
mod backend_work;
mod backpressure;
mod batch;
mod continuing;
mod control;
mod dispatch;
mod fairness;
mod graceful_close;
mod handshake;
mod in_flight;
mod large_reply;
mod large_turn;
pub(crate) mod limits;
mod liveness;
mod memory;
mod message_size;
mod outgoing;
mod perform;
mod poll_gate;
mod poll_once;
mod push;
mod reading_turns;
mod recorder;
mod request_limits;
mod request_ticket;
mod shared_push;
mod subscriptions;
mod unknown_key;
mod waiting;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::FutureExt;
use streamgate_backend::Backend;
use streamgate_protocol::close;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Bytes;

use crate::accept::{Evicted, HandshakePlace};
use crate::address_key::AddressKey;
use crate::busy_poll::BusyPoll;
use crate::client_registry::{ClientRegistration, ClientRegistry};
use crate::config::Config;
use crate::large_requests::LargeRequests;
use crate::log_limit::Permitted;
use crate::rate_limits::TokenBucket;
use crate::server_state::ServerState;
use crate::session::authentication::SessionAccess;
use crate::session::availability_changes::AvailabilityChanges;
use crate::session::backend_work::BackendWork;
use crate::session::control::{ControlEvent, ControlEvents};
use crate::session::fairness::{Fairness, ReadOrPush, spend_bytes};
use crate::session::handshake::{Handshake, evicted, taken_over};
use crate::session::in_flight::InFlight;
use crate::session::limits::MEMORY_PAUSE;
use crate::session::memory::SessionMemory;
use crate::session::outgoing::Outgoing;
use crate::session::reading_turns::{next_turn, spend_control_frames};
use crate::session::recorder::{Ongoing, Recorder};
use crate::session::request_limits::RequestLimits;
use crate::session::subscriptions::Subscriptions;
use crate::session::unknown_key::AwaitedFetch;
use crate::shutdown::CLOSE_TIMEOUT;
use crate::socket::{CloseReason, ServerSocket, SocketProgress};
use crate::wait_shares::ShareKey;

/// What a socket begins with, if the server has a policy.
#[derive(Debug, Default)]
pub(crate) struct Opening {
    /// The token of the handshake, if it had one.
    pub(crate) bearer: Option<Box<str>>,
    /// Its place among the sockets without a hello.
    pub(crate) place: Option<(HandshakePlace, Evicted)>,
}

/// Serves a socket until it is closed.
pub(crate) async fn run<S>(
    server: &ServerState,
    socket: ServerSocket<S>,
    peer: Option<SocketAddr>,
    opening: Opening,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    tracing::debug!("socket accepted");
    let mut session = Session::new(server, socket, peer, opening);
    let served = session.serve().await;
    let deadline = Instant::now() + CLOSE_TIMEOUT;
    let reason = match served {
        Err(reason) => reason,
        // On the heap: otherwise every socket holds room for its end for its whole life.
        Ok(ServerLeaves(reason)) => Box::pin(session.finish(reason)).await,
    };
    let client = session.handshake.client().map(|client| &*client.id);
    log_close(server, &reason, peer, client);
    // On the heap too.
    Box::pin(session.close(&reason, deadline)).await;
}

/// The server has a reason to close the socket, and finishes first what it has begun.
struct ServerLeaves(CloseReason);

struct Session<'b, S> {
    backend: &'b dyn Backend,
    config: &'b Config,
    busy_poll: &'b BusyPoll,
    large_requests: &'b LargeRequests,
    control: ControlEvents<'b>,
    socket: ServerSocket<S>,
    opened_at: Instant,
    access: SessionAccess<'b>,
    renewals: TokenBucket,
    limits: RequestLimits<'b>,
    /// The address that the socket counts for.
    address: Option<AddressKey>,
    /// Why the server closes the socket, once what was begun is answered.
    leaves: Option<CloseReason>,
    /// Set while the session reads nothing, because its client did something too often.
    read_after: Option<Instant>,
    /// Present while a token waits for the issuer's keys. The session reads nothing then.
    awaited_fetch: Option<Box<AwaitedFetch>>,
    handshake: Handshake,
    /// Until the client has said hello.
    hello_place: Option<HandshakePlace>,
    in_flight: InFlight<'b>,
    memory: SessionMemory,
    outgoing: Outgoing,
    /// Frames, or the rest of one, that wait for the next turn.
    remaining_frames: VecDeque<Bytes>,
    work: BackendWork<'b>,
    subscriptions: Subscriptions<'b>,
    fairness: Fairness,
    /// Whether the session read from the socket in its last turn.
    was_reading: bool,
    pings: u64,
    /// When the client was pinged last.
    pinged_at: Option<Instant>,
    recorder: Recorder<'b>,
    clients: &'b ClientRegistry,
    /// Present once the client has said hello. After everything that may take entries from the
    /// backend: fields are dropped in this order.
    registration: Option<ClientRegistration>,
    /// Those in tenants that the client has left, each until this time or until what was begun there
    /// has ended.
    former_registrations: Vec<(ClientRegistration, Instant)>,
}

impl<'b, S: AsyncRead + AsyncWrite + Unpin> Session<'b, S> {
    fn new(
        server: &'b ServerState,
        socket: ServerSocket<S>,
        peer: Option<SocketAddr>,
        Opening { bearer, place }: Opening,
    ) -> Self {
        let config = &server.config;
        let (hello_place, hello_evicted) = place.unzip();
        let mut waits = server.waits.share();
        let address = server.counted_address(peer);
        if let Some(address) = address {
            waits.join(ShareKey::Address(address));
        }
        let outgoing = Outgoing::new(socket.encoding(), server.access.has_policy());
        let memory = SessionMemory::new(&config.memory_budget, config.idle_socket_bytes());
        let (availability, unavailable) = AvailabilityChanges::of(&*server.backend);
        Self {
            backend: &*server.backend,
            config,
            busy_poll: &server.busy_poll,
            large_requests: &server.large_requests,
            control: ControlEvents::new(
                &server.shutdown,
                memory.share().clone(),
                availability,
                server.access.changes(),
                hello_evicted,
            ),
            socket,
            opened_at: Instant::now(),
            access: SessionAccess::new(&server.access, bearer),
            renewals: TokenBucket::default(),
            limits: RequestLimits::new(
                &server.limits,
                Duration::from_millis(config.heartbeat_ms.into()),
            ),
            address,
            leaves: None,
            read_after: None,
            awaited_fetch: None,
            handshake: Handshake::new(config.welcome(), unavailable),
            hello_place,
            in_flight: InFlight::new(config.max_in_flight, waits),
            memory,
            subscriptions: Subscriptions::new(outgoing.bound()),
            outgoing,
            remaining_frames: VecDeque::new(),
            work: BackendWork::default(),
            fairness: Fairness::new(),
            was_reading: true,
            pings: 0,
            pinged_at: None,
            recorder: Recorder::new(&server.metrics, &server.refusals, peer),
            clients: &server.clients,
            registration: None,
            former_registrations: Vec::new(),
        }
    }

    /// Serves until there is a reason to close the socket.
    async fn serve(&mut self) -> Result<ServerLeaves, CloseReason> {
        self.control.set_timer(self.liveness_deadline());
        loop {
            if !tokio::task::coop::has_budget_remaining() {
                // In its next turn the session may read before it uses the turn up for pushes.
                self.fairness.read_first();
            }
            tokio::task::coop::consume_budget().await;
            self.send().await?;
            self.recorder.turn_ended(Ongoing {
                in_flight: self.in_flight.len(),
                waits: self.work.waits(),
                subscriptions: self.subscriptions.len(),
            });
            self.record_memory();
            self.leave_former_tenants();
            self.check_hello()?;
            if let Some(reason) = self.leaves.take().or_else(|| self.access.ended()) {
                return Ok(ServerLeaves(reason));
            }
            self.read_after = self.read_after.filter(|at| Instant::now() < *at);
            let pause_end = self.read_after;
            let (room, may_read) = (self.outgoing.has_room(), self.may_read());
            let may_push = room && self.memory.may_grow();
            let lacks_memory = !may_read && pause_end.is_none() && self.has_room_to_read()
                || room && !may_push && self.subscriptions.are_held_up();
            self.pause_silence_unless(may_read);
            if may_read && !self.remaining_frames.is_empty() {
                // Other sockets have their turn between two turns of this one.
                next_turn().await;
                if let Some(event) = self.control.next(false).now_or_never() {
                    self.take_event(event).await?;
                }
                if self.leaves.is_none() {
                    self.dispatch_remaining().await?;
                }
                continue;
            }
            if self.liveness_deadline() < self.control.deadline() {
                self.control.set_timer(self.liveness_deadline());
            }
            self.busy_poll.record_event();
            tokio::select! {
                // Results first, so that a client that never stops asking gets its replies.
                biased;
                event = self.control.next(room) => match event {
                    // On the heap, as rare things are.
                    ControlEvent::KeysFetched => Box::pin(self.try_token_again()).await?,
                    event => self.take_event(event).await?,
                },
                Some(ended) = self.work.next(), if room => self.work_ended(ended).await,
                next = self
                    .fairness
                    .next(&mut self.socket, &mut self.subscriptions, may_read, may_push) => match next
                {
                    ReadOrPush::Read(SocketProgress::Frame(frame)) => {
                        self.dispatch_new(frame).await?;
                    }
                    ReadOrPush::Read(SocketProgress::Heard) => spend_control_frames().await,
                    ReadOrPush::Read(SocketProgress::Flushed | SocketProgress::Arriving) => {}
                    ReadOrPush::Read(SocketProgress::Closed(reason)) => return Err(reason),
                    ReadOrPush::Push(item) => self.push_ready(item).await,
                },
                () = tokio::time::sleep(MEMORY_PAUSE), if lacks_memory => {
                    self.memory.share().budget().record_stall();
                }
                () = sleep_until_or_never(pause_end), if pause_end.is_some() => {}
                // Only with budget left: without, the socket reports nothing, whatever has arrived.
                () = tokio::task::coop::consume_budget(), if self.control.has_fired() => {
                    self.check_liveness()?;
                    self.control.set_timer(self.liveness_deadline());
                }
            }
        }
    }

    /// Takes a rare event.
    ///
    /// # Errors
    ///
    /// The socket has to close at once. If it has to close after what was begun is answered, sets
    /// [`leaves`](Self#structfield.leaves).
    async fn take_event(&mut self, event: ControlEvent) -> Result<(), CloseReason> {
        match event {
            ControlEvent::CloseNow => self.leaves = Some(shutting_down()),
            ControlEvent::TakenOver => return Err(taken_over()),
            ControlEvent::Evicted => return Err(evicted()),
            ControlEvent::MakeRoom(refusal) => return Err(self.make_room(refusal)),
            ControlEvent::AccessChanged => Box::pin(self.access_changed()).await?,
            ControlEvent::Availability(unavailable) => {
                let outgoing = &mut self.outgoing;
                self.handshake.availability_changed(unavailable, outgoing);
            }
            // Before the hello, which is answered before anything else is asked.
            ControlEvent::KeysFetched | ControlEvent::Timer => {}
        }
        Ok(())
    }

    /// Sends the gathered frames, as far as the client takes them. Others have their turns between
    /// large ones.
    async fn send(&mut self) -> Result<(), CloseReason> {
        while !self.socket.is_flushing()
            && let Some(piece) = self.outgoing.next_piece()
        {
            let bytes = piece.bytes.len();
            self.recorder.sent(bytes);
            self.socket.send(piece).await?;
            spend_bytes(bytes).await;
        }
        Ok(())
    }
}

async fn sleep_until_or_never(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn shutting_down() -> CloseReason {
    CloseReason::by_server(close::GOING_AWAY, "the server shuts down")
}

/// Counts a socket that closes, and logs why: at `info` if something went wrong, and at a bounded rate.
fn log_close(
    server: &ServerState,
    reason: &CloseReason,
    peer: Option<SocketAddr>,
    client: Option<&str>,
) {
    let peer = peer.map(tracing::field::display);
    match reason {
        CloseReason::ByClient => {
            server.metrics.sockets_closed_by_client.add(1);
            tracing::debug!(client, "socket closed by the client");
        }
        CloseReason::ByServer { code, .. } if *code == close::GOING_AWAY => {
            server.metrics.sockets_closed_by_shutdown.add(1);
            tracing::debug!(client, code, "socket closed: the server shuts down");
        }
        CloseReason::ByServer { code, reason, .. } => {
            server.metrics.sockets_closed_by_server.add(1);
            let Some(Permitted { suppressed }) = server.close_log.permit() else {
                return;
            };
            let what = if *code == close::SLOW_READER {
                "slow client: socket closed"
            } else {
                "socket closed"
            };
            tracing::info!(peer, client, code, %reason, suppressed, "{what}");
        }
    }
}

#[cfg(test)]
mod tests;
