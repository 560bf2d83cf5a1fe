//! One socket's life after the upgrade.
//!
//! Everything of a socket happens in one task. What arrived together is performed together and
//! answered together: a frame costs little, a system call or a round trip to Redis much.
//! Operations keep their order, because each batch is begun before the next is decoded; answers
//! come as they are ready.
//!
//! When the server goes away a socket is read no further, and answers what was begun: see
//! [`finish`](Session::finish).
//!
//! After a violation nothing more is decoded. What was decoded before it is still performed, and
//! answered if it is over at once.

pub(crate) mod availability_changes;
pub(crate) mod backpressure;
pub(crate) mod consumer_source;
pub(crate) mod control;
pub(crate) mod dispatch;
pub(crate) mod fairness;
pub(crate) mod graceful_close;
pub(crate) mod in_flight;
pub(crate) mod outgoing;
pub(crate) mod poll_gate;
pub(crate) mod subscriptions;
pub(crate) mod waiting;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use streamgate_protocol::limits::HEARTBEATS_UNTIL_DEAD;
use streamgate_protocol::{CacheError, CacheResult, Reply, ServerMessage, close};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Bytes;

use crate::busy_poll::BusyPoll;
use crate::config::Config;
use crate::server::{CLOSE_TIMEOUT, ServerState};
use crate::session::availability_changes::Availability;
use crate::session::control::{Aside, Asides};
use crate::session::dispatch::{
    Drained, MAX_DRAIN_BYTES, MAX_DRAIN_FRAMES, READ_ANSWER_BYTES, Subscribe, decode,
};
use crate::session::fairness::{Turn, Turns};
use crate::session::in_flight::{Lasting, Requests, Ticket};
use crate::session::outgoing::Outgoing;
use crate::session::subscriptions::{Pushed, Subscriptions};
use crate::session::waiting::{Batch, Performing, Wait, begin};
use crate::socket::{Ending, Event, Socket};
use streamgate_backend::{Backend, Progress};

/// Bytes of requests being performed, and of answers as they are reckoned, above which a session
/// reads no further until some are over: a slow backend holds up its clients and does not fill
/// memory.
const MAX_PERFORMING_BYTES: usize = 16 * 1024 * 1024;

/// Serves a socket to its end.
pub(crate) async fn run<S>(shared: &ServerState, socket: Socket<S>, peer: Option<SocketAddr>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    tracing::debug!(?peer, encoding = ?socket.encoding(), "socket opened");
    let mut session = Session::new(shared, socket);
    let ending = session.serve().await;
    let deadline = Instant::now() + CLOSE_TIMEOUT;
    let ending = match ending {
        Some(ending) => ending,
        // On the heap, or every socket would hold room for its end for as long as it lives.
        None => Box::pin(session.finish()).await,
    };
    match &ending {
        Ending::Left => tracing::debug!(?peer, "socket closed by its client"),
        Ending::Close {
            code: code @ close::GOING_AWAY,
            ..
        } => {
            tracing::debug!(?peer, code, "socket closed");
        }
        Ending::Close { code, reason, .. } => tracing::info!(?peer, code, %reason, "socket closed"),
    }
    // On the heap too.
    Box::pin(session.close(&ending, deadline)).await;
}

struct Session<'b, S> {
    busy_poll: &'b BusyPoll,
    backend: &'b dyn Backend,
    asides: Asides<'b>,
    config: &'b Config,
    socket: Socket<S>,
    requests: Requests<'b>,
    outgoing: Outgoing,
    /// Frames, or the rest of one, for which there was no turn yet.
    left: VecDeque<Bytes>,
    performing: FuturesUnordered<Performing<'b>>,
    performing_requests: usize,
    performing_bytes: usize,
    waits: FuturesUnordered<Wait<'b>>,
    subscriptions: Subscriptions<'b>,
    turns: Turns,
}

impl<'b, S: AsyncRead + AsyncWrite + Unpin> Session<'b, S> {
    fn new(shared: &'b ServerState, socket: Socket<S>) -> Self {
        let config = &shared.config;
        let mut outgoing = Outgoing::new(socket.encoding());
        outgoing.push(&ServerMessage::Welcome(config.welcome()));
        let (availability, away) = Availability::of(&*shared.backend);
        if away.is_some() {
            outgoing.push(&ServerMessage::Backend { away });
        }
        let asides = Asides::new(&shared.drain, availability);
        Self {
            busy_poll: &shared.busy_poll,
            backend: &*shared.backend,
            config,
            asides,
            socket,
            requests: Requests::new(config.max_in_flight),
            outgoing,
            left: VecDeque::new(),
            performing: FuturesUnordered::new(),
            performing_requests: 0,
            performing_bytes: 0,
            waits: FuturesUnordered::new(),
            subscriptions: Subscriptions::default(),
            turns: Turns::new(),
        }
    }

