//! Whose turn it is: the client's, who sends, or its subscriptions', which push.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite};

use super::subscriptions::{Pushed, Subscriptions};
use crate::server::socket::{Event, Socket};

/// Turns that subscriptions have before the socket is looked at first: a client that is pushed
/// without end is still heard.
const PUSHES_IN_A_ROW: usize = 4;

/// What a session turns to.
pub(super) enum Turn {
    Socket(Event),
    Push(Pushed),
}

/// Takes turns, so that neither a client that sends all the time nor subscriptions that push all
/// the time hold up the other.
pub(super) struct Turns {
    pushes: usize,
    call: Arc<Call>,
    /// Of the call.
    waker: Waker,
    /// The socket had nothing when it was looked at last, and calls when it has.
    is_idle: bool,
}

/// Whether the socket called. A look at it costs as much as all else that is done here for a push,
/// and a session is woken for pushes far more often than by a client that follows.
#[derive(Default)]
struct Call {
    came: AtomicBool,
    session: AtomicWaker,
}

impl Default for Turns {
    fn default() -> Self {
        let call = Arc::new(Call::default());
        Self {
            pushes: 0,
            waker: Waker::from(Arc::clone(&call)),
            call,
            is_idle: false,
        }
    }
}

impl Turns {
    /// Waits for the next event of the socket, frames among them only if `may_read`, or for what
    /// is to be pushed, if there is `room`.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub(super) async fn next<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        socket: &mut Socket<S>,
        subscriptions: &mut Subscriptions<'_>,
        may_read: bool,
        room: bool,
    ) -> Turn {
        let socket_first = self.pushes >= PUSHES_IN_A_ROW;
        let turn = poll_fn(|cx| {
            for look_at_socket in [socket_first, !socket_first] {
                let turn = if look_at_socket {
                    self.poll_socket(cx, socket, may_read).map(Turn::Socket)
                } else {
                    subscriptions.poll_next(cx, room).map(Turn::Push)
                };
                if turn.is_ready() {
                    return turn;
                }
            }
            // Both were looked at.
            self.pushes = 0;
            Poll::Pending
        });
        let turn = turn.await;
        self.pushes = match turn {
            Turn::Push(..) if !socket_first => self.pushes + 1,
            _ => 0,
        };
        turn
    }

    fn poll_socket<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        cx: &Context<'_>,
        socket: &mut Socket<S>,
        may_read: bool,
    ) -> Poll<Event> {
        // Before it is asked whether a call came, so that the next one wakes.
        self.call.session.register(cx.waker());
        // A write that is under way calls whoever began it.
        let is_idle = self.is_idle && may_read && !socket.is_flushing();
        if !self.call.came.swap(false, Ordering::AcqRel) && is_idle {
            return Poll::Pending;
        }
        let event = socket.poll_event(&mut Context::from_waker(&self.waker), may_read);
        self.is_idle = may_read && event.is_pending();
        event
    }
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.came.store(true, Ordering::Release);
        self.session.wake();
    }
}
