//! The subscriptions of one socket.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_util::stream::{FuturesUnordered, StreamExt};
use streamgate_protocol::CacheResult;
use streamgate_protocol::message::{Account, Credit, Subscription};

use crate::session::backpressure::{Asking, Load};
use crate::session::consumer_source::Source;
use crate::session::in_flight::Ticket;
use streamgate_backend::{Backend, TailEvent};

/// Items of one socket that are taken from their sources in one go, so that many small ones share
/// a frame.
const MAX_READY: usize = 64;

/// Bytes of entries above which no further item is taken in the same go, so that what is taken and
/// cannot be sent yet stays little.
const MAX_READY_BYTES: u64 = 256 * 1024;

/// Whatever is to be pushed on a socket, of all its subscriptions.
#[derive(Default)]
pub(super) struct Subscriptions<'b> {
    running: FuturesUnordered<Running<'b>>,
    ready: Ready,
    load: Load,
}

/// The way to a subscription that runs.
#[derive(Clone)]
pub(super) struct Subscriber<'b> {
    ticket: Ticket,
    state: Arc<Mutex<State<'b>>>,
    ready: Ready,
}

/// What a source gave. An error ends its subscription.
pub(super) struct Pushed {
    pub(super) ticket: Ticket,
    pub(super) item: CacheResult<TailEvent>,
}

/// What sources gave and was not pushed yet.
#[derive(Clone, Default)]
struct Ready(Arc<Mutex<Taken>>);

#[derive(Default)]
struct Taken {
    items: VecDeque<Pushed>,
    bytes: u64,
    /// The socket takes more.
    room: bool,
    /// Subscriptions that would have had more, had there been room.
    starved: Vec<Waker>,
    /// Counts how often they were called.
    calls: u64,
}

struct State<'b> {
    /// Absent once it is over.
    source: Option<Source<'b>>,
    account: Account,
    /// Until a tail's first item is there.
    asking: Option<Asking>,
    /// The call of those that are starved that it is listed for.
    starved: Option<u64>,
    waker: Option<Waker>,
}

/// A subscription until its end. It moves what its source gives to what is ready.
struct Running<'b>(Subscriber<'b>);

impl<'b> Subscriptions<'b> {
    /// Opens a subscription. It asks nothing of the backend before it is begun.
    ///
    /// # Errors
    ///
    /// It is not a valid one.
    pub(super) fn open(
        &mut self,
        ticket: Ticket,
        backend: &'b dyn Backend,
        subscription: Subscription<'_>,
        credit: Credit,
    ) -> CacheResult<Subscriber<'b>> {
        let source = Source::open(backend, subscription, &self.load)?;
        let asking = matches!(source, Source::Tail(_)).then(|| self.load.ask());
        let state = State {
            source: Some(source),
            account: Account::new(credit),
            asking,
            starved: None,
            waker: None,
        };
        let subscriber = Subscriber {
            ticket,
            state: Arc::new(Mutex::new(state)),
            ready: self.ready.clone(),
        };
        self.running.push(Running(subscriber.clone()));
        Ok(subscriber)
    }

    /// Begins a subscription that was opened: what it asks of the backend is asked when this
    /// returns.
    pub(super) fn begin(&mut self, subscriber: &Subscriber<'b>, cx: &mut Context<'_>) {
        let mut state = subscriber.lock();
        let room = state.account.left();
        // Whatever waits to be pushed already: or what is asked for behind it would come before it.
        if let Poll::Ready(Some(item)) = state.poll(cx, room) {
            let ticket = subscriber.ticket;
            self.ready.lock().push(Pushed { ticket, item });
        }
    }

    /// What is to be pushed next, if there is `room` for it. What is asked of the backend goes on
    /// without room too, for others may have to wait for its end.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>, room: bool) -> Poll<Pushed> {
        let starved = {
            let mut ready = self.ready.lock();
            ready.room = room;
            if !room {
                Vec::new()
            } else if let Some(pushed) = ready.pop() {
                return Poll::Ready(pushed);
            } else {
                ready.calls += 1;
                std::mem::take(&mut ready.starved)
            }
        };
        starved.into_iter().for_each(Waker::wake);
        // One that ends is gone from the set; the others are called when there is more.
        while let Poll::Ready(Some(())) = self.running.poll_next_unpin(cx) {}
        match room.then(|| self.ready.lock().pop()).flatten() {
            Some(pushed) => Poll::Ready(pushed),
            None => Poll::Pending,
        }
    }

    /// How many there are, with those that ended and were not looked at since.
    pub(super) fn len(&self) -> usize {
        self.running.len()
    }

    /// Answers of the backend that are on their way.
    pub(super) fn asking(&self) -> usize {
        self.load.asking()
    }
}

