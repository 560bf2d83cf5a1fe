//! The arguments of the command, their environment variables, and their help.
//!
//! Each default of a server setting is a constant of `config.rs`; the defaults that only the
//! command has are here.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Parser, Subcommand, value_parser};
use ipnet::IpNet;
use streamgate::{
    Config, DEFAULT_BUSY_POLL, DEFAULT_DRAIN_PERIOD, DEFAULT_FRAME_BYTES,
    DEFAULT_HANDSHAKE_TIMEOUT, DEFAULT_HEARTBEAT_MS, DEFAULT_MAX_HANDSHAKES,
    DEFAULT_MAX_HANDSHAKES_PER_ADDRESS, DEFAULT_REQUESTS_IN_FLIGHT, DEFAULT_WRITE_TIMEOUT,
    MAX_BUSY_POLL, MAX_CONNECTIONS, MAX_PERIOD, MIN_HEARTBEAT_MS, MIN_MEMORY_BYTES, OriginError,
    Origins,
};
use streamgate_backend::MemoryBudget;
use streamgate_memory::DEFAULT_CAPACITY_BYTES;
use streamgate_protocol::limits::{MIN_FRAME_BYTES, MIN_REQUESTS_IN_FLIGHT};
use streamgate_redis::without_secrets;

use super::CommandError;
use super::token::TokenCommand;

/// Flags of which one alone can be given: each says where the streams are.
pub(super) const EXCLUSIVE: [&str; 3] = ["redis", "redis_file", "memory_bytes"];

/// Flags whose values in the settings file are read again while the server runs.
pub(super) const RELOADED: [&str; 3] = ["allowed_origins", "allowed_hosts", "public_origin"];

/// Default of `--listen`: reachable from this machine only.
const DEFAULT_LISTEN: &str = "127.0.0.1:8080";

/// Default of `--log`.
const DEFAULT_LOG: &str = "info";

/// Longest time that a flag may have.
const MAX_PERIOD_MS: u64 = MAX_PERIOD.as_millis() as u64;

/// Longest `--busy-poll-us`.
const MAX_BUSY_POLL_US: u64 = MAX_BUSY_POLL.as_micros() as u64;

/// Most `--threads`: more would serve nobody faster, and each takes memory.
const MAX_THREADS: usize = 1024;

/// Redis Streams for browsers, edge workers and native programs, over a WebSocket.
#[derive(Debug, Parser)]
#[command(name = "streamgate", version, arg_required_else_help = true)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serve streams from Redis, or from the memory of this process
    ///
    /// Clients connect to ws://HOST:PORT/v1/ws, or to wss:// with TLS. `/healthz` answers `ok` while
    /// the server runs. `/readyz` answers `ready`, or 503 while the server shuts down or Redis is
    /// unavailable. Once it listens, the server prints one line to stdout: `streamgate listening on
    /// http://HOST:PORT (…)`, or https:// with TLS. It logs to stderr. On SIGTERM or Ctrl-C it
    /// closes all sockets within `--drain-ms` and exits; on a second signal it exits at once.
    Serve(Box<ServeArgs>),

    /// Check a settings file, and show who may do what
    ///
    /// Reads it, the files that it names and the environment as `serve` does, and starts nothing.
    /// Exit code 2 if something is invalid.
    Check(ConfigArgs),

    /// Mint, inspect and hash tokens, for development
    #[command(subcommand)]
    Token(TokenCommand),
}

