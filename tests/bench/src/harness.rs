//! Servers and generators, each a process of its own, and the processor time and memory they use.

mod child_process;
mod interleaved_rounds;
mod machine;
mod proc_stats;
mod redis;

pub(crate) use child_process::{EchoServer, Generator, TcpRelay, exit_with_stdin};
pub(crate) use interleaved_rounds::{Sample, measure, rounds};
pub(crate) use machine::Machine;
pub(crate) use proc_stats::resident_kib;
pub(crate) use redis::Redis;

use std::path::PathBuf;

use streamgate_test_support::{Proxy, binary};
use tempfile::NamedTempFile;

/// More sockets than any workload opens; the default suits a small machine.
const MAX_SOCKETS: &str = "20000";

/// About the time that Redis takes to answer a busy client.
const BUSY_POLL_US: &str = "50";

/// A policy for the token of generators: the hash is that of [`TOKEN`](crate::generator::TOKEN). Its
/// rates are counted, and never reached.
const SETTINGS: &str = r#"
    [auth]
    [[auth.static_tokens]]
    subject = "generator"
    sha256 = "c6babe025f46fed077714dc021a75f99b07226ebd61c59623e9d9d87742a9ce6"
    roles = ["generator"]
    [roles.generator]
    rights = [
        { allow = ["read"], streams = ["public.*", "user:{sub}:*"] },
        { allow = ["add", "trim"], streams = ["orders", "bench:*"] },
        { allow = ["consume", "claim"], streams = ["jobs"], groups = ["workers"] },
    ]
    [limits]
    per_subject = { requests_per_s = 10000000, bytes_per_s = 10000000000 }
    per_socket = { requests_per_s = 10000000, bytes_per_s = 10000000000 }
"#;

/// Starts an optimized proxy on Redis.
pub(crate) fn proxy(redis: &Redis) -> anyhow::Result<Proxy> {
    start(redis, &[])
}

/// Starts an optimized proxy that polls busily before it sleeps.
pub(crate) fn busy_polling_proxy(redis: &Redis) -> anyhow::Result<Proxy> {
    start(redis, &["--busy-poll-us", BUSY_POLL_US])
}

/// Starts an optimized proxy whose clients need a token, and may add by the second of three rights.
/// Its settings file lasts as long as what is returned.
pub(crate) fn proxy_with_rights(redis: &Redis) -> anyhow::Result<(Proxy, NamedTempFile)> {
    let settings = NamedTempFile::new()?;
    std::fs::write(&settings, SETTINGS)?;
    let path = settings.path().display().to_string();
    Ok((start(redis, &["--config", &path])?, settings))
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
