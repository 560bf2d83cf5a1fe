//! From the command line to a running server.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use streamgate::Server;
use streamgate_backend::Backend;
use streamgate_memory::MemoryStreams;
use streamgate_protocol::error::code::DISCONNECTED;
use streamgate_protocol::{CacheError, Retry};
use streamgate_redis::RedisStreams;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tracing_subscriber::EnvFilter;

mod address;
mod args;
mod error;
mod signals;

use self::address::{beyond_loopback, without_password};
use self::args::{Command, Serve};
pub(crate) use self::error::Failure;
use self::signals::Signals;

/// Longest time that the first connection to Redis may take: whoever starts the command waits for
/// the line that it is ready.
const REDIS_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause before Redis is asked again whether it serves by now.
const REDIS_PAUSE: Duration = Duration::from_secs(1);

/// Does what the command line says.
pub(crate) fn run() -> Result<(), Failure> {
    let Some(Command::Serve(serve)) = args::parse()? else {
        return Ok(());
    };
    log_to_stderr(&serve.log)?;
    let threads = serve.threads.unwrap_or_else(default_threads);
    if serve.busy_poll_us > 0 && threads > 1 {
        return Err(Failure::usage(
            "--busy-poll-us needs --threads 1: one of more threads is looking already, and sleeps",
        ));
    }
    let runtime = runtime(threads)
        .map_err(|error| Failure::runtime(format_args!("cannot start threads: {error}")))?;
    runtime.block_on(self::serve(serve))
}

/// One thread needs no other to be woken, which saves a fifth of the processor time.
fn runtime(threads: usize) -> io::Result<Runtime> {
    match threads {
        1 => Builder::new_current_thread().enable_all().build(),
        threads => Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_all()
            .build(),
    }
}

/// Half of the cores: an operation costs Redis, which has one thread, about as much as it costs
/// the server, so the other half is for Redis and what else runs beside.
fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1))
}

async fn serve(args: Serve) -> Result<(), Failure> {
    let addresses = resolve(&args.listen).await?;
    if !args.insecure
        && let Some(address) = beyond_loopback(&addresses)
    {
        return Err(Failure::usage(format_args!(
            "refusing to listen on {address}: there is no authentication yet, so whoever reaches \
             it could read and write every stream; listen on 127.0.0.1, or accept that with \
             --insecure"
        )));
    }
    if let Some(folder) = &args.www
        && !folder.is_dir()
    {
        return Err(Failure::usage(format_args!(
            "no folder {} to serve; check --www",
            folder.display()
        )));
    }
    let mut signals = Signals::catch()?;
    // The port first: a second server that is started by mistake ends without touching Redis.
    let listener = TcpListener::bind(&*addresses)
        .await
        .map_err(|error| cannot_listen(&args.listen, &error))?;
    let address = listener
        .local_addr()
        .map_err(|error| cannot_listen(&args.listen, &error))?;
    let (backend, name) = tokio::select! {
        connected = connect(args.redis.as_deref()) => connected?,
        () = signals.end() => return Ok(()),
    };
    let server = Server::new(backend, args.config()).map_err(|error| Failure::usage(&error))?;
    // A closed stdout is no reason not to serve.
    let _ = writeln!(
        io::stdout(),
        "streamgate listening on http://{address} ({name})"
    );
    until_signals(server, listener, signals).await
}

/// Serves until the first signal, and lets the sockets end until a second one.
async fn until_signals(
    server: Server,
    listener: TcpListener,
    mut signals: Signals,
) -> Result<(), Failure> {
    let (tell, told) = oneshot::channel();
    let shutdown = async {
        // The sender is kept until it has told.
        let _ = told.await;
    };
    let mut serving = pin!(server.serve(listener, shutdown));
    let cannot_serve = |error| Failure::runtime(format_args!("cannot serve: {error}"));
    tokio::select! {
        ended = &mut serving => return ended.map_err(cannot_serve),
        () = signals.end() => {}
    }
    // Whoever is to be told is there as long as it serves.
    let _ = tell.send(());
    tokio::select! {
        ended = serving => ended.map_err(cannot_serve),
        () = signals.end() => Err(Failure::runtime(
            "ended by a second signal, before every client was told to go",
        )),
    }
}

/// The backend, and what to call it.
async fn connect(redis: Option<&str>) -> Result<(Arc<dyn Backend>, String), Failure> {
    let Some(url) = redis else {
        return Ok((Arc::new(MemoryStreams::new()), "memory".to_owned()));
    };
    let name = without_password(url);
    let connect = async || loop {
        let attempt = tokio::time::timeout(REDIS_TIMEOUT, RedisStreams::connect(url)).await;
        match attempt {
            // It is there, and will serve: after a restart of both it may have much to load.
            Ok(Err(error)) if error.retry() == Retry::Later && error.code() != DISCONNECTED => {
                tracing::warn!(%error, "waiting for Redis");
                tokio::time::sleep(REDIS_PAUSE).await;
            }
            attempt => return attempt,
        }
    };
    match connect().await {
        Ok(Ok(redis)) => Ok((Arc::new(redis), name)),
        Ok(Err(error)) => {
            // The cause may quote the URL.
            let why = error.message().replace(url, &name);
            Err(match error {
                CacheError::ConfigError(_) => Failure::usage(format_args!(
                    "cannot use Redis at {name}: {why}; give --redis a URL such as \
                     redis://127.0.0.1:6379"
                )),
                _ => Failure::redis(&name, &why),
            })
        }
        Err(_) => {
            let seconds = REDIS_TIMEOUT.as_secs();
            Err(Failure::redis(
                &name,
                &format!("no answer within {seconds} s"),
            ))
        }
    }
}

async fn resolve(listen: &str) -> Result<Vec<SocketAddr>, Failure> {
    let wrong = |why: &dyn std::fmt::Display| {
        Failure::usage(format_args!(
            "cannot listen on '{listen}': {why}; give an address and a port, such as \
             --listen 127.0.0.1:8080"
        ))
    };
    let addresses: Vec<_> = tokio::net::lookup_host(listen)
        .await
        .map_err(|error| wrong(&error))?
        .collect();
    if addresses.is_empty() {
        Err(wrong(&"no such host"))
    } else {
        Ok(addresses)
    }
}

fn cannot_listen(listen: &str, error: &io::Error) -> Failure {
    let what_to_do = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "address already in use; stop the program that listens there, or choose another port \
             with --listen"
        }
        io::ErrorKind::PermissionDenied => {
            "permission denied; ports below 1024 need privileges, choose a higher one with --listen"
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address; choose one of its own with --listen"
        }
        _ => return Failure::runtime(format_args!("cannot listen on {listen}: {error}")),
    };
    Failure::runtime(format_args!("cannot listen on {listen}: {what_to_do}"))
}

fn log_to_stderr(filter: &str) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| Failure::usage(format_args!("cannot read --log '{filter}': {error}")))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    Ok(())
}
