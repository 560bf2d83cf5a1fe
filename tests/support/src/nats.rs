//! A `nats-server` as a child process, for the benchmark.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use tempfile::TempDir;

use crate::binary;
use crate::process::Process;

/// What the server logs before its version.
const VERSION: &str = "Version:";

/// What it logs later, before the address of its WebSocket.
const LISTENING: &str = "Listening for websocket clients on ";

/// A running NATS server with JetStream and a WebSocket on a free port of loopback.
#[derive(Debug)]
pub struct NatsServer {
    process: Process,
    version: String,
    ws_url: String,
    _folder: TempDir,
}

impl NatsServer {
    /// Starts a server and waits until it accepts connections.
    ///
    /// # Errors
    ///
    /// The binary is missing (the message says how to get it), or the server ends instead of
    /// starting.
    pub fn start() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("streamgate-nats-")
            .tempdir()?;
        let config = folder.path().join("nats.conf");
        fs::write(&config, configuration(&folder.path().join("jetstream")))?;
        let mut process = Process::spawn(Command::new(binary()?).arg("--config").arg(&config))?;
        let mut after = |words| {
            process
                .wait_for(|line| Some(line.split_once(words)?.1.trim().to_owned()))
                .context("nats-server did not start")
        };
        let (version, ws_url) = (after(VERSION)?, after(LISTENING)?);
        process.wait_for(|line| line.contains("Server is ready").then_some(()))?;
        Ok(Self {
            process,
            version,
            ws_url,
            _folder: folder,
        })
    }

    /// Returns `ws://127.0.0.1:PORT`.
    pub fn ws_url(&self) -> &str {
        &self.ws_url
    }

    /// Returns the version, such as `2.9.10`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Returns the process's id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }
}

/// Returns `STREAMGATE_NATS`, or the binary that `cargo xtask setup --for bench` installed, or
/// `nats-server` on `PATH`.
fn binary() -> anyhow::Result<PathBuf> {
    let fetched = binary::target_folder().join("tools/nats/usr/sbin/nats-server");
    let default = if fetched.is_file() {
        fetched
    } else {
        "nats-server".into()
    };
    let remedy = "cargo xtask setup --for bench";
    binary::find("STREAMGATE_NATS", &default, remedy)
}

/// Logs to standard output, from where the ports are read; `-1` takes a free one.
fn configuration(store: &Path) -> String {
    format!(
        "listen: \"127.0.0.1:-1\"\n\
         log_file: \"/dev/stdout\"\n\
         jetstream {{ store_dir: \"{}\", max_memory_store: 1073741824 }}\n\
         websocket {{ listen: \"127.0.0.1:-1\", no_tls: true }}\n",
        store.display()
    )
}
