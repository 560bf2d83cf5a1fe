//! The trait a backend implements to be served by the streamgate server, and what backends share.
//!
//! - [`backend`]: [`Backend`], the trait that the server calls.
//! - [`progress`]: [`Progress`], how far an operation has come.
//! - [`perform_options`]: [`PerformOptions`], how a backend performs operations.
//! - [`cancellation`]: [`Cancellation`], whether the caller of an operation has gone.
//! - [`memory_budget`]: [`MemoryBudget`], the bound on memory for the whole process.
//! - [`tail`]: following a stream: [`TailSource`], shared [`Segment`]s, gap detection, page sizes.
//! - [`reclaim`]: reclaiming the pending entries of crashed consumers, in steps and on a schedule.
//! - [`idempotent_add`]: the errors of idempotent adds.
//! - [`error_details`]: what an error is about, as data.
//! - [`consume()`]: a group's entries as a stream, in this process.
//!
//! # Writing a backend
//!
//! 1. Implement [`StreamingBackend`](streamgate_protocol::StreamingBackend). If your backend takes
//!    operations as data, implement
//!    [`PerformOperation`](streamgate_protocol::PerformOperation) instead, which implies it.
//! 2. Add `impl Backend for Mine {}`. The server can serve it now: every method of [`Backend`] has
//!    a default in terms of the six operations.
//! 3. Override what your backend does better: [`perform`](Backend::perform) to batch,
//!    [`tail_source`](Backend::tail_source) to push instead of poll,
//!    [`pending_entries`](Backend::pending_entries) and [`reclaim`](Backend::reclaim) to serve
//!    pending entries, [`availability`](Backend::availability) to report outages.
//!
//! Types of these crates appear in this API: `streamgate-protocol`, `futures-util` (`BoxFuture`),
//! and `tokio` (`watch::Receiver` in [`Backend::availability`]).

pub mod backend;
pub mod cancellation;
pub mod consume;
pub mod counters;
mod default_perform;
pub mod entry_memory;
pub mod error_details;
pub mod idempotent_add;
pub mod memory_budget;
pub mod perform_options;
pub mod progress;
pub mod reclaim;
pub mod tail;
pub mod turn;

pub use backend::Backend;
pub use cancellation::{CancelOnDrop, Cancellation};
pub use consume::consume;
pub use counters::BackendCounters;
pub use memory_budget::MemoryBudget;
pub use perform_options::PerformOptions;
pub use progress::Progress;
pub use reclaim::step::{ReclaimStep, Reclaimed};
pub use tail::segment::Segment;
pub use tail::source::{TailEvent, TailSource};
