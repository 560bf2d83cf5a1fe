//! What a backend gets from the defaults of [`Backend`](streamgate_backend::Backend).

mod perform;
mod plain;
mod tails;
