//! The defaults of [`Backend`](streamgate_backend::Backend).

#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod perform;
mod six_operations;
mod tails;
