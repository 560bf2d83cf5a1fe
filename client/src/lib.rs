//! Redis Streams over a WebSocket.
//!
//! [`Client`] implements [`StreamingBackend`] with the help of a streamgate server:
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
//! The server can also push entries as they are added: see [`SubscribingBackend`].
//!
//! ```no_run
//! use futures_util::StreamExt;
//! use streamgate_client::{Client, SubscribingBackend, TailFrom, TailItem};
//!
//! # async fn example(client: Client) -> streamgate_client::CacheResult<()> {
//! let mut tail = client.tail("orders", TailFrom::Now);
//! while let Some(item) = tail.next().await {
//!     match item? {
//!         TailItem::Entries { entries, position } => {
//!             println!("{} up to {position}", entries.len());
//!         }
//!         TailItem::Gap(gap) => println!("entries after {} were trimmed", gap.after),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Tokens
//!
//! A server may require a token. `Builder::token_source` takes a function that the client calls
//! before each attempt to connect, and before a token ends; `Builder::token` takes one token for the
//! client's life. A new token is presented on the open connection, and nothing is interrupted. If a
//! server refuses a token, the client asks once more, and continues with another one; if there is
//! none, it stops with `NOAUTH`. A request that a token does not permit fails with `NOPERM`.
//!
//! ```no_run
//! # #[cfg(feature = "native")]
//! # async fn example() -> streamgate_client::CacheResult<()> {
//! use streamgate_client::Client;
//!
//! # async fn fetch_token(_: bool) -> streamgate_client::CacheResult<String> { Ok(String::new()) }
//! let client = Client::builder("ws://127.0.0.1:8080/v1/ws")
//!     .token_source(|request| fetch_token(request.force))
//!     .connect()
//!     .await?;
//! # drop(client);
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! - `native` (default): [`Client::connect`] and [`Builder`], on tokio.
//! - `tracing` (default): spans and events of the crate `tracing`.
//! - `json`: the encoding `streamgate.v1.json` beside the binary one; part of `native`.
//! - `multi-tier-cache`: [`Client`] also implements that crate's `StreamingBackend`.
//!
//! Types of these crates appear in this API: `streamgate-protocol`, `futures-util` (`BoxFuture` and
//! streams), and with the feature of that name `multi-tier-cache`.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod client;
mod command;
mod driver;
mod engine;
mod engine_io;
#[doc(hidden)]
pub mod internals;
#[cfg(feature = "native")]
mod native;
mod telemetry;
mod token_requests;
mod transport;

pub use client::{Client, ReadBatch};
pub use engine::{ClientConfig, ConnectionState, TokenSource};
#[cfg(feature = "native")]
pub use native::Builder;
pub use streamgate_protocol::codec::Encoding;
pub use streamgate_protocol::{
    ByteString, Bytes, CacheError, CacheResult, Claimed, ConsumeOptions, Deliveries, Entry,
    EntryId, EntryOperations, ErrorKind, Gap, PendingEntries, PendingEntry, PendingQuery,
    PendingSummary, Retry, StreamEntry, StreamingBackend, SubscribingBackend, Tail, TailFrom,
    TailItem,
};
pub use token_requests::TokenRequest;
