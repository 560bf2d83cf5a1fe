//! The other processes that a test needs: [`RedisServer`], [`Proxy`], and for the
//! measurements [`NatsServer`].
//!
//! Each is a child of the test's own, on loopback and on a port of its own, and ends when its
//! value is dropped, also when the test panics. Starting one blocks until it says that it is
//! ready. A binary that is missing is an error that says how to get it, never a skipped test.
//!
//! And what is between them: [`Relay`], a TCP connection that fails when a test says so.

pub mod binary;
pub mod nats;
mod process;
pub mod proxy;
pub mod redis;
pub mod relay;

pub use nats::NatsServer;
pub use proxy::Proxy;
pub use redis::{RedisServer, RedisVersion};
pub use relay::Relay;