impl Subscriber<'_> {
    /// Adds to what may be pushed.
    pub(super) fn grant(&self, more: Credit) {
        let mut state = self.lock();
        let was_used_up = state.account.left().is_used_up();
        state.account.grant(more);
        if was_used_up {
            state.wake();
        }
    }

    /// Ends it before this returns: what is performed next finds nobody waiting, and nothing more of
    /// it is pushed.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        (state.source, state.asking) = (None, None);
        state.wake();
        self.ready.lock().forget(self.ticket);
    }
}

impl<'b> Subscriber<'b> {
    fn lock(&self) -> MutexGuard<'_, State<'b>> {
        // One task has the subscription and its handle; a panic takes both with it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ready {
    fn lock(&self) -> MutexGuard<'_, Taken> {
        // As for a subscription.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn has_room(&self) -> bool {
        self.room && self.items.len() < MAX_READY && self.bytes < MAX_READY_BYTES
    }

    fn push(&mut self, pushed: Pushed) {
        self.bytes += pushed.bytes();
        self.items.push_back(pushed);
    }

    fn pop(&mut self) -> Option<Pushed> {
        let pushed = self.items.pop_front()?;
        self.bytes -= pushed.bytes();
        Some(pushed)
    }

    fn forget(&mut self, ticket: Ticket) {
        let bytes = &mut self.bytes;
        self.items.retain(|pushed| {
            let stays = pushed.ticket != ticket;
            *bytes -= if stays { 0 } else { pushed.bytes() };
            stays
        });
    }
}

impl Pushed {
    fn bytes(&self) -> u64 {
        match &self.item {
            Ok(TailEvent::Segment(segment)) => segment.cost().bytes,
            Ok(TailEvent::Gap(_)) | Err(_) => 0,
        }
    }
}

impl State<'_> {
    /// The next item, as far as there is room; none once it is over.
    fn poll(&mut self, cx: &mut Context<'_>, room: Credit) -> Poll<Option<CacheResult<TailEvent>>> {
        let Some(source) = &mut self.source else {
            return Poll::Ready(None);
        };
        let item = source.poll_next(cx, room);
        match &item {
            Poll::Pending => match &mut self.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                waker => *waker = Some(cx.waker().clone()),
            },
            Poll::Ready(Ok(followed)) => {
                self.asking = None;
                if let TailEvent::Segment(segment) = followed {
                    self.account.use_up(segment.cost());
                }
            }
            Poll::Ready(Err(_)) => (self.source, self.asking) = (None, None),
        }
        item.map(Some)
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Future for Running<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let subscriber = &self.0;
        let mut state = subscriber.lock();
        loop {
            let room = {
                let mut ready = subscriber.ready.lock();
                if ready.has_room() {
                    state.account.left()
                } else {
                    // Once for each call, which may find that others have taken the room.
                    let next_call = Some(ready.calls);
                    if std::mem::replace(&mut state.starved, next_call) != next_call {
                        ready.starved.push(cx.waker().clone());
                    }
                    Credit::default()
                }
            };
            match std::task::ready!(state.poll(cx, room)) {
                Some(item) => subscriber.ready.lock().push(Pushed {
                    ticket: subscriber.ticket,
                    item,
                }),
                None => return Poll::Ready(()),
            }
        }
    }
}
