//! The traits of a socket and of a clock, for crates that bring a runtime.
//!
//! Nothing here has to be `Send`: JavaScript's objects are not.

use std::future::Future;
use std::task::{Context, Poll};

#[cfg(doc)]
use crate::engine::{Engine, TokenSource};
use crate::engine::{Millis, TokenError};

/// What happened to a socket.
#[derive(Debug)]
pub enum SocketEvent<P> {
    /// The socket is open.
    Opened {
        /// The subprotocol that the server chose; empty if it chose none.
        subprotocol: String,
    },
    /// A frame was received.
    Frame {
        /// The bytes of the frame.
        payload: P,
        /// Whether it is a text frame.
        is_text: bool,
    },
    /// The socket is closed, or could not be opened. It is the last event.
    Closed {
        /// The close code, or the HTTP status of a server that refused the connection; 1006 if
        /// neither was received.
        code: u16,
        /// The reason that came with the code, or what went wrong.
        reason: String,
        /// For how long the server wants no other connection, in milliseconds (`Retry-After`).
        retry_after_ms: u32,
    },
}

/// A WebSocket. Dropping it abandons it without waiting.
pub trait Socket {
    /// The bytes of a frame.
    type Payload: AsRef<[u8]>;

    /// Returns the next event. Not called again after [`SocketEvent::Closed`].
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<SocketEvent<Self::Payload>>;

    /// Ready if a frame can be sent. It also moves frames on that were sent before.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Sends a frame. Only called after [`poll_ready`](Self::poll_ready) returned ready. A failure
    /// shows as [`SocketEvent::Closed`].
    fn send(&mut self, frame: Vec<u8>, is_text: bool);

    /// Moves the frames that were sent to the network.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Begins to close; the end shows as [`SocketEvent::Closed`].
    fn close(&mut self, code: u16, reason: &str);
}

/// Opens sockets.
pub trait Connector {
    /// The sockets that it opens.
    type Socket: Socket;

    /// Begins to open a socket, with one subprotocol on offer.
    fn connect(&mut self, subprotocol: &'static str) -> Self::Socket;

    /// Asks the owner for a token. With `force`, one that it returned before does not do. If a call
    /// before it has no answer yet, it is given up: its answer, or its error, is dropped.
    ///
    /// Called only if the client's tokens are [`TokenSource::OnDemand`]. A driver may also take the
    /// request from here, and call [`Engine::handle_token`] by itself.
    fn request_token(&mut self, force: bool) {
        let _ = force;
    }

    /// Returns the answer to [`request_token`](Self::request_token), once.
    fn poll_token(&mut self, _cx: &mut Context<'_>) -> Poll<Result<String, TokenError>> {
        Poll::Pending
    }
}

/// A clock that never goes back.
pub trait Clock {
    /// A future that ends at a given time.
    type Sleep: Future<Output = ()> + Unpin;

    /// Returns the milliseconds since a moment of the clock's choice.
    fn now(&self) -> Millis;

    /// Waits until [`now`](Self::now) has reached this time.
    fn sleep_until(&self, deadline: Millis) -> Self::Sleep;
}
