//! The task that runs a link for [`Client`] handles.

mod reply_router;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use streamgate_protocol::message::{Credit, Subscription};
use tokio::sync::{mpsc, watch};

use crate::client::Client;
use crate::engine::{Config, ConnectionState, Engine, Event, Millis, NewRequest};
use crate::engine_io::EngineIo;
use crate::transport::{Clock, Connector};

use reply_router::ReplyRouter;
pub(crate) use reply_router::{Answer, Items};

/// A handle's wish.
#[derive(Debug)]
pub(crate) enum Command {
    Call {
        id: u64,
        call: NewRequest,
        answer: Answer,
    },
    Subscribe {
        id: u64,
        /// On the heap, for commands are as large as the largest.
        subscription: Box<Subscription<'static>>,
        items: Items,
    },
    /// One of a subscription's items was taken.
    Consumed {
        id: u64,
        taken: Credit,
    },
    /// The call's future, or the subscription's stream, was dropped.
    Cancel {
        id: u64,
    },
    Close,
}

/// A future that keeps a client's connection: spawn it on the runtime it was made for. It ends
/// when the client is closed, when its last handle is dropped, or when there is no sense in
/// another attempt.
pub struct Driver<C: Connector, K: Clock> {
    link: EngineIo<C>,
    clock: K,
    sleep: Option<(Millis, K::Sleep)>,
    /// Bounded by the calls that may be made at once, and by the credit of subscriptions: see
    /// `client::guard`.
    commands: mpsc::UnboundedReceiver<Command>,
    handles_gone: bool,
    answers: ReplyRouter,
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
        link: EngineIo::new(engine, connector),
        clock,
        sleep: None,
        commands,
        handles_gone: false,
        answers: ReplyRouter::default(),
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
                Some(Command::Call { id, call, answer }) => {
                    self.answers.expect(id, answer);
                    self.link.engine.call(id, call, now);
                }
                Some(Command::Subscribe {
                    id,
                    subscription,
                    items,
                }) => {
                    self.answers.expect_items(id, items);
                    self.link.engine.subscribe(id, *subscription, now);
                }
                Some(Command::Consumed { id, taken }) => self.link.engine.consumed(id, taken),
                Some(Command::Cancel { id }) => {
                    self.answers.forget(id);
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
                Event::Finished { id, result } => self.answers.finished(id, result),
                Event::Pushed { id, item } => self.answers.pushed(id, item),
                Event::State(state) => {
                    self.state.send_replace(state);
                }
            }
        }
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
