//! The machine, and the versions of the servers.

use std::fs;

use serde::Serialize;
use streamgate_test_support::{NatsServer, RedisVersion};

use super::Redis;

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) processors: usize,
    pub(crate) kernel: String,
    pub(crate) streamgate: &'static str,
    pub(crate) redis: String,
    pub(crate) nats: String,
}

impl Machine {
    /// Starts each server once to ask for its version. So a missing server fails the run at once.
    pub(crate) fn inspect(redis: RedisVersion) -> anyhow::Result<Self> {
        let redis = Redis::start(redis)?;
        let nats = NatsServer::start()?;
        Ok(Self {
            processor: processor(),
            processors: std::thread::available_parallelism()?.get(),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?
                .trim()
                .to_owned(),
            streamgate: env!("CARGO_PKG_VERSION"),
            redis: redis.version()?,
            nats: nats.version().to_owned(),
        })
    }

    /// Describes the machine in one line.
    pub(crate) fn summary(&self) -> String {
        let Self {
            processor,
            processors,
            kernel,
            streamgate,
            redis,
            nats,
        } = self;
        format!(
            "streamgate {streamgate}, Redis {redis}, NATS {nats}; {processors} x {processor}, Linux {kernel}"
        )
    }
}

/// Returns the processor's name, or its architecture if the system knows no name.
fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map(|line| line.trim_start_matches([' ', '\t', ':']).to_owned());
    name.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}
