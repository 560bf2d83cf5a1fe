//! The native runtime: sockets and a clock on tokio.

mod builder;
mod client_id;
mod clock;
mod socket;
#[cfg(feature = "tls")]
mod tls;

pub use builder::Builder;
