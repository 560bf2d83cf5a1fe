//! The messages of the protocol, for both sides and both encodings.
//!
//! `codec/types.rs` lists how each type travels. Whoever changes a type here changes the protocol:
//! see the rules for growth in `SPEC.md`.

use std::time::Duration;

use crate::error::{CacheError, CacheResult, Retry, split_retry_after};
use crate::limits::MAX_CLIENT_ID_BYTES;
use crate::text::{Text, is_base64url};

mod credit;
mod debug;
mod operation;
mod reply;
mod subscription;
#[cfg(test)]
#[cfg(feature = "json")]
mod vector_coverage;

pub use credit::{Account, Credit, entry_bytes};
pub use operation::Operation;
pub use reply::Reply;
pub use subscription::{Item, Subscription, TailStart};

/// A message from a client.
///
/// `Debug` writes no token.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientMessage<'a> {
    /// The first message on a socket: what the client is.
    Hello(Hello<'a>),
    /// Requests an operation. Unless it is cancelled, exactly one [`ServerMessage::Reply`] with the
    /// same id answers it.
    Request {
        /// Chosen by the client, at most 2^53 − 1. No other request in flight has it.
        id: u64,
        /// The operation.
        operation: Operation<'a>,
    },
    /// Ends a request's wait, or a subscription. The server ignores an id that is unknown or over.
    Cancel {
        /// The id of the request or the subscription.
        id: u64,
    },
    /// Begins a subscription. The server sends [`ServerMessage::Push`]es with the same id as far as
    /// the credit goes, until the client cancels it or a [`ServerMessage::Reply`] ends it with an
    /// error.
    Subscribe {
        /// Chosen as a request's.
        id: u64,
        /// The tail or the consumer.
        subscription: Subscription<'a>,
        /// The credit before the first grant.
        credit: Credit,
    },
    /// Adds to a subscription's credit. The server ignores an id that is unknown or over.
    Grant {
        /// The subscription's id.
        id: u64,
        /// The additional credit.
        credit: Credit,
    },
    /// Requests a [`ServerMessage::Pong`].
    Ping {
        /// The server returns it in the pong.
        nonce: u64,
    },
    /// Answers a [`ServerMessage::Ping`].
    Pong {
        /// The ping's nonce.
        nonce: u64,
    },
    /// Presents a new token for the same subject. A [`ServerMessage::Auth`] answers it; a server
    /// without authentication ignores it.
    Authenticate {
        /// The token.
        token: Text<'a>,
    },
}

/// A message from a server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerMessage {
    /// The first message on a socket, after the client's [`ClientMessage::Hello`].
    Welcome(Welcome),
    /// Answers a request, or ends a subscription.
    Reply {
        /// The request's id.
        id: u64,
        /// The result.
        outcome: Outcome,
    },
    /// An item of a subscription.
    Push {
        /// The subscription's id.
        id: u64,
        /// The item.
        item: Item,
    },
    /// The id that `$` stands for in a read that waits. Sent once, when the wait begins, so that a
    /// client that loses its connection can read again from there.
    Position {
        /// The request's id.
        id: u64,
        /// The id.
        last_id: String,
    },
    /// The availability of the server's backend. Sent after the welcome if the backend is
    /// unavailable, and then whenever that changes.
    Backend {
        /// The error that made it unavailable, or `None` while it is available.
        unavailable: Option<Fault>,
    },
    /// Requests a [`ClientMessage::Pong`].
    Ping {
        /// The client returns it in the pong.
        nonce: u64,
    },
    /// Answers a [`ClientMessage::Ping`].
    Pong {
        /// The ping's nonce.
        nonce: u64,
    },
    /// Answers a [`ClientMessage::Authenticate`]. Also sent when the server changes its mind about
    /// the token, for example because it is revoked.
    Auth {
        /// Who the client is now, and for how long; `None` if it is anonymous.
        identity: Option<Identity>,
        /// Why the new token was refused. The one before it stays in use.
        refused: Option<Fault>,
    },
}

/// What a client is, and what it can take.
///
/// `Debug` writes no token.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hello<'a> {
    /// The client's name for its whole life: see [`is_client_id`].
    pub client: Text<'a>,
    /// The largest frame that the client accepts, in bytes: at least
    /// [`MIN_CLIENT_FRAME_BYTES`](crate::limits::MIN_CLIENT_FRAME_BYTES).
    pub max_frame_bytes: u32,
    /// The optional features that the client knows. Version 1 has none.
    pub features: Vec<Text<'a>>,
    /// The token that proves the client's identity. A server without authentication ignores it.
    pub token: Option<Text<'a>>,
}

