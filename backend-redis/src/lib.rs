//! Redis Streams on Redis itself.
//!
//! [`RedisStreams`] implements [`StreamingBackend`](streamgate_protocol::StreamingBackend) and
//! [`Backend`](streamgate_backend::Backend), so it serves in process and behind the server.

mod connection;
mod hub;
mod operation;
mod redis_streams;
mod subscribe;
mod tail;
mod wire;

pub use connection::command_connection::PING_EVERY;
pub use connection::endpoint::RESPONSE_TIMEOUT;
pub use redis_streams::RedisStreams;
