//! Redis Streams over a WebSocket.
//!
//! - [`RedisStreams`] and [`MemoryStreams`] implement
//!   [`StreamingBackend`](streamgate_protocol::StreamingBackend) in this process, with or without
//!   the server.
//! - `server` (the feature of that name, on by default) stands in front of any [`Backend`].

pub mod backend;
mod consume;
mod continuity;
mod entry_id;
pub mod follow;
pub mod memory;
mod pace;
pub mod redis;
mod rounds;
pub mod segment;
#[cfg(feature = "server")]
pub mod server;
pub mod take_over;

pub use self::redis::RedisStreams;
pub use backend::{Backend, Progress};
pub use follow::{Follow, Followed};
pub use memory::MemoryStreams;
pub use segment::Segment;