/// What the server is, and the limits it grants.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Welcome {
    /// Name and version, for logs only.
    pub server: String,
    /// The optional features that the server knows. Version 1 has none.
    pub features: Vec<String>,
    /// The largest number of requests in flight.
    pub max_in_flight: u32,
    /// The largest frame that the server accepts, in bytes.
    pub max_frame_bytes: u32,
    /// The longest time between two frames of a client, in milliseconds.
    pub heartbeat_ms: u32,
    /// Who the client is; `None` if it is anonymous.
    pub identity: Option<Identity>,
}

/// Whom the server takes a client for, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// The subject of the token.
    pub subject: String,
    /// The time in milliseconds after which the client should present a new token.
    pub renew_after_ms: Option<u64>,
    /// The time in milliseconds after which the server closes the socket, unless the token is
    /// renewed.
    pub expires_after_ms: Option<u64>,
}

impl Identity {
    /// Builds the identity of a subject whose token does not expire.
    pub fn new(subject: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            renew_after_ms: None,
            expires_after_ms: None,
        }
    }
}

/// The result of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The operation succeeded.
    Ok(Reply),
    /// The operation failed.
    Error(Fault),
}

/// The error of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// A stable code, for programs: see [`CODES`](crate::error::CODES).
    pub code: String,
    /// Text for people.
    pub message: String,
    /// `never`, `later` or `unknown`, as in [`Retry`], so that a client can act on a
    /// code that it does not know.
    pub retry: String,
    /// The shortest pause in milliseconds before the same request may succeed.
    pub retry_after_ms: Option<u64>,
    /// The id of the entry that the fault is about.
    pub entry: Option<String>,
    /// Of `OUT_OF_ORDER`: the greatest number that is stored of the producer; 0 for none.
    pub last_number: Option<u64>,
}

impl<'a> Hello<'a> {
    /// Builds the hello of a client without features and token.
    pub fn new(client: impl Into<Text<'a>>, max_frame_bytes: u32) -> Self {
        Self {
            client: client.into(),
            max_frame_bytes,
            features: Vec::new(),
            token: None,
        }
    }
}

impl Fault {
    /// Builds a fault without further parts.
    pub fn new(code: impl Into<String>, message: impl Into<String>, retry: Retry) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            retry: retry.as_str().to_owned(),
            retry_after_ms: None,
            entry: None,
            last_number: None,
        }
    }
}

impl Welcome {
    /// Builds the welcome of a server without features, for an anonymous client. No limit may be 0.
    pub fn new(
        server: impl Into<String>,
        max_in_flight: u32,
        max_frame_bytes: u32,
        heartbeat_ms: u32,
    ) -> Self {
        Self {
            server: server.into(),
            features: Vec::new(),
            max_in_flight,
            max_frame_bytes,
            heartbeat_ms,
            identity: None,
        }
    }
}

/// Returns whether a text is a valid [client id](Hello::client): 1 to [`MAX_CLIENT_ID_BYTES`]
/// characters of `A-Z`, `a-z`, `0-9`, `_` and `-`.
pub fn is_client_id(text: &str) -> bool {
    is_base64url(text, MAX_CLIENT_ID_BYTES)
}

impl From<CacheResult<Reply>> for Outcome {
    fn from(result: CacheResult<Reply>) -> Self {
        match result {
            Ok(reply) => Self::Ok(reply),
            Err(error) => Self::Error(Fault::from(&error)),
        }
    }
}

impl From<Outcome> for CacheResult<Reply> {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Ok(reply) => Ok(reply),
            Outcome::Error(fault) => Err(CacheError::from(&fault)),
        }
    }
}

impl From<&CacheError> for Fault {
    fn from(error: &CacheError) -> Self {
        let (message, retry_after_ms) = split_retry_after(error.message());
        Self {
            retry_after_ms,
            ..Self::new(error.code(), message, error.retry())
        }
    }
}

impl From<&Fault> for CacheError {
    fn from(fault: &Fault) -> Self {
        let error = Self::from_code(&fault.code, &fault.message);
        match fault.retry_after_ms {
            Some(ms) => error.with_retry_after(Duration::from_millis(ms)),
            None => error,
        }
    }
}
