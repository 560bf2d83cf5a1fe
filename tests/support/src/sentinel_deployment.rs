//! A master, a replica and Sentinels, as child processes.

use std::cell::Cell;

use anyhow::Context;

use crate::redis::{RedisServer, RedisVersion};

/// The name under which the Sentinels watch the master.
pub const MASTER_NAME: &str = "orders";

/// How many Sentinels there are. Two have to agree.
const SENTINELS: usize = 3;

/// What a replica logs when it has its master's data.
const SYNCHRONIZED: &str = "Finished with success";

/// Two servers, of which the first begins as the master, and three Sentinels that know all others.
#[derive(Debug)]
pub struct SentinelDeployment {
    /// The first master, and its replica.
    pub servers: [RedisServer; 2],
    /// Each knows the others.
    pub sentinels: Vec<RedisServer>,
}

impl SentinelDeployment {
    /// Starts everything, and waits until a failover is possible. It begins a second after a master
    /// has gone.
    ///
    /// # Errors
    ///
    /// As for [`RedisServer::start`].
    pub fn start(version: RedisVersion) -> anyhow::Result<Self> {
        Self::start_with(version, "")
    }

    /// As [`start`](Self::start), with further lines for the files of the Sentinels.
    ///
    /// # Errors
    ///
    /// As for [`RedisServer::start`].
    pub fn start_with(version: RedisVersion, lines: &str) -> anyhow::Result<Self> {
        // Without the wait for more replicas.
        let at_once = ["--repl-diskless-sync-delay", "0"];
        let master = RedisServer::start_with(version, &at_once)?;
        let port = master.port().to_string();
        let replica_of = [&at_once[..], &["--replicaof", "127.0.0.1", &port]].concat();
        let mut replica = RedisServer::start_with(version, &replica_of)?;
        replica.wait_for_line(|line| line.contains(SYNCHRONIZED))?;
        let file = format!(
            "sentinel monitor {MASTER_NAME} 127.0.0.1 {port} 2\n\
             sentinel down-after-milliseconds {MASTER_NAME} 1000\n\
             sentinel failover-timeout {MASTER_NAME} 10000\n\
             {lines}\n"
        );
        let sentinels = (0..SENTINELS).map(|_| RedisServer::start_sentinel(version, &file));
        let mut sentinels = sentinels.collect::<anyhow::Result<Vec<_>>>()?;
        for sentinel in &mut sentinels {
            let missing = Cell::new(SENTINELS);
            sentinel
                .wait_for_line(|line| {
                    // One replica, and the other Sentinels.
                    let is_new = line.contains(" +slave ") || line.contains(" +sentinel ");
                    missing.set(missing.get() - usize::from(is_new));
                    missing.get() == 0
                })
                .context("a Sentinel does not find the others")?;
        }
        Ok(Self {
            servers: [master, replica],
            sentinels,
        })
    }

    /// Returns the URL that names all Sentinels.
    pub fn url(&self) -> String {
        let address = |it: &RedisServer| format!("127.0.0.1:{}", it.port());
        let addresses: Vec<_> = self.sentinels.iter().map(address).collect();
        format!("redis+sentinel://{}/{MASTER_NAME}", addresses.join(","))
    }
}
