//! Redis servers as child processes.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::Context;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::authority::{Authority, TlsIdentity};
use crate::binary;
use crate::process::Process;

/// Ports below the range of outgoing connections on Linux (32768 and up), so that no client's
/// connection can take the port of a server that is about to restart.
const PORTS: std::ops::Range<u16> = 16_384..32_000;

/// What a server logs when it has loaded its data.
const READY: &str = "Ready to accept connections";

/// What a sentinel logs when it listens.
const SENTINEL_READY: &str = "Sentinel ID is";

/// What a server logs when it listens, before it has loaded its data.
const LISTENING: &str = "Server initialized";

/// Most ports to try: another test may take a port between the check and the start.
const ATTEMPTS: usize = 16;

/// The servers that streamgate is tested on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedisVersion {
    /// Debian 12's, the oldest that is supported. `STREAMGATE_REDIS_7`, or
    /// `tools/redis-7.0/redis-server` in the target folder, or `redis-server` on `PATH`.
    V7_0,
    /// The newest. `STREAMGATE_REDIS_8`, or `tools/redis-8.2/redis-server` in the target folder.
    V8_2,
    /// Valkey 9. `STREAMGATE_VALKEY`, or `tools/valkey-9.1/valkey-server` in the target folder.
    Valkey9,
}

/// Flags with which Redis keeps every acknowledged write when it is killed.
const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

/// A running Redis, on a free port of loopback, without persistence unless it is
/// [durable](RedisServer::start_durable).
#[derive(Debug)]
pub struct RedisServer {
    /// `None` between [`kill`](Self::kill) and [`restart`](Self::restart).
    process: Option<Process>,
    binary: PathBuf,
    config: Vec<String>,
    port: u16,
    folder: TempDir,
    kind: Kind,
    /// The file with which a sentinel starts.
    sentinel_file: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    /// Speaks TLS on its port.
    Tls,
    Sentinel,
}

impl RedisVersion {
    /// Both versions of Redis.
    pub const ALL: [Self; 2] = [Self::V7_0, Self::V8_2];

    fn binary(self) -> anyhow::Result<PathBuf> {
        const REMEDY: &str = "cargo xtask setup";
        match self {
            Self::V7_0 => {
                let set_up = binary::target_folder().join("tools/redis-7.0/redis-server");
                let default = if set_up.is_file() {
                    set_up
                } else {
                    "redis-server".into()
                };
                binary::find("STREAMGATE_REDIS_7", &default, REMEDY)
            }
            Self::V8_2 => {
                let default = binary::target_folder().join("tools/redis-8.2/redis-server");
                binary::find("STREAMGATE_REDIS_8", &default, REMEDY)
            }
            Self::Valkey9 => {
                let default = binary::target_folder().join("tools/valkey-9.1/valkey-server");
                binary::find("STREAMGATE_VALKEY", &default, REMEDY)
            }
        }
    }
}

impl RedisServer {
    /// Starts a server and waits until it accepts connections.
    ///
    /// # Errors
    ///
    /// The binary is missing (the message names `cargo xtask setup`), or the server ends instead
    /// of starting.
    pub fn start(version: RedisVersion) -> anyhow::Result<Self> {
        Self::start_with(version, &[])
    }

