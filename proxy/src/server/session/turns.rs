//! Whose turn it is: the client's, who sends, or its subscriptions', which push.

use std::future::poll_fn;
use std::task::Poll;

use streamgate_protocol::CacheResult;
use tokio::io::{AsyncRead, AsyncWrite};

use super::requests::Ticket;
use super::subscriptions::Subscriptions;
use crate::Followed;
use crate::server::socket::{Event, Socket};

/// What a session turns to.
pub(super) enum Turn {
    Socket(Event),
    Push(Ticket, CacheResult<Followed>),
}

/// Takes turns, so that neither a client that sends all the time nor subscriptions that push all
/// the time hold up the other.
#[derive(Default)]
pub(super) struct Turns {
    socket_was_first: bool,
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
        let socket_first = !self.socket_was_first;
        let turn = poll_fn(|cx| {
            for look_at_socket in [socket_first, !socket_first] {
                let turn = if look_at_socket {
                    socket.poll_event(cx, may_read).map(Turn::Socket)
                } else if room {
                    let next = subscriptions.poll_next(cx);
                    next.map(|(ticket, item)| Turn::Push(ticket, item))
                } else {
                    Poll::Pending
                };
                if turn.is_ready() {
                    return turn;
                }
            }
            Poll::Pending
        });
        let turn = turn.await;
        self.socket_was_first = matches!(turn, Turn::Socket(_));
        turn
    }
}