    /// Serves until there is a reason to end; none if the server has to go.
    async fn serve(&mut self) -> Option<Ending> {
        self.asides.set_alarm(self.deadline());
        loop {
            if let Err(ending) = self.send().await {
                return Some(ending);
            }
            let (room, may_read) = (self.outgoing.has_room(), self.may_read());
            if may_read && !self.left.is_empty() {
                // Others have their turn between two of this socket's.
                tokio::task::yield_now().await;
                if let Some(Aside::Leave) = self.asides.next(false).now_or_never() {
                    return None;
                }
                if let Some(ending) = self.drain(None).await {
                    return Some(ending);
                }
                continue;
            }
            if self.deadline() < self.asides.deadline() {
                self.asides.set_alarm(self.deadline());
            }
            self.busy_poll.came();
            tokio::select! {
                // What is over first, so that a client that never stops asking gets its answers.
                biased;
                aside = self.asides.next(room) => match aside {
                    Aside::Leave => return None,
                    Aside::Backend(away) => self.outgoing.push(&ServerMessage::Backend { away }),
                    Aside::Alarm => {}
                },
                // These two only if there are any: to look at an empty set costs as much as at one that
                // has nothing yet.
                Some((batch, progress)) = self.performing.next(), if room && !self.performing.is_empty() => {
                    self.performed(batch, progress).await;
                    while self.outgoing.has_room()
                        && let Some(Some((batch, progress))) = self.performing.next().now_or_never()
                    {
                        self.performed(batch, progress).await;
                    }
                }
                Some((ticket, result)) = self.waits.next(), if room && !self.waits.is_empty() => {
                    self.waited(ticket, result.ok());
                    while self.outgoing.has_room()
                        && let Some(Some((ticket, result))) = self.waits.next().now_or_never()
                    {
                        self.waited(ticket, result.ok());
                    }
                }
                turn = self.turns.next(&mut self.socket, &mut self.subscriptions, may_read, room) => match turn {
                    Turn::Socket(Event::Frame(frame)) => {
                        if let Some(ending) = self.drain(Some(frame)).await {
                            return Some(ending);
                        }
                    }
                    Turn::Socket(Event::Heard | Event::Flushed) => {}
                    Turn::Socket(Event::Ended(ending)) => return Some(ending),
                    Turn::Push(pushed) => self.push_all(pushed).await,
                },
                // Not before the budget allows it: without, the socket says that it has nothing, whatever
                // is there.
                () = tokio::task::coop::consume_budget(), if self.asides.has_rung() => {
                    if let Some(ending) = self.overdue() {
                        return Some(ending);
                    }
                    self.asides.set_alarm(self.deadline());
                }
            }
        }
    }

    /// Ends every wait, and the socket. What is being performed is let finish meanwhile: a client
    /// may send its last add and leave.
    async fn close(self, ending: &Ending, deadline: Instant) {
        let Self {
            socket,
            mut outgoing,
            mut performing,
            waits,
            subscriptions,
            requests,
            asides,
            ..
        } = self;
        // All hold waits, and a consumer that has gone must not be handed entries.
        drop((requests, waits, subscriptions, asides));
        let finish = async { while performing.next().await.is_some() {} };
        let frames = std::iter::from_fn(|| outgoing.next_frame());
        let close = socket.close(frames, ending, deadline);
        let (_, ()) = tokio::join!(tokio::time::timeout_at(deadline, finish), close);
    }

    /// Sends what is gathered, as far as the client takes it.
    async fn send(&mut self) -> Result<(), Ending> {
        while !self.socket.is_flushing()
            && let Some(frame) = self.outgoing.next_frame()
        {
            self.socket.send(frame).await?;
        }
        Ok(())
    }

    /// Takes the frames that are there, and begins what they ask for.
    async fn drain(&mut self, first: Option<Bytes>) -> Option<Ending> {
        let (frames, ending) = match first {
            Some(first) => self.ready_frames(first).await,
            None => (Vec::from(std::mem::take(&mut self.left)), None),
        };
        let encoding = self.socket.encoding();
        let Drained {
            operations,
            batch,
            subscribe,
            left,
            violation,
        } = decode(&frames, encoding, &mut self.requests, &mut self.outgoing);
        self.left = left;
        if !operations.is_empty() {
            self.performing_requests += batch.tickets.len();
            self.performing_bytes += batch.bytes;
            let mut performing = Performing::new(batch, self.backend.perform(operations));
            match begin(&mut performing).await {
                Poll::Ready((batch, progress)) => self.performed(batch, progress).await,
                Poll::Pending => self.performing.push(performing),
            }
        }
        if let Some(subscribe) = subscribe {
            self.subscribe(subscribe).await;
        }
        violation.or(ending)
    }

    /// Begins a subscription behind the operations that came before it.
    async fn subscribe(&mut self, subscribe: Subscribe<'_>) {
        let Subscribe {
            ticket,
            subscription,
            credit,
        } = subscribe;
        let opened = self
            .subscriptions
            .open(ticket, self.backend, subscription, credit);
        match opened {
            Ok(subscriber) => {
                poll_fn(|cx| {
                    self.subscriptions.begin(&subscriber, cx);
                    Poll::Ready(())
                })
                .await;
                self.requests
                    .lasts(ticket, Lasting::Subscription(subscriber));
            }
            Err(error) => self.answer(ticket, Err(error)),
        }
    }

