//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::error::ErrorKind;
use clap::{Parser, Subcommand, value_parser};
use streamgate::{
    Config, DEFAULT_DRAIN, DEFAULT_MAX_SOCKETS, DEFAULT_WRITE_TIMEOUT, MIN_HEARTBEAT_MS,
};
use streamgate_protocol::limits::{
    DEFAULT_FRAME_BYTES, DEFAULT_HEARTBEAT_MS, DEFAULT_REQUESTS_IN_FLIGHT, MIN_FRAME_BYTES,
    MIN_REQUESTS_IN_FLIGHT,
};

use super::Failure;

/// Redis Streams for browsers, edge workers and native programs, over a WebSocket.
#[derive(Debug, Parser)]
#[command(name = "streamgate", version, arg_required_else_help = true)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serves streams to clients, from Redis or from this process's memory
    ///
    /// Clients connect to ws://HOST:PORT/v1/ws. `/healthz` answers `ok` while the server runs, and
    /// `/readyz` answers `ready` while clients may come. When it is ready, it prints one line:
    /// `streamgate listening on http://HOST:PORT (…)`. It logs to stderr. On SIGTERM or Ctrl-C it
    /// tells its clients to go, over the time that `--drain-ms` says, and ends; on a second one it
    /// ends at once.
    Serve(Serve),
}

#[derive(Debug, clap::Args)]
pub(super) struct Serve {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(
        long,
        env = "STREAMGATE_LISTEN",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:8080"
    )]
    pub(super) listen: String,

    /// Redis to keep the streams in; without it they are in memory and end with this process
    ///
    /// Such as redis://127.0.0.1:6379, or redis://user:password@host:6379/0. Redis 7.0 or newer.
    #[arg(
        long,
        env = "STREAMGATE_REDIS",
        value_name = "URL",
        hide_env_values = true
    )]
    pub(super) redis: Option<String>,

    /// Folder to serve as web page at `/`; by default the folder `www` beside the executable, or
    /// beside its folder, if there is one
    #[arg(long, env = "STREAMGATE_WWW", value_name = "DIR")]
    pub(super) www: Option<PathBuf>,

    /// Listen on an address that other machines can reach, although there is no authentication
    #[arg(long, env = "STREAMGATE_INSECURE", value_parser = BoolishValueParser::new())]
    pub(super) insecure: bool,

    /// Largest frame that is taken from a client, in bytes
    #[arg(
        long, env = "STREAMGATE_MAX_FRAME_BYTES", value_name = "N",
        default_value_t = DEFAULT_FRAME_BYTES,
        value_parser = value_parser!(u32).range(i64::from(MIN_FRAME_BYTES)..)
    )]
    max_frame_bytes: u32,

    /// Requests of one client that may be in flight at once, waiting reads among them
    #[arg(
        long, env = "STREAMGATE_MAX_IN_FLIGHT", value_name = "N",
        default_value_t = DEFAULT_REQUESTS_IN_FLIGHT,
        value_parser = value_parser!(u32).range(i64::from(MIN_REQUESTS_IN_FLIGHT)..)
    )]
    max_in_flight: u32,

    /// Clients that may be connected at once
    #[arg(
        long, env = "STREAMGATE_MAX_SOCKETS", value_name = "N",
        default_value_t = DEFAULT_MAX_SOCKETS,
        value_parser = value_parser!(u32).range(1..)
    )]
    max_sockets: u32,

    /// How often a client has to be heard, in milliseconds; after two such times of silence it is
    /// disconnected
    #[arg(
        long, env = "STREAMGATE_HEARTBEAT_MS", value_name = "N",
        default_value_t = DEFAULT_HEARTBEAT_MS,
        value_parser = value_parser!(u32).range(i64::from(MIN_HEARTBEAT_MS)..)
    )]
    heartbeat_ms: u32,

    /// How long a client may leave what it is sent unread, in milliseconds, before it is
    /// disconnected
    #[arg(
        long, env = "STREAMGATE_WRITE_TIMEOUT_MS", value_name = "N",
        default_value_t = DEFAULT_WRITE_TIMEOUT.as_millis() as u64,
        value_parser = value_parser!(u64).range(1..)
    )]
    write_timeout_ms: u64,

    /// How long it takes to close all clients when it is told to end, in milliseconds; spread over
    /// that time, they do not all come back at once. 0 closes all at once
    #[arg(
        long, env = "STREAMGATE_DRAIN_MS", value_name = "N",
        default_value_t = DEFAULT_DRAIN.as_millis() as u64,
        value_parser = value_parser!(u64).range(..=MAX_DRAIN_MS)
    )]
    drain_ms: u64,

    /// How long to look for what comes next, after something came, before the thread sleeps, in
    /// microseconds: answers come sooner for processor time that would be idle. 0 sleeps at once; it
    /// takes one thread
    #[arg(
        long, env = "STREAMGATE_BUSY_POLL_US", value_name = "N",
        default_value_t = 0,
        value_parser = value_parser!(u64).range(..=MAX_BUSY_POLL_US)
    )]
    pub(super) busy_poll_us: u64,

    /// Threads that serve clients; by default half as many as there are cores
    #[arg(
        long, env = "STREAMGATE_THREADS", value_name = "N",
        value_parser = threads
    )]
    pub(super) threads: Option<usize>,

    /// What to log: error, warn, info, debug or trace, also by module
    #[arg(
        long,
        env = "STREAMGATE_LOG",
        value_name = "FILTER",
        default_value = "info"
    )]
    pub(super) log: String,
}