#[derive(Debug, clap::Args)]
pub(super) struct ConfigArgs {
    /// The settings file
    #[arg(long, env = "STREAMGATE_CONFIG", value_name = "FILE")]
    pub(super) config: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct ServeArgs {
    /// Settings file (TOML): the flags with underscores, and who may do what
    ///
    /// A flag overrides its environment variable, which overrides the file. If the file or one that
    /// it names changes, and on SIGHUP, the server reads [auth], [roles] and the files of [tls]
    /// again. `streamgate check` shows what is wrong with a file.
    #[arg(long, env = "STREAMGATE_CONFIG", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,

    /// Address and port to listen on; port 0 takes a free port
    #[arg(
        long,
        env = "STREAMGATE_LISTEN",
        value_name = "HOST:PORT",
        default_value = DEFAULT_LISTEN
    )]
    pub(super) listen: String,

    /// Address and port of the admin listener, or `off` [default: 127.0.0.1:9464, unless it is
    /// taken]
    ///
    /// It has no authentication. `/metrics` is for Prometheus. `/healthz` and `/readyz` are as on
    /// the public listener; `/readyz` has its reasons as JSON.
    #[arg(long, env = "STREAMGATE_ADMIN_LISTEN", value_name = "HOST:PORT")]
    pub(super) admin_listen: Option<String>,

    /// Host name by which the admin listener may be asked, beside addresses, localhost and the host of
    /// --admin-listen; may be repeated
    ///
    /// Any other Host gets HTTP 421, so that no web page can read /metrics through a browser. In the
    /// environment, commas separate them.
    #[arg(
        long,
        env = "STREAMGATE_ADMIN_HOST",
        value_name = "NAME",
        value_delimiter = ','
    )]
    admin_host: Vec<String>,

    /// URL of the Redis that stores the streams; without it, streams are in memory and end with the
    /// process
    ///
    /// For example redis://127.0.0.1:6379, or redis://user:password@host:6379/0. rediss:// is with
    /// TLS; unix:///run/redis.sock?user=…&pass=…&db=… is a Unix socket;
    /// redis+sentinel://host,host/name is the master of Sentinels. Needs Redis 7.0 or newer.
    #[arg(
        long,
        env = "STREAMGATE_REDIS",
        value_name = "URL",
        hide_env_values = true
    )]
    pub(super) redis: Option<RedisUrl>,

    /// File with the URL of the Redis, so that its password is in no list of processes
    #[arg(
        long,
        env = "STREAMGATE_REDIS_FILE",
        value_name = "FILE",
        conflicts_with = "redis"
    )]
    pub(super) redis_file: Option<PathBuf>,

    /// Certificates in PEM of the authorities that Redis's certificate must come from [default: those
    /// that the system trusts]
    ///
    /// The server reads this file and the next two for each connection to Redis.
    #[arg(long, env = "STREAMGATE_REDIS_CA", value_name = "FILE")]
    pub(super) redis_ca: Option<PathBuf>,

    /// Client certificate in PEM for Redis, if it requires one
    #[arg(long, env = "STREAMGATE_REDIS_CERTIFICATE", value_name = "FILE")]
    pub(super) redis_certificate: Option<PathBuf>,

    /// Private key of --redis-certificate in PEM
    #[arg(long, env = "STREAMGATE_REDIS_KEY", value_name = "FILE")]
    pub(super) redis_key: Option<PathBuf>,

    /// Capacity in bytes for streams in memory; adds and new groups beyond it fail with OOM
    #[arg(
        long, env = "STREAMGATE_MEMORY_BYTES", value_name = "N",
        default_value_t = DEFAULT_CAPACITY_BYTES, conflicts_with_all = ["redis", "redis_file"]
    )]
    pub(super) memory_bytes: usize,

    /// Folder to serve at `/` [default: the folder `www` next to the executable or its folder, if
    /// there is one]
    #[arg(long, env = "STREAMGATE_WWW", value_name = "DIR")]
    pub(super) www: Option<PathBuf>,

    /// Origin whose pages may use this server, such as https://app.example.com, beside pages of the
    /// server itself; may be repeated; * allows all pages
    ///
    /// Other pages get HTTP 403. Clients that are no pages send no Origin, and need none. In the
    /// environment, commas separate them. In the settings file, the server reads this key and the
    /// next two again when the file changes.
    #[arg(
        long,
        env = "STREAMGATE_ALLOWED_ORIGINS",
        value_name = "ORIGIN",
        value_delimiter = ','
    )]
    allowed_origins: Vec<String>,

    /// Host name by which clients may reach this server, beside addresses and localhost; may be
    /// repeated; * allows all names [default: on a loopback address none, else all]
    ///
    /// Any other Host gets HTTP 403, so that no page can reach a server on its visitor's machine by
    /// a name of its own.
    #[arg(
        long,
        env = "STREAMGATE_ALLOWED_HOSTS",
        value_name = "NAME",
        value_delimiter = ','
    )]
    allowed_hosts: Vec<String>,

    /// Origin by which browsers know this server, such as https://streams.example.com, if a proxy
    /// in front changes the scheme or the host
    #[arg(long, env = "STREAMGATE_PUBLIC_ORIGIN", value_name = "ORIGIN")]
    public_origin: Option<String>,

    /// Certificate of the server in PEM, followed by those of intermediate authorities; clients then
    /// connect with wss://
    ///
    /// In the settings file: [tls], certificate. The server reads the files of TLS again when they
    /// change, and on SIGHUP; open sockets stay.
    #[arg(long, env = "STREAMGATE_TLS_CERTIFICATE", value_name = "FILE")]
    pub(super) tls_certificate: Option<PathBuf>,

    /// Private key of --tls-certificate in PEM
    #[arg(long, env = "STREAMGATE_TLS_KEY", value_name = "FILE")]
    pub(super) tls_key: Option<PathBuf>,

    /// Certificates in PEM of the authorities that clients' certificates must come from; without
    /// them, clients need no certificate
    #[arg(long, env = "STREAMGATE_TLS_CLIENT_CA", value_name = "FILE")]
    pub(super) tls_client_ca: Option<PathBuf>,

    /// State that clients reach this server through a proxy that terminates TLS
    ///
    /// Listening on an address that other machines can reach needs it or --tls-certificate, and
    /// [auth] in the settings file.
    #[arg(long, env = "STREAMGATE_BEHIND_TLS_PROXY", value_parser = BoolishValueParser::new())]
    pub(super) behind_tls_proxy: bool,

    /// Allow listening on addresses that other machines can reach, without authentication or TLS;
    /// for laboratories
    #[arg(long, env = "STREAMGATE_INSECURE", value_parser = BoolishValueParser::new())]
    pub(super) insecure: bool,

    /// Largest frame from a client in bytes; a larger one closes its socket
    #[arg(
        long, env = "STREAMGATE_MAX_FRAME_BYTES", value_name = "N",
        default_value_t = DEFAULT_FRAME_BYTES,
        value_parser = value_parser!(u32).range(i64::from(MIN_FRAME_BYTES)..)
    )]
    max_frame_bytes: u32,

    /// Requests in flight per client, waiting reads and subscriptions included; more fail with
    /// OVERLOADED
    ///
    /// Waiting reads and subscriptions have shares too. A server takes 131072: from one socket 16384
    /// at most, from one address or /64 of IPv6 49152 at most, and fewer if few are free. So no
    /// client and no address has all.
    #[arg(
        long, env = "STREAMGATE_MAX_IN_FLIGHT", value_name = "N",
        default_value_t = DEFAULT_REQUESTS_IN_FLIGHT,
        value_parser = value_parser!(u32).range(i64::from(MIN_REQUESTS_IN_FLIGHT)..)
    )]
    max_in_flight: u32,

    /// Sockets open at once; more are refused with HTTP 503 [default: 10000, or as many as half of
    /// --max-memory has room for while they are idle]
    #[arg(
        long, env = "STREAMGATE_MAX_SOCKETS", value_name = "N",
        value_parser = value_parser!(u32).range(1..=i64::from(MAX_CONNECTIONS))
    )]
    max_sockets: Option<u32>,

    /// Sockets open at once from one address, or from one /64 of IPv6; more are refused with HTTP
    /// 503 [default: half of --max-sockets]
    #[arg(
        long, env = "STREAMGATE_MAX_SOCKETS_PER_ADDRESS", value_name = "N",
        value_parser = value_parser!(u32).range(1..=i64::from(MAX_CONNECTIONS))
    )]
    max_sockets_per_address: Option<u32>,

    /// Handshake timeout in ms: connections that have not sent their whole request and become
    /// sockets within it are closed
    #[arg(
        long, env = "STREAMGATE_HANDSHAKE_TIMEOUT_MS", value_name = "N",
        default_value_t = DEFAULT_HANDSHAKE_TIMEOUT.as_millis() as u64,
        value_parser = value_parser!(u64).range(1..=MAX_PERIOD_MS)
    )]
    handshake_timeout_ms: u64,

    /// Connections that are no sockets yet, at once; if there are more, the oldest is closed
    #[arg(
        long, env = "STREAMGATE_MAX_HANDSHAKES", value_name = "N",
        default_value_t = DEFAULT_MAX_HANDSHAKES,
        value_parser = value_parser!(u32).range(1..=i64::from(MAX_CONNECTIONS))
    )]
    max_handshakes: u32,

    /// Connections that are no sockets yet, at once from one address, or from one /64 of IPv6; if
    /// there are more, the oldest of them is closed
    #[arg(
        long, env = "STREAMGATE_MAX_HANDSHAKES_PER_ADDRESS", value_name = "N",
        default_value_t = DEFAULT_MAX_HANDSHAKES_PER_ADDRESS,
        value_parser = value_parser!(u32).range(1..=i64::from(MAX_CONNECTIONS))
    )]
    max_handshakes_per_address: u32,

    /// Address or network of a proxy in front of this server, such as 10.0.0.0/8; may be repeated
    ///
    /// From these alone the server takes a client's address: from version 2 of the PROXY protocol,
    /// or from X-Forwarded-For. In the environment, commas separate them.
    #[arg(
        long, env = "STREAMGATE_TRUSTED_PROXY", value_name = "CIDR", value_delimiter = ',',
        value_parser = parse_network
    )]
    trusted_proxy: Vec<IpNet>,

    /// Memory in bytes for all that clients make the server hold; if it runs short, the server reads
    /// less, then refuses requests with OVERLOADED, then closes the sockets that hold most
    /// [default: half of the memory of the machine or its cgroup]
    #[arg(
        long, env = "STREAMGATE_MAX_MEMORY", value_name = "N",
        value_parser = value_parser!(u64).range(MIN_MEMORY_BYTES as u64..)
    )]
    max_memory: Option<u64>,

    /// Heartbeat interval in ms; clients silent for two intervals are disconnected
    #[arg(
        long, env = "STREAMGATE_HEARTBEAT_MS", value_name = "N",
        default_value_t = DEFAULT_HEARTBEAT_MS,
        value_parser = value_parser!(u32)
            .range(i64::from(MIN_HEARTBEAT_MS)..=MAX_PERIOD_MS as i64)
    )]
    heartbeat_ms: u32,

    /// Write timeout in ms; clients that read nothing for this long are disconnected
    #[arg(
        long, env = "STREAMGATE_WRITE_TIMEOUT_MS", value_name = "N",
        default_value_t = DEFAULT_WRITE_TIMEOUT.as_millis() as u64,
        value_parser = value_parser!(u64).range(1..=MAX_PERIOD_MS)
    )]
    write_timeout_ms: u64,

    /// Drain period in ms: a shutdown spreads the closing of sockets over it, so that clients do
    /// not reconnect all at once; 0 closes all at once
    #[arg(
        long, env = "STREAMGATE_DRAIN_MS", value_name = "N",
        default_value_t = DEFAULT_DRAIN_PERIOD.as_millis() as u64,
        value_parser = value_parser!(u64).range(..=MAX_PERIOD_MS)
    )]
    drain_ms: u64,

    /// Busy polling in us: poll for this long after each event before the thread sleeps; answers
    /// come sooner for idle processor time; needs --threads 1; 0 turns it off
    #[arg(
        long, env = "STREAMGATE_BUSY_POLL_US", value_name = "N",
        default_value_t = DEFAULT_BUSY_POLL.as_micros() as u64,
        value_parser = value_parser!(u64).range(..=MAX_BUSY_POLL_US)
    )]
    pub(super) busy_poll_us: u64,

    /// Threads that serve clients [default: half of the cores]
    #[arg(
        long, env = "STREAMGATE_THREADS", value_name = "N",
        value_parser = parse_threads
    )]
    pub(super) threads: Option<usize>,

    /// Log level: error, warn, info, debug or trace; also per module, as in streamgate=debug
    #[arg(
        long,
        env = "STREAMGATE_LOG",
        value_name = "FILTER",
        default_value = DEFAULT_LOG
    )]
    pub(super) log: String,
}