    /// As [`start`](Self::start), with further arguments, such as
    /// `["--stream-node-max-entries", "1"]`.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    pub fn start_with(version: RedisVersion, config: &[&str]) -> anyhow::Result<Self> {
        Self::start_in(version, new_folder()?, config, Kind::Plain)
    }

    /// Starts a server that speaks TLS on its port, with a certificate for 127.0.0.1. Its clients
    /// there may need a certificate of the same authority. Its [socket](Self::socket_url) is for
    /// everybody, without TLS.
    ///
    /// Of the builds that the tests have, that of [`V7_0`](RedisVersion::V7_0) alone has TLS.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    pub fn start_tls(
        authority: &Authority,
        requires_client_certificate: bool,
    ) -> anyhow::Result<Self> {
        let identity = authority.issue(&["127.0.0.1"])?;
        Self::start_tls_as(authority, &identity, requires_client_certificate)
    }

    /// As [`start_tls`](Self::start_tls), with a certificate of the caller's.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    pub fn start_tls_as(
        authority: &Authority,
        identity: &TlsIdentity,
        requires_client_certificate: bool,
    ) -> anyhow::Result<Self> {
        let folder = new_folder()?;
        let write = |name: &str, pem: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, pem)?;
            anyhow::Ok(path.to_string_lossy().into_owned())
        };
        let certificate = write("cert.pem", &identity.certificate)?;
        let key = write("key.pem", &identity.key)?;
        let ca = write("ca.pem", &authority.certificate())?;
        let config = [
            "--tls-cert-file",
            &certificate,
            "--tls-key-file",
            &key,
            "--tls-ca-cert-file",
            &ca,
            "--tls-auth-clients",
            if requires_client_certificate {
                "yes"
            } else {
                "no"
            },
        ];
        Self::start_in(RedisVersion::V7_0, folder, &config, Kind::Tls)
    }

    /// Starts a sentinel with these lines as its file, such as `sentinel monitor NAME HOST PORT 2`.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    pub fn start_sentinel(version: RedisVersion, file: &str) -> anyhow::Result<Self> {
        let server = Self::new(version, new_folder()?, &[], Kind::Sentinel)?;
        let sentinel_file = file.to_owned();
        Self {
            sentinel_file,
            ..server
        }
        .started()
    }

    fn start_in(
        version: RedisVersion,
        folder: TempDir,
        config: &[&str],
        kind: Kind,
    ) -> anyhow::Result<Self> {
        Self::new(version, folder, config, kind)?.started()
    }

    fn new(
        version: RedisVersion,
        folder: TempDir,
        config: &[&str],
        kind: Kind,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            process: None,
            binary: version.binary()?,
            config: config.iter().map(|&arg| arg.to_owned()).collect(),
            port: 0,
            folder,
            kind,
            sentinel_file: String::new(),
        })
    }

    fn started(mut self) -> anyhow::Result<Self> {
        let mut outcome = Ok(());
        for _ in 0..ATTEMPTS {
            self.port = free_port()?;
            outcome = self.spawn(match self.kind {
                Kind::Sentinel => SENTINEL_READY,
                Kind::Plain | Kind::Tls => READY,
            });
            if outcome.is_ok() {
                break;
            }
        }
        outcome.map(|()| self)
    }

    /// As [`start`](Self::start), but acknowledged writes survive [`kill`](Self::kill) and
    /// [`restart`](Self::restart): each is on disk before Redis answers.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    pub fn start_durable(version: RedisVersion) -> anyhow::Result<Self> {
        Self::start_durable_with(version, &[])
    }

    /// As [`start_durable`](Self::start_durable), with further arguments.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    pub fn start_durable_with(version: RedisVersion, config: &[&str]) -> anyhow::Result<Self> {
        Self::start_with(version, &[&DURABLE[..], config].concat())
    }

    /// Returns `redis://127.0.0.1:PORT`, or `rediss://` if it speaks TLS there.
    pub fn url(&self) -> String {
        let scheme = match self.kind {
            Kind::Tls => "rediss",
            Kind::Plain | Kind::Sentinel => "redis",
        };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// Returns `unix://PATH`, the URL of its Unix socket.
    pub fn socket_url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the process's id; `None` while the server is down.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Stops the process (`SIGSTOP`): its connections stay open, and it answers nothing.
    ///
    /// # Errors
    ///
    /// The server is down.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.running()?.signal(Signal::STOP)
    }

    /// Continues the process (`SIGCONT`).
    ///
    /// # Errors
    ///
    /// The server is down.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.running()?.signal(Signal::CONT)
    }

    /// Kills the server (`SIGKILL`). Only a durable server keeps all its data; another one keeps
    /// that of its last `SAVE`.
    ///
    /// # Errors
    ///
    /// It cannot be waited for.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        match self.process.take() {
            Some(mut process) => process.kill().map(drop),
            None => Ok(()),
        }
    }

    /// Restarts the server on the same port: with all acknowledged writes if it is durable,
    /// otherwise with the data of its last `SAVE`, if any.
    ///
    /// # Errors
    ///
    /// The server ends instead of starting.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.kill()?;
        self.spawn(READY)
    }

    /// As [`restart`](Self::restart), but does not wait until the data is loaded: the server
    /// listens and answers `LOADING`.
    ///
    /// # Errors
    ///
    /// As for [`restart`](Self::restart).
    pub fn restart_loading(&mut self) -> anyhow::Result<()> {
        self.kill()?;
        self.spawn(LISTENING)
    }

    /// Waits until the server logs a line for which `wanted` returns true. Each line is looked at
    /// once.
    ///
    /// # Errors
    ///
    /// The server is down, ends, or does not log it.
    pub fn wait_for_line(&mut self, wanted: impl Fn(&str) -> bool) -> anyhow::Result<()> {
        let process = self.process.as_mut();
        let process = process.context("this Redis server is down")?;
        process.wait_for(|line| wanted(line).then_some(()))
    }

    fn running(&self) -> anyhow::Result<&Process> {
        self.process.as_ref().context("this Redis server is down")
    }

    fn spawn(&mut self, started: &str) -> anyhow::Result<()> {
        let mut command = Command::new(&self.binary);
        let port = self.port.to_string();
        if self.kind == Kind::Sentinel {
            // The file has to be the first argument. A sentinel writes to it.
            let file = self.folder.path().join("sentinel.conf");
            std::fs::write(&file, &self.sentinel_file)?;
            command.arg(file).arg("--sentinel");
        }
        match self.kind {
            Kind::Tls => command.args(["--port", "0", "--tls-port", &port]),
            Kind::Plain | Kind::Sentinel => command.args(["--port", &port]),
        };
        command
            .args(["--bind", "127.0.0.1", "--unixsocket"])
            .arg(self.socket())
            .args([
                "--save",
                "",
                "--appendonly",
                "no",
                "--daemonize",
                "no",
                "--logfile",
                "",
            ])
            .arg("--dir")
            .arg(self.folder.path())
            .args(&self.config);
        let mut process = Process::spawn(&mut command)?;
        process
            .wait_for(|line| line.contains(started).then_some(()))
            .with_context(|| format!("Redis did not start on port {}", self.port))?;
        self.process = Some(process);
        Ok(())
    }
}

fn new_folder() -> std::io::Result<TempDir> {
    tempfile::Builder::new()
        .prefix("streamgate-redis-")
        .tempdir()
}

/// Returns a port on which nobody listens now. Each process begins at another port, so that
/// parallel tests seldom try the same one.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    static TRIED: AtomicU16 = AtomicU16::new(0);
    let first = std::process::id().wrapping_mul(97);
    for _ in PORTS {
        let step = u32::from(TRIED.fetch_add(1, Ordering::Relaxed));
        let offset = first.wrapping_add(step) % u32::from(PORTS.end - PORTS.start);
        let port = PORTS.start + u16::try_from(offset)?;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    anyhow::bail!("no port of {PORTS:?} is free")
}
