//! Redis Streams in this process's memory.
//!
//! [`MemoryStreams`] implements [`StreamingBackend`](streamgate_protocol::StreamingBackend) and
//! [`Backend`](streamgate_backend::Backend), so it serves in process and behind the server.

mod budget;
mod errors;
mod group;
mod memory_streams;
mod store;
mod stream;
mod tail;
mod tail_queues;
#[cfg(test)]
mod tests;
mod wait;

pub use budget::{DEFAULT_CAPACITY_BYTES, MAX_PENDING_BYTES, MAX_WAITING_BYTES};
pub use memory_streams::MemoryStreams;
