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

/// The optimized proxy, on Redis.
pub(crate) fn proxy(redis: &Redis) -> anyhow::Result<Proxy> {
    let arguments = ["--max-sockets", MAX_SOCKETS, "--log", "warn"];
    let redis = ["--redis".to_owned(), redis.url()];
    let arguments = arguments.map(str::to_owned).into_iter().chain(redis);
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
