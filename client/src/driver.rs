//! The task that runs a link for [`Client`](crate::Client) handles.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use streamgate_protocol::{CacheResult, Operation, Reply};
use tokio::sync::{mpsc, oneshot, watch};

use crate::client::Client;
use crate::engine::{Config, ConnectionState, Engine, Event, Millis};
use crate::transport::{Clock, Connector, Link};

/// A handle's wish.
#[derive(Debug)]
pub(crate) enum Command {
    Call {
        id: u64,
        operation: Operation<'static>,
        answer: Answer,
    },
    /// The call's future was dropped.
    Cancel {
        id: u64,
    },
    Close,
}

/// Where a call's result goes.
pub(crate) type Answer = oneshot::Sender<CacheResult<Reply>>;

/// A future that keeps a client's connection: spawn it on the runtime it was made for. It ends
/// when the client is closed, when its last handle is dropped, or when there is no sense in
/// another attempt.
pub struct Driver<C: Connector, K: Clock> {
    link: Link<C>,
    clock: K,
    sleep: Option<(Millis, K::Sleep)>,
    /// Bounded by the calls that may be made at once: see `client::call`.
    commands: mpsc::UnboundedReceiver<Command>,
    handles_gone: bool,
    /// Sorted by id, like the engine's calls.
    answers: Vec<(u64, Answer)>,
    state: watch::Sender<ConnectionState>,
}

/// A client, and the driver without which it does nothing.
pub fn pair<C: Connector, K: Clock>(
    config: Config,
    connector: C,
    clock: K,
) -> (Client, Driver<C, K>) {
    let (sender, commands) = mpsc::unbounded_channel();
    let (state, states) = watch::channel(ConnectionState::Connecting);
    let engine = Engine::new(config, clock.now());
    let driver = Driver {
        link: Link::new(engine, connector),
        clock,
        sleep: None,
        commands,
        handles_gone: false,
        answers: Vec::new(),
        state,
    };
    (Client::new(sender, states), driver)
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
            this.link.pump(cx, now);
            this.tell();
            if this.link.engine.is_closed() {
                return Poll::Ready(());
            }
            if this.poll_sleep(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl<C: Connector, K: Clock> Driver<C, K> {
    fn take_commands(&mut self, cx: &mut Context<'_>, now: Millis) {
        while !self.handles_gone
            && let Poll::Ready(command) = self.commands.poll_recv(cx)
        {
            match command {
                Some(Command::Call {
                    id,
                    operation,
                    answer,
                }) => {
                    let place = self.answers.partition_point(|(other, _)| *other < id);
                    self.answers.insert(place, (id, answer));
                    self.link.engine.call(id, operation, now);
                }
                Some(Command::Cancel { id }) => {
                    self.take_answer(id);
                    self.link.engine.cancel(id);
                }
                Some(Command::Close) => self.link.engine.close(now),
                None => {
                    self.handles_gone = true;
                    self.link.engine.close(now);
                }
            }
        }
    }

    fn tell(&mut self) {
        while let Some(event) = self.link.engine.poll_event() {
            match event {
                Event::Finished { id, result } => {
                    if let Some(answer) = self.take_answer(id) {
                        // The caller may be gone; then nobody wants to know.
                        let _ = answer.send(result);
                    }
                }
                Event::State(state) => {
                    self.state.send_replace(state);
                }
            }
        }
    }

    fn take_answer(&mut self, id: u64) -> Option<Answer> {
        let place = self
            .answers
            .binary_search_by_key(&id, |(other, _)| *other)
            .ok()?;
        Some(self.answers.remove(place).1)
    }

    /// Ready if the engine's deadline has come.
    fn poll_sleep(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.link.engine.next_deadline() else {
            return Poll::Pending;
        };
        let clock = &self.clock;
        let (due, sleep) = self
            .sleep
            .get_or_insert_with(|| (deadline, clock.sleep_until(deadline)));
        if *due != deadline {
            // A sleep that is due too early costs one needless wake; making a new one for every
            // frame would cost more.
            if *due > deadline || Pin::new(&mut *sleep).poll(cx).is_ready() {
                *due = deadline;
                *sleep = clock.sleep_until(deadline);
            } else {
                return Poll::Pending;
            }
        }
        let ready = Pin::new(sleep).poll(cx).is_ready();
        if ready {
            self.sleep = None;
        }
        if ready {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}
