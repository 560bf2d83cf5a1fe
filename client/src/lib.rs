//! Redis Streams over a WebSocket.
//!
//! [`Client`] implements [`StreamingBackend`] on a streamgate server somewhere else:
//!
//! ```no_run
//! use streamgate_client::{Client, StreamingBackend};
//!
//! # async fn example() -> streamgate_client::CacheResult<()> {
//! let client = Client::connect("ws://127.0.0.1:8080/v1/ws").await?;
//! let id = client.stream_add("orders", vec![("item".into(), "tea".into())], Some(1000)).await?;
//! let newest = client.stream_read_latest("orders", 10).await?;
//! assert_eq!(newest[0].0, id);
//! # Ok(())
//! # }
//! ```
//!
//! Entries also come by themselves: see [`SubscribingBackend`].
//!
//! ```no_run
//! use futures_util::StreamExt;
//! use streamgate_client::{Client, SubscribingBackend, TailFrom, TailItem};
//!
//! # async fn example(client: Client) -> streamgate_client::CacheResult<()> {
//! let mut tail = client.tail("orders", TailFrom::Now);
//! while let Some(item) = tail.next().await {
//!     match item? {
//!         TailItem::Entries { entries, position } => println!("{} up to {position}", entries.len()),
//!         TailItem::Gap(gap) => println!("what came after {} was trimmed", gap.after),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The parts, from the inside out:
//!
//! - [`engine`]: every decision, as a state machine without I/O and without a clock.
//! - [`transport`]: what the engine's drivers ask of a socket and of a clock, and
//!   [`EngineIo`](transport::EngineIo), which moves bytes between the two.
//! - [`driver`]: the task that runs a link for [`Client`] handles.
//! - `native` (the feature of that name, on by default): sockets and clock on tokio.

pub mod client;
pub mod driver;
pub mod engine;
pub mod engine_io;
#[cfg(feature = "native")]
pub mod native;
pub mod transport;

pub use client::{Client, ReadBatch};
pub use engine::ConnectionState;
#[cfg(feature = "native")]
pub use native::Builder;
pub use streamgate_protocol::codec::Encoding;
pub use streamgate_protocol::{
    CacheError, CacheResult, Claimed, ConsumeOptions, ConsumerGroups, Deliveries, Gap,
    PendingEntry, PendingQuery, PendingSummary, Retry, StreamEntry, StreamingBackend,
    SubscribingBackend, Tail, TailFrom, TailItem,
};
