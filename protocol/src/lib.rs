//! The shared language of streamgate: the traits of a backend, their errors, and the messages of
//! the WebSocket protocol.
//!
//! - [`traits`]: [`StreamingBackend`], the six operations on streams.
//! - [`subscribe`]: [`SubscribingBackend`], tails and consumers.
//! - [`pending`]: [`PendingEntries`], the operations on pending entries.
//! - [`perform_operation`]: [`PerformOperation`], for backends that take operations as data.
//! - [`entry`]: [`Entry`], a stream entry whose names and values are bytes.
//! - [`entry_operations`]: [`EntryOperations`], operations whose names and values are bytes.
//! - [`byte_string`]: [`ByteString`], names and values.
//! - [`entry_id`]: [`EntryId`], the parser and the order of entry ids.
//! - [`error`]: [`CacheError`], its [`ErrorKind`], and the [table of codes](error::CODES).
//! - [`message`]: the messages of the protocol.
//! - [`codec`]: the two encodings of messages, and frames.
//! - [`close`]: close codes, and whether a client reconnects after them.
//! - [`limits`]: the bounds that both sides keep.
//! - [`backoff`]: the pauses between attempts.
//!
//! The crate has no I/O, no clock and no runtime: it compiles for servers and browsers alike. The
//! normative text of the protocol is `SPEC.md` in this crate.
//!
//! # Features
//!
//! - `json` (default): the encoding `streamgate.v1.json`.
//! - `multi-tier-cache`: conversions for the crate of that name.
//!
//! # Public dependencies
//!
//! The public API names types of `futures-util` (`BoxFuture`, `BoxStream`); with the feature
//! `multi-tier-cache` also that crate's. Their major versions are part of this crate's.

pub mod backoff;
pub mod byte_string;
pub mod close;
pub mod codec;
pub mod entry;
pub mod entry_id;
pub mod entry_operations;
pub mod error;
pub mod limits;
pub mod message;
#[cfg(feature = "multi-tier-cache")]
pub mod multi_tier_cache;
pub mod pending;
pub mod perform_operation;
pub mod subscribe;
pub mod text;
mod text_operations;
pub mod traits;

pub use byte_string::{ByteString, Bytes};
pub use entry::Entry;
pub use entry_id::{EntryId, InvalidEntryId, StartId};
pub use entry_operations::EntryOperations;
pub use error::{CacheError, CacheResult, ErrorKind, Retry};
pub use message::{ClientMessage, Operation, Reply, ServerMessage};
pub use pending::{
    Claimed, ConsumerInfo, PendingEntries, PendingEntry, PendingQuery, PendingSummary,
};
pub use perform_operation::PerformOperation;
pub use subscribe::{
    ConsumeOptions, Deliveries, Gap, GapReason, Skipped, SubscribingBackend, Tail, TailFrom,
    TailItem,
};
pub use traits::{StreamEntry, StreamingBackend};
