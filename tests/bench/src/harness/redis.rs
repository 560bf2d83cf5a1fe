//! A Redis server, and what it reports about itself.

use std::net::Ipv4Addr;

use anyhow::Context;
use redis::Connection;
use streamgate_test_support::{RedisServer, RedisVersion};

use crate::generator::{READ_FROM, READABLE};

/// More than any workload opens; Redis's default is 10,000.
const MAX_CLIENTS: &str = "15000";

pub(crate) struct Redis(RedisServer);

impl Redis {
    pub(crate) fn start(version: RedisVersion) -> anyhow::Result<Self> {
        RedisServer::start_with(version, &["--maxclients", MAX_CLIENTS]).map(Self)
    }

    pub(crate) fn url(&self) -> String {
        self.0.url()
    }

    /// Returns its address, such as `127.0.0.1:6379`.
    pub(crate) fn address(&self) -> String {
        format!("{}:{}", Ipv4Addr::LOCALHOST, self.0.port())
    }

    pub(crate) fn pid(&self) -> anyhow::Result<u32> {
        self.0.pid().context("Redis is down")
    }

    /// Returns the version, such as `7.0.15`.
    pub(crate) fn version(&self) -> anyhow::Result<String> {
        let info = self.info("server")?;
        let version = info.lines().find_map(|l| l.strip_prefix("redis_version:"));
        Ok(version.context("INFO has no redis_version")?.to_owned())
    }

    /// Returns its processor time in seconds, exact to a microsecond. `/proc` counts hundredths of
    /// a second, too coarse for a server that does little.
    pub(crate) fn cpu(&self) -> anyhow::Result<f64> {
        let info = self.info("cpu")?;
        let of = |name: &str| -> anyhow::Result<f64> {
            let value = info.lines().find_map(|line| line.strip_prefix(name));
            Ok(value.context("INFO has no CPU time")?.parse()?)
        };
        Ok(of("used_cpu_user:")? + of("used_cpu_sys:")?)
    }

    /// Returns the number of open connections, without this one.
    pub(crate) fn connections(&self) -> anyhow::Result<f64> {
        let list: String = redis::cmd("CLIENT")
            .arg("LIST")
            .query(&mut self.connect()?)?;
        Ok((list.lines().count() - 1) as f64)
    }

    /// Returns how often a command was called.
    pub(crate) fn calls(&self, command: &str) -> anyhow::Result<f64> {
        let info = self.info("commandstats")?;
        let start = format!("cmdstat_{command}:calls=");
        let number = info.lines().find_map(|line| line.strip_prefix(&start));
        // A command that was never called is not listed.
        let number = number.and_then(|n| n.split(',').next()).unwrap_or("0");
        Ok(number.parse()?)
    }

    /// Fills the stream that the workload of reads reads.
    pub(crate) fn fill(&self) -> anyhow::Result<()> {
        let mut pipe = redis::pipe();
        for number in 1..=READABLE {
            pipe.cmd("XADD").arg(READ_FROM).arg(format!("{number}-0"));
            pipe.arg("f").arg("v".repeat(100)).ignore();
        }
        Ok(pipe.query(&mut self.connect()?)?)
    }

    fn info(&self, section: &str) -> anyhow::Result<String> {
        Ok(redis::cmd("INFO")
            .arg(section)
            .query(&mut self.connect()?)?)
    }

    fn connect(&self) -> anyhow::Result<Connection> {
        Ok(redis::Client::open(self.url())?.get_connection()?)
    }
}
