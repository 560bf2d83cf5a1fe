//! What comes out of an engine.

use streamgate_protocol::message::{Item, Outcome};

use super::connection_state::ConnectionState;

/// What a driver must do with its socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketAction {
    /// Open a socket, then call [`Engine::handle_opened`](super::Engine::handle_opened) or
    /// [`Engine::handle_closed`](super::Engine::handle_closed).
    Connect,
    /// Close the socket, then call [`Engine::handle_closed`](super::Engine::handle_closed).
    Close {
        /// A code of [`streamgate_protocol::close`].
        code: u16,
        /// At most 123 bytes.
        reason: &'static str,
    },
    /// Ask the owner for a token, then call
    /// [`Engine::handle_token`](super::Engine::handle_token). If a request before it has no answer
    /// yet, that answer must not reach the engine any more.
    RequestToken {
        /// The token that the owner returned last was refused, or is about to end: it must return
        /// another one.
        force: bool,
    },
    /// Drop the socket without waiting. The engine expects no answer.
    Abandon,
}

/// What a driver must report to the owner of a request, a subscription or the client.
#[derive(Debug, PartialEq, Eq)]
pub enum EngineEvent {
    /// A request or a subscription is over.
    Finished {
        /// The id that the owner gave it.
        id: u64,
        /// The outcome. A subscription ends with an error, unless its owner closes the client.
        outcome: Outcome,
    },
    /// A subscription received an item. Once its owner takes the item, the driver calls
    /// [`Engine::consumed`](super::Engine::consumed).
    Pushed {
        /// The subscription's id.
        id: u64,
        /// A consumer receives entries only. A tail's item without entries has a position.
        item: Item,
    },
    /// The connection's state changed.
    StateChanged(ConnectionState),
}
