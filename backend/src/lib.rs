//! What the streamgate server asks of a backend, and what backends share.
//!
//! - [`backend`]: [`Backend`], the trait the server stands in front of.
//! - [`tail`]: following a stream: [`TailSource`], shared [`Segment`]s, gap detection, page size.
//! - [`reclaim`]: taking over entries that crashed consumers hold, step by step.
//! - [`consume`]: a group's entries as a stream, in this process.

pub mod backend;
pub mod consume;
pub mod reclaim;
pub mod tail;

pub use backend::{Backend, Progress};
pub use reclaim::step::{ReclaimStep, Reclaimed};
pub use tail::segment::Segment;
pub use tail::source::{TailEvent, TailSource};
