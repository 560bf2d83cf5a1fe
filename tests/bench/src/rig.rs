//! Servers and generators, each a process of its own, and what the system says of them.

mod child;
mod machine;
mod process;
mod redis;
mod rounds;

pub(crate) use child::{Echo, Generator, end_with_input};
pub(crate) use machine::Machine;
pub(crate) use process::resident_kib;
pub(crate) use redis::Redis;
pub(crate) use rounds::{Sample, measure, rounds};

use std::path::PathBuf;

use streamgate_test_support::{Proxy, binary};

/// More sockets than any workload opens; the default is for a small machine.
const MAX_SOCKETS: &str = "20000";

/// As long as Redis takes to answer a busy client, and not much longer.
const BUSY_POLL_US: &str = "50";

/// The optimized proxy, on Redis.
pub(crate) fn proxy(redis: &Redis) -> anyhow::Result<Proxy> {
    start(redis, &[])
}

/// The same, looking for what comes next for a while before it sleeps.
pub(crate) fn busy_polling_proxy(redis: &Redis) -> anyhow::Result<Proxy> {
    start(redis, &["--busy-poll-us", BUSY_POLL_US])
}

fn start(redis: &Redis, more: &[&str]) -> anyhow::Result<Proxy> {
    let url = redis.url();
    let arguments = [
        "--max-sockets",
        MAX_SOCKETS,
        "--log",
        "warn",
        "--redis",
        &url,
    ];
    let arguments = arguments.iter().chain(more);
    Proxy::start_binary(&streamgate()?, arguments)
}

/// The server built with the same profile as this program, if none is named.
fn streamgate() -> anyhow::Result<PathBuf> {
    if std::env::var_os("STREAMGATE_BIN").is_some() {
        return binary::streamgate();
    }
    let beside = std::env::current_exe()?.with_file_name("streamgate");
    anyhow::ensure!(
        beside.exists(),
        "{} is missing: `cargo xtask bench` builds it",
        beside.display()
    );
    Ok(beside)
}
