//! The native runtime: sockets and a clock on tokio.

mod builder;
mod clock;
mod identity;
mod socket;

pub use builder::Builder;