impl Serve {
    /// What the server is to grant.
    pub(super) fn config(&self) -> Config {
        Config {
            max_in_flight: self.max_in_flight,
            max_frame_bytes: self.max_frame_bytes,
            heartbeat_ms: self.heartbeat_ms,
            max_sockets: self.max_sockets,
            write_timeout: Duration::from_millis(self.write_timeout_ms),
            drain: Duration::from_millis(self.drain_ms),
            busy_poll: Duration::from_micros(self.busy_poll_us),
            www: self.www.clone().or_else(beside_the_executable),
        }
    }
}

/// Longest time to close all clients in, in milliseconds: a day. Whoever gives more has mistaken the
/// unit.
const MAX_DRAIN_MS: u64 = 24 * 60 * 60 * 1000;

/// Longest time to look for what comes next, in microseconds: a tenth of a second. Whoever gives more
/// has mistaken the unit.
const MAX_BUSY_POLL_US: u64 = 100_000;

/// More threads than this serve nobody faster, and each costs memory.
const MAX_THREADS: usize = 1024;

fn threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(threads @ 1..=MAX_THREADS) => Ok(threads),
        _ => Err(format!("it has to be a number from 1 to {MAX_THREADS}")),
    }
}

/// Reads the command line; `None` if it asked for help, which is printed.
pub(super) fn parse() -> Result<Option<Command>, Failure> {
    match Args::try_parse() {
        Ok(args) => Ok(Some(args.command)),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            ) =>
        {
            // A closed stdout is no failure of the command.
            let _ = error.print();
            Ok(None)
        }
        Err(error) => Err(Failure::usage(one_line(&error))),
    }
}

/// The parser's complaint without the usage below it.
fn one_line(error: &clap::Error) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "no command given; try 'streamgate serve', or 'streamgate --help'".to_owned();
    }
    let text = error.render().to_string();
    let complaint = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<_> = complaint.split_whitespace().collect();
    let complaint = words.join(" ");
    let complaint = complaint.strip_prefix("error: ").unwrap_or(&complaint);
    format!("{complaint}; see 'streamgate serve --help'")
}

/// The folder `www` beside the executable, or beside its folder, as `cargo xtask wasm` leaves it.
fn beside_the_executable() -> Option<PathBuf> {
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
}
