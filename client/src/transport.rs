//! What drivers ask of a socket and of a clock, and the link between those and an engine.
//!
//! These traits are for the crates that bring a runtime; an application has no need of them.
//! Nothing here has to be `Send`: where JavaScript's objects are involved, nothing is.

use std::future::Future;
use std::task::{Context, Poll};

use crate::engine::Millis;

/// What happened to a socket.
#[derive(Debug)]
pub enum SocketEvent<P> {
    /// It is open, with the subprotocol that the server chose.
    Opened {
        /// Empty if the server chose none.
        subprotocol: String,
    },
    /// A frame came in.
    Frame {
        /// Its bytes.
        payload: P,
        /// Whether it is a text frame.
        is_text: bool,
    },
    /// It is closed, or could not be opened. Nothing happens after that.
    Closed {
        /// The close code; 1006 where none was received.
        code: u16,
        /// The reason beside it, or what went wrong.
        reason: String,
    },
}

/// A WebSocket. Dropping it abandons it without waiting for anything.
pub trait Socket {
    /// A frame's bytes.
    type Payload: AsRef<[u8]>;

    /// What happened next. Not called again after [`SocketEvent::Closed`].
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<SocketEvent<Self::Payload>>;

    /// Whether a frame can be sent; it also moves frames on that were sent before.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Sends a frame. Only called after [`poll_ready`](Self::poll_ready) said so. A failure shows
    /// as [`SocketEvent::Closed`].
    fn send(&mut self, frame: Vec<u8>, is_text: bool);

    /// Moves what was sent to the network.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Begins to close; the end shows as [`SocketEvent::Closed`].
    fn close(&mut self, code: u16, reason: &str);
}

/// Opens sockets.
pub trait Connector {
    /// What it opens.
    type Socket: Socket;

    /// Begins to open a socket with one subprotocol on offer.
    fn connect(&mut self, subprotocol: &'static str) -> Self::Socket;
}

/// A clock that never goes back.
pub trait Clock {
    /// A wait for a time to come.
    type Sleep: Future<Output = ()> + Unpin;

    /// Milliseconds since a moment of the clock's choice.
    fn now(&self) -> Millis;

    /// Waits until [`now`](Self::now) has reached this time.
    fn sleep_until(&self, deadline: Millis) -> Self::Sleep;
}