    /// Pushes an item, and what else is there already, as far as there is room.
    async fn push_all(&mut self, pushed: Pushed) {
        self.push(pushed);
        while self.outgoing.has_room()
            && let Poll::Ready(pushed) =
                poll_fn(|cx| Poll::Ready(self.subscriptions.poll_next(cx, true))).await
        {
            self.push(pushed);
        }
    }

    fn push(&mut self, Pushed { ticket, item }: Pushed) {
        match item.and_then(|item| self.outgoing.push_item(ticket.id, &item)) {
            Ok(()) => {}
            Err(error) => {
                self.requests.end(ticket);
                self.outgoing.answer(ticket.id, Err(error));
            }
        }
    }

    /// A frame and those that can be read without waiting, up to a bound, and the end if it is
    /// right behind them.
    async fn ready_frames(&mut self, first: Bytes) -> (Vec<Bytes>, Option<Ending>) {
        let mut bytes = first.len();
        let mut frames = vec![first];
        while frames.len() < MAX_DRAIN_FRAMES && bytes < MAX_DRAIN_BYTES {
            match self.socket.ready_event().await {
                Some(Event::Frame(frame)) => {
                    bytes += frame.len();
                    frames.push(frame);
                }
                Some(Event::Heard | Event::Flushed) => {}
                Some(Event::Ended(ending)) => return (frames, Some(ending)),
                None => break,
            }
        }
        (frames, None)
    }

    /// Answers a batch, and goes on waiting for those of it that wait.
    async fn performed(&mut self, batch: Batch, progress: Vec<Progress<'b>>) {
        self.performing_requests -= batch.tickets.len();
        self.performing_bytes -= batch.bytes;
        let mut progress = progress.into_iter();
        for ticket in batch.tickets {
            match progress.next() {
                Some(Progress::Done(result)) => self.answer(ticket, result),
                Some(Progress::Waiting { position, future, .. }) => {
                    let (handle, mut wait) = Wait::new(ticket, future);
                    if !self.requests.lasts(ticket, Lasting::Wait(handle)) {
                        continue;
                    }
                    if let Some(last_id) = position {
                        let id = ticket.id;
                        self.outgoing.push(&ServerMessage::Position { id, last_id });
                    }
                    match begin(&mut wait).await {
                        Poll::Ready((ticket, result)) => self.waited(ticket, result.ok()),
                        Poll::Pending => self.waits.push(wait),
                    }
                }
                None => {
                    let why = "the backend answered fewer operations than it was given";
                    self.answer(ticket, Err(CacheError::InternalError(why.to_owned())));
                }
            }
        }
    }

    /// Answers a request whose wait is over, unless it was cancelled.
    fn waited(&mut self, ticket: Ticket, result: Option<CacheResult<Reply>>) {
        if let Some(result) = result {
            self.answer(ticket, result);
        }
    }

    fn answer(&mut self, ticket: Ticket, result: CacheResult<Reply>) {
        if self.requests.finish(ticket) {
            self.outgoing.answer(ticket.id, result);
        }
    }

    /// Whether more may be taken. Requests that were cancelled while they are performed are not
    /// in flight for the client, yet are bounded too.
    fn may_read(&self) -> bool {
        let most = 2 * self.config.max_in_flight as usize;
        let asking_bytes = self.subscriptions.asking() * READ_ANSWER_BYTES;
        self.outgoing.has_room()
            && self.performing_bytes + asking_bytes < MAX_PERFORMING_BYTES
            && self.performing_requests < most
            && self.subscriptions.len() < most
    }

    fn silence(&self) -> Duration {
        HEARTBEATS_UNTIL_DEAD * Duration::from_millis(self.config.heartbeat_ms.into())
    }

    /// When to look whether the client has been silent, or not reading, for too long. A client
    /// that is not listened to is not silent.
    fn deadline(&self) -> Instant {
        let heard = if self.may_read() {
            self.socket.last_read()
        } else {
            Instant::now()
        };
        let silent = heard + self.silence();
        match self.socket.last_write() {
            Some(last_write) => silent.min(last_write + self.config.write_timeout),
            None => silent,
        }
    }

    fn overdue(&self) -> Option<Ending> {
        let now = Instant::now();
        if let Some(last_write) = self.socket.last_write()
            && now >= last_write + self.config.write_timeout
        {
            return Some(Ending::close(
                close::SLOW_READER,
                "what was sent was not read in time",
            ));
        }
        if self.may_read() && now >= self.socket.last_read() + self.silence() {
            return Some(Ending::close(
                close::HEARTBEAT_MISSED,
                "nothing was heard for too long",
            ));
        }
        None
    }
}

#[cfg(test)]
mod tests;
