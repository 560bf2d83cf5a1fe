//! Fairness between reading and pushing: neither a client that sends without pause nor
//! subscriptions that push without pause hold up the other.

use std::future::poll_fn;
use std::task::{Context, Poll};

use streamgate_backend::turn;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::session::limits::MAX_CONSECUTIVE_PUSHES;
use crate::session::poll_gate::PollGate;
use crate::session::subscriptions::{ReadyItem, Subscriptions};
use crate::socket::{BYTES_PER_OPERATION, ServerSocket, SocketProgress};

/// Spends this turn for bytes that were encoded and sent.
pub(super) async fn spend_bytes(bytes: usize) {
    turn::pass(bytes / BYTES_PER_OPERATION).await;
}

/// What a session does next.
pub(super) enum ReadOrPush {
    Read(SocketProgress),
    Push(ReadyItem),
}

/// Alternates between the socket and the subscriptions.
pub(super) struct Fairness {
    consecutive_pushes: usize,
    socket_gate: PollGate,
    /// The socket had nothing at its last poll, and will call its waker.
    is_socket_idle: bool,
}

impl Fairness {
    pub(super) fn new() -> Self {
        Self {
            consecutive_pushes: 0,
            socket_gate: PollGate::new(),
            is_socket_idle: false,
        }
    }

    /// Polls the socket first the next time.
    pub(super) fn read_first(&mut self) {
        self.consecutive_pushes = MAX_CONSECUTIVE_PUSHES;
    }

    /// Waits for progress of the socket, with frames only if `may_read`; or for an item to push, if
    /// there is `room` for it.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: no frame and no item is lost.
    pub(super) async fn next<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        socket: &mut ServerSocket<S>,
        subscriptions: &mut Subscriptions<'_>,
        may_read: bool,
        room: bool,
    ) -> ReadOrPush {
        let socket_first = self.consecutive_pushes >= MAX_CONSECUTIVE_PUSHES;
        let next = poll_fn(|cx| {
            for poll_socket in [socket_first, !socket_first] {
                let next = if poll_socket {
                    self.poll_socket(cx, socket, may_read).map(ReadOrPush::Read)
                } else {
                    subscriptions.poll_next(cx, room).map(ReadOrPush::Push)
                };
                if next.is_ready() {
                    return next;
                }
            }
            if may_read {
                // Both were polled.
                self.consecutive_pushes = 0;
            }
            Poll::Pending
        });
        let next = next.await;
        self.consecutive_pushes = match next {
            ReadOrPush::Push(_) if !socket_first => self.consecutive_pushes + 1,
            // The socket was polled, and for frames too.
            _ if may_read => 0,
            _ => self.consecutive_pushes,
        };
        next
    }

    fn poll_socket<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        cx: &Context<'_>,
        socket: &mut ServerSocket<S>,
        may_read: bool,
    ) -> Poll<SocketProgress> {
        // A write under way wakes the task that began it, not the gate.
        let force = !self.is_socket_idle || !may_read || socket.is_flushing();
        let mut polled = false;
        let progress = self.socket_gate.poll(cx, force, |cx| {
            polled = true;
            socket.poll_progress(cx, may_read)
        });
        if polled {
            self.is_socket_idle = may_read && progress.is_pending();
        }
        progress
    }
}
