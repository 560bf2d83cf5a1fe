//! What tests need beside the crates: child processes and a TCP relay.
//!
//! - [`RedisServer`], [`Proxy`], and for the benchmark [`NatsServer`]: each is a child process on a
//!   port of its own on loopback. It ends when its value is dropped, also when the test panics.
//!   Starting one blocks until it is ready. A missing binary is an error that says how to get it,
//!   never a skipped test.
//! - [`SentinelDeployment`]: a master, a replica and Sentinels.
//! - [`LoadBalancer`]: nginx or HAProxy before two servers.
//! - [`Relay`]: a TCP relay that injects faults when a test tells it to.
//! - [`Authority`]: issues certificates for TLS.
//! - [`sequence`]: the sequence tests of the protocol, read from their files.

pub mod authority;
pub mod binary;
pub mod load_balancer;
pub mod nats;
mod process;
pub mod proxy;
pub mod redis;
pub mod relay;
pub mod sentinel_deployment;
pub mod sequence;

pub use authority::{Authority, TlsIdentity};
pub use load_balancer::{Balancer, LoadBalancer};
pub use nats::NatsServer;
pub use proxy::Proxy;
pub use redis::{RedisServer, RedisVersion};
pub use relay::Relay;
pub use sentinel_deployment::SentinelDeployment;
