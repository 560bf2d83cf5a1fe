//! A connection that speaks RESP2, written and read here instead of by redis-rs.
//!
//! In redis-rs a command and an answer take several allocations each, the parser is made of
//! combinators, and every pipeline sets a timer, which is a system call: it spends as much on an
//! add as all the rest of this server. Operations come in batches and need none of that. The hub
//! needs what Redis pushes (RESP3) and sends little, so it keeps to redis-rs, and so do URLs,
//! values and errors.
//!
//! `open` signs in, `connection` sends, `driver` is the task that writes and reads, `reader`
//! parses, and `send_queue` is between the senders and the driver.

mod connection;
mod driver;
mod open;
mod reader;
mod send_queue;

pub(super) use connection::RespConnection;
pub(super) use open::{OpenedConnection, into_refusal};
pub(super) use send_queue::Answers;

#[cfg(test)]
mod tests;
