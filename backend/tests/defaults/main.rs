//! The defaults of [`Backend`](streamgate_backend::Backend).

mod perform;
mod six_operations;
mod tails;
