//! Whose turn it is: the client's, who sends, or its subscriptions', which push.

use std::future::poll_fn;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::session::poll_gate::Called;
use crate::session::subscriptions::{Pushed, Subscriptions};
use crate::socket::{Event, Socket};

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
    socket: Called,
    /// The socket had nothing when it was looked at last, and calls when it has.
    is_idle: bool,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self {
            pushes: 0,
            socket: Called::new(),
            is_idle: false,
        }
    }

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
        // A write that is under way calls whoever began it.
        let must = !self.is_idle || !may_read || socket.is_flushing();
        let mut looked = false;
        let event = self.socket.poll(cx, must, |cx| {
            looked = true;
            socket.poll_event(cx, may_read)
        });
        if looked {
            self.is_idle = may_read && event.is_pending();
        }
        event
    }
}
