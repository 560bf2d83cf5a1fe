//! Every message of the protocol, once, for both sides and both encodings.
//!
//! All enums are externally tagged and every variant is a record, so that JSON can ignore fields
//! it does not know and the binary encoding can decode them at all. A change to a type here is a
//! change to the protocol: see the rules for growth in `SPEC.md`.

use serde::{Deserialize, Serialize};

use crate::error::{CacheError, CacheResult};
use crate::text::Text;

mod credit;
mod operation;
mod reply;
mod subscription;
#[cfg(all(test, feature = "json"))]
mod vector_coverage;

pub use credit::{Account, Credit, entry_bytes};
pub use operation::Operation;
pub use reply::Reply;
pub use subscription::{Item, Subscription, TailStart};

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ClientMessage<'a> {
    /// Asks for an operation. Exactly one [`ServerMessage::Reply`] with the same id answers it,
    /// unless it is cancelled.
    Request {
        /// Chosen by the client; not that of another request in flight. At most 2^53 − 1.
        id: u64,
        /// What to do.
        #[serde(borrow)]
        operation: Operation<'a>,
    },
    /// Ends a request's wait, or a subscription. One that is over already, or was never made, is no
    /// error.
    Cancel {
        /// The id of the request or the subscription.
        id: u64,
    },
    /// Asks for a [`ServerMessage::Pong`].
    Ping {
        /// Comes back in the pong.
        nonce: u64,
    },
    /// Asks for entries as they come: [`ServerMessage::Push`]es with the same id, as far as there
    /// is credit, until it is cancelled or a [`ServerMessage::Reply`] says why it ends.
    Subscribe {
        /// As a request's.
        id: u64,
        /// To what.
        #[serde(borrow)]
        subscription: Subscription<'a>,
        /// What may be pushed before the first grant.
        credit: Credit,
    },
    /// Adds to a subscription's credit. One that is over, or was never made, is no error.
    Grant {
        /// The subscription's id.
        id: u64,
        /// How much more.
        credit: Credit,
    },
}

/// What a server sends.
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
        /// What came of it.
        outcome: Outcome,
    },
    /// Answers a [`ClientMessage::Ping`].
    Pong {
        /// The ping's nonce.
        nonce: u64,
    },
    /// Something of a subscription.
    Push {
        /// The subscription's id.
        id: u64,
        /// What.
        item: Item,
    },
    /// Where a read from `$` waits. Sent once, when it begins to wait, so that a client that loses
    /// its connection asks again from there.
    Position {
        /// The request's id.
        id: u64,
        /// What `$` stands for.
        last_id: String,
    },
    /// Whether the backend behind the server is there. Sent behind the welcome if it is away then,
    /// and whenever that changes.
    Backend {
        /// Why it is away; nothing when it is there.
        away: Option<Fault>,
    },
}

/// What the server is and grants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Name and version, for logs only.
    pub server: String,
    /// Requests that may be in flight at once.
    pub max_in_flight: u32,
    /// Largest frame in bytes that the server takes.
    pub max_frame_bytes: u32,
    /// Longest time in milliseconds between two frames of a client.
    pub heartbeat_ms: u32,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Ok(Reply),
    /// It failed.
    Error(Fault),
}

/// A request's failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Stable, for programs: see [`CODES`](crate::error::CODES).
    pub code: String,
    /// Free text, for people.
    pub message: String,
    /// `never`, `later` or `unknown`: what [`Retry`](crate::Retry) means, so that a client can
    /// act on a code it does not know.
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
