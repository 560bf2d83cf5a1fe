//! What travels: the golden vectors, the text of `SPEC.md`, and input that means harm.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy takes the functions beside the tests for production code"
)]

mod codec;
mod golden_vectors;
mod memory;
mod mutations;
mod spec;
mod types;
mod vectors;
