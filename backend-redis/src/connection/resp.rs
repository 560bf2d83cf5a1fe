//! A connection that speaks RESP3, written and read here instead of by redis-rs.
//!
//! In redis-rs a command and an answer take several allocations each, the parser is made of
//! combinators, and every pipeline sets a timer, which is a system call: it spends as much on an
//! add as all the rest of this server. Operations come in batches and need none of that. redis-rs
//! parses URLs, and its values and errors are used here.
//!
//! `open` connects, `sign_in` signs in, `server_kind` looks at the server, `connection` sends, `driver` is the task that writes and
//! reads, `reader` parses, and `send_queue` is between the senders and the driver.

mod connection;
mod driver;
mod open;
pub(crate) mod reader;
mod send_queue;
mod server_kind;
mod sign_in;
mod unanswered_bytes;

pub(super) use connection::RespConnection;
pub(super) use open::{OpenError, OpenedConnection, connect_to};
pub(super) use send_queue::{Answers, PushError};
pub(super) use sign_in::{ClientId, ServerFacts, into_refusal, refusal_of};

#[cfg(test)]
mod tests;
