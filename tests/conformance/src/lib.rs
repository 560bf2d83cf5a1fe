//! The list of cases that every implementor of
//! [`SubscribingBackend`](streamgate_protocol::SubscribingBackend) and
//! [`PendingEntries`](streamgate_protocol::PendingEntries), and so of
//! [`StreamingBackend`](streamgate_protocol::StreamingBackend), must pass, and what runs it.
//!
//! - [`cases`]: the cases, one file a topic, and the list of all of them.
//! - [`fixture`]: the arguments of a case.
//! - [`malformed_ids`]: texts that are not ids.
//! - [`reader`]: a tail as cases read it.
//! - [`run`]: runs cases against one implementor.
//! - [`implementors`]: the implementors, each with what it needs to be started.
//! - [`bridge`]: the same trait on top of the npm package, in a browser or an edge runtime.
//! - [`report`]: the table of results.
//!
//! The command `conformance` runs the cases against all implementors. It fails unless every
//! implementor ran and passed every case that applies to it.

// A case that is not in its file's list, like a file's list that is not in the list of all, is
// never used.
#![deny(dead_code)]

pub mod bridge;
pub mod cases;
pub mod fixture;
pub mod implementors;
pub mod malformed_ids;
pub mod reader;
pub mod report;
pub mod run;