impl ServeArgs {
    /// Returns which pages may use the server, and by which names clients may reach it.
    pub(super) fn origins(&self) -> Result<Origins, CommandError> {
        let invalid =
            |flag: &str, error: OriginError| CommandError::usage(format_args!("{error} ({flag})"));
        let mut origins = Origins::new();
        for origin in &self.allowed_origins {
            let allowed = origins.allow_origin(origin);
            origins = allowed.map_err(|error| invalid("--allowed-origins", error))?;
        }
        for host in &self.allowed_hosts {
            let allowed = origins.allow_host(host);
            origins = allowed.map_err(|error| invalid("--allowed-hosts", error))?;
        }
        match &self.public_origin {
            Some(origin) => {
                let set = origins.public_origin(origin);
                set.map_err(|error| invalid("--public-origin", error))
            }
            None => Ok(origins),
        }
    }

    /// Returns the server's settings.
    pub(super) fn config(&self) -> Config {
        let mut config = Config::default()
            .max_in_flight(self.max_in_flight)
            .max_frame_bytes(self.max_frame_bytes)
            .heartbeat_ms(self.heartbeat_ms)
            .handshake_timeout(Duration::from_millis(self.handshake_timeout_ms))
            .max_handshakes(self.max_handshakes)
            .max_handshakes_per_address(self.max_handshakes_per_address)
            .write_timeout(Duration::from_millis(self.write_timeout_ms))
            .drain_period(Duration::from_millis(self.drain_ms))
            .busy_poll(Duration::from_micros(self.busy_poll_us));
        if let Some(bytes) = self.max_memory {
            config.memory_budget =
                MemoryBudget::new(usize::try_from(bytes).unwrap_or(usize::MAX / 2));
        }
        config.max_sockets = self.max_sockets;
        config.max_sockets_per_address = self.max_sockets_per_address;
        config.trusted_proxies.clone_from(&self.trusted_proxy);
        config.admin_hosts.clone_from(&self.admin_host);
        let listen = self.admin_listen.as_deref();
        let host = listen.and_then(|listen| listen.rsplit_once(':'));
        config
            .admin_hosts
            .extend(host.map(|(host, _)| host.to_owned()));
        match self.www.clone().or_else(www_of_executable) {
            Some(folder) => config.www(folder),
            None => config,
        }
    }
}

