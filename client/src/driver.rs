//! The task that runs an engine and its socket for [`Client`](crate::Client) handles.

mod reply_router;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::{mpsc, watch};

use crate::command::Command;
use crate::engine::{ClientConfig, ClientId, ConnectionState, Engine, EngineEvent, Millis};
use crate::engine_io::EngineIo;
use crate::telemetry;
use crate::transport::{Clock, Connector};

use reply_router::ReplyRouter;

/// A future that runs a client's connection: spawn it on the runtime for which it was made. It ends
/// when the client is closed, when the last handle is dropped, or when there is no point in another
/// attempt to connect.
pub struct Driver<C: Connector, K: Clock> {
    io: EngineIo<C>,
    clock: K,
    sleep: Option<(Millis, K::Sleep)>,
    /// Bounded by the permits of requests, and by the credit of subscriptions: see
    /// `client::permit`.
    commands: mpsc::UnboundedReceiver<Command>,
    handles_dropped: bool,
    router: ReplyRouter,
    state: watch::Sender<ConnectionState>,
}

impl<C: Connector, K: Clock> Driver<C, K> {
    pub(crate) fn new(
        client_id: &ClientId,
        config: ClientConfig,
        connector: C,
        clock: K,
        commands: mpsc::UnboundedReceiver<Command>,
        state: watch::Sender<ConnectionState>,
    ) -> Self {
        let engine = Engine::new(client_id, config, clock.now());
        Self {
            io: EngineIo::new(engine, connector),
            clock,
            sleep: None,
            commands,
            handles_dropped: false,
            router: ReplyRouter::default(),
            state,
        }
    }
}

impl<C: Connector, K: Clock> fmt::Debug for Driver<C, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}

impl<C, K> Future for Driver<C, K>
where
    C: Connector + Unpin,
    C::Socket: Unpin,
    K: Clock + Unpin,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            let now = this.clock.now();
            this.take_commands(cx, now);
            this.io.pump(cx, now);
            this.report_events();
            if this.io.engine.is_closed() {
                return Poll::Ready(());
            }
            if this.poll_deadline(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl<C: Connector, K: Clock> Driver<C, K> {
    fn take_commands(&mut self, cx: &mut Context<'_>, now: Millis) {
        let engine = &mut self.io.engine;
        while !self.handles_dropped
            && let Poll::Ready(command) = self.commands.poll_recv(cx)
        {
            match command {
                Some(Command::Request {
                    id,
                    request,
                    reply,
                    permit,
                }) => {
                    self.router.add_request(id, reply, permit);
                    engine.request(id, request, now);
                }
                Some(Command::Subscribe {
                    id,
                    subscription,
                    items,
                    permit,
                }) => {
                    self.router.add_subscription(id, items, permit);
                    engine.subscribe(id, *subscription, now);
                }
                Some(Command::Consumed { id, taken }) => engine.consumed(id, taken),
                Some(Command::Cancel { id }) => {
                    self.router.remove(id);
                    engine.cancel(id);
                }
                Some(Command::NetworkChanged(queued)) => {
                    drop(queued);
                    engine.network_changed(now);
                }
                Some(Command::Close(timeout_ms, queued)) => {
                    drop(queued);
                    engine.close(timeout_ms, now);
                }
                Some(Command::Abort(queued)) => {
                    drop(queued);
                    engine.abort(now);
                }
                // Nobody waits for any request.
                None => {
                    self.handles_dropped = true;
                    engine.abort(now);
                }
            }
        }
    }

    fn report_events(&mut self) {
        while let Some(event) = self.io.engine.poll_event() {
            match event {
                EngineEvent::Finished { id, outcome } => {
                    let result = outcome.into();
                    telemetry::request_finished(id, &result);
                    self.router.finish(id, result);
                }
                EngineEvent::Pushed { id, item } => self.router.push(id, item),
                EngineEvent::StateChanged(state) => {
                    telemetry::state_changed(&state);
                    self.state.send_replace(state);
                }
            }
        }
    }

    /// Ready if the engine's deadline has come.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.io.engine.next_deadline() else {
            return Poll::Pending;
        };
        let clock = &self.clock;
        let (due, sleep) = self
            .sleep
            .get_or_insert_with(|| (deadline, clock.sleep_until(deadline)));
        if *due != deadline {
            // A sleep that ends too early costs one needless wake; a new one for every frame would
            // cost more.
            if *due > deadline || Pin::new(&mut *sleep).poll(cx).is_ready() {
                *due = deadline;
                *sleep = clock.sleep_until(deadline);
            } else {
                return Poll::Pending;
            }
        }
        let is_due = Pin::new(sleep).poll(cx);
        if is_due.is_ready() {
            self.sleep = None;
        }
        is_due
    }
}
