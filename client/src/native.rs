//! The native runtime: sockets and a clock on tokio.

mod builder;
mod clock;
mod socket;

pub use builder::Builder;
