//! Servers and generators, each a process of its own, and the processor time and memory they use.

mod child_process;
mod machine;
mod proc_stats;
mod redis;
mod rounds;

pub(crate) use child_process::{EchoServer, Generator, TcpRelay, exit_with_stdin};
pub(crate) use machine::Machine;
pub(crate) use proc_stats::resident_kib;
pub(crate) use redis::Redis;
pub(crate) use rounds::{Sample, measure, rounds};

use std::path::PathBuf;

use streamgate_test_support::{Proxy, binary};

/// More sockets than any workload opens; the default suits a small machine.
const MAX_SOCKETS: &str = "20000";

/// About the time that Redis takes to answer a busy client.
const BUSY_POLL_US: &str = "50";

/// Starts an optimized proxy on Redis.
pub(crate) fn proxy(redis: &Redis) -> anyhow::Result<Proxy> {
    start(redis, &[])
}

/// Starts an optimized proxy that polls busily before it sleeps.
pub(crate) fn busy_polling_proxy(redis: &Redis) -> anyhow::Result<Proxy> {
    start(redis, &["--busy-poll-us", BUSY_POLL_US])
}

fn start(redis: &Redis, more: &[&str]) -> anyhow::Result<Proxy> {
    let url = redis.url();
    let arguments = [
        "--max-sockets",
        MAX_SOCKETS,
        // All clients have one address.
        "--max-sockets-per-address",
        MAX_SOCKETS,
        "--log",
        "warn",
        "--redis",
        &url,
    ];
    let arguments = arguments.iter().chain(more);
    Proxy::start_binary(&streamgate()?, arguments)
}

/// Returns the path of the server: `STREAMGATE_BIN`, else the one built beside this program.
fn streamgate() -> anyhow::Result<PathBuf> {
    if std::env::var_os("STREAMGATE_BIN").is_some() {
        return binary::streamgate();
    }
    let path = std::env::current_exe()?.with_file_name("streamgate");
    anyhow::ensure!(
        path.exists(),
        "{} is missing; run `cargo xtask bench`, which builds it",
        path.display()
    );
    Ok(path)
}