/// Returns the command `streamgate serve`.
pub(super) fn serve_command() -> clap::Command {
    <ServeArgs as clap::Args>::augment_args(clap::Command::new("serve"))
}

/// The URL of a Redis, which may have a password.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct RedisUrl(String);

impl RedisUrl {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for RedisUrl {
    fn from(url: &str) -> Self {
        Self(url.to_owned())
    }
}

/// Without the password.
impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisUrl")
            .field(&without_secrets(&self.0))
            .finish()
    }
}

/// Parses a network, or an address as the network of itself.
fn parse_network(text: &str) -> Result<IpNet, String> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text
            .parse()
            .map_err(|_| "it must be an address or a network, such as 10.0.0.0/8")?,
    };
    if network.prefix_len() == 0 {
        return Err("it would let everybody choose an address; name your proxies".to_owned());
    }
    Ok(network)
}

fn parse_threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(threads @ 1..=MAX_THREADS) => Ok(threads),
        _ => Err(format!("it must be a number from 1 to {MAX_THREADS}")),
    }
}

/// Returns the folder `www` next to the executable or its folder, where `cargo xtask wasm` puts it.
fn www_of_executable() -> Option<PathBuf> {
    let executable = std::env::current_exe().ok()?;
    let folders = executable.ancestors().skip(1).take(2);
    folders
        .map(|folder| folder.join("www"))
        .find(|www| www.join("index.html").is_file())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_flag_is_an_environment_variable_too() {
        let command = Args::command();
        let serve = command.find_subcommand("serve").unwrap();
        for arg in serve.get_arguments().filter(|arg| arg.get_id() != "help") {
            let name = arg.get_long().unwrap().to_uppercase().replace('-', "_");
            let env = arg.get_env().unwrap().to_str().unwrap();
            assert_eq!(env, format!("STREAMGATE_{name}"));
        }
    }

    #[test]
    fn without_flags_the_settings_are_the_defaults_of_the_server() {
        let Command::Serve(args) = Args::parse_from(["streamgate", "serve"]).command else {
            panic!("not serve");
        };
        let mut config = args.config();
        config.www = None;
        assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
    }
}
