//! The messages of the protocol, for both sides and both encodings.
//!
//! All enums are externally tagged and every variant is a record, so that JSON can skip unknown
//! fields and the binary encoding can decode them at all. Whoever changes a type here changes the
//! protocol: see the rules for growth in `SPEC.md`.

use serde::{Deserialize, Serialize};

use crate::error::{CacheError, CacheResult};
use crate::text::Text;

mod credit;
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ClientMessage<'a> {
    /// Requests an operation. Unless it is cancelled, exactly one [`ServerMessage::Reply`] with the
    /// same id answers it.
    Request {
        /// Chosen by the client, at most 2^53 − 1. No other request in flight has it.
        id: u64,
        /// The operation.
        #[serde(borrow)]
        operation: Operation<'a>,
    },
    /// Ends a request's wait, or a subscription. The server ignores an id that is unknown or over.
    Cancel {
        /// The id of the request or the subscription.
        id: u64,
    },
    /// Requests a [`ServerMessage::Pong`].
    Ping {
        /// The server returns it in the pong.
        nonce: u64,
    },
    /// Begins a subscription. The server sends [`ServerMessage::Push`]es with the same id as far as
    /// the credit goes, until the client cancels it or a [`ServerMessage::Reply`] ends it with an
    /// error.
    Subscribe {
        /// Chosen as a request's.
        id: u64,
        /// The tail or the consumer.
        #[serde(borrow)]
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
}

/// A message from a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ServerMessage {
    /// The first message on a socket.
    Welcome(Welcome),
    /// Answers a request, or ends a subscription.
    Reply {
        /// The request's id.
        id: u64,
        /// The result.
        outcome: Outcome,
    },
    /// Answers a [`ClientMessage::Ping`].
    Pong {
        /// The ping's nonce.
        nonce: u64,
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
        away: Option<Fault>,
    },
}

/// What the server is, and the limits it grants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Name and version, for logs only.
    pub server: String,
    /// The largest number of requests in flight.
    pub max_in_flight: u32,
    /// The largest frame that the server accepts, in bytes.
    pub max_frame_bytes: u32,
    /// The longest time between two frames of a client, in milliseconds.
    pub heartbeat_ms: u32,
}

/// The result of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The operation succeeded.
    Ok(Reply),
    /// The operation failed.
    Error(Fault),
}

/// The error of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// A stable code, for programs: see [`CODES`](crate::error::CODES).
    pub code: String,
    /// Text for people.
    pub message: String,
    /// `never`, `later` or `unknown`, as in [`Retry`](crate::Retry), so that a client can act on a
    /// code that it does not know.
    pub retry: String,
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
            Outcome::Error(fault) => Err(CacheError::from_code(&fault.code, &fault.message)),
        }
    }
}

impl From<&CacheError> for Fault {
    fn from(error: &CacheError) -> Self {
        Self {
            code: error.code().to_owned(),
            message: error.message().to_owned(),
            retry: error.retry().as_str().to_owned(),
        }
    }
}
