//! `streamgate serve`: listens, connects to the backend, and serves until a signal.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::pin;

use streamgate::Server;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::CommandError;
use super::address::first_beyond_loopback;
use super::admin;
use super::args::ServeArgs;
use super::connect::connect;
use super::file_limit;
use super::signals::ShutdownSignals;

pub(super) async fn serve(args: ServeArgs) -> Result<(), CommandError> {
    let addresses = resolve("--listen", &args.listen).await?;
    if !args.insecure
        && let Some(address) = first_beyond_loopback(&addresses)
    {
        return Err(CommandError::usage(format_args!(
            "refusing to listen on {address}: there is no authentication yet, so everybody who \
             reaches it could read and write every stream; listen on 127.0.0.1, or accept the risk \
             with --insecure"
        )));
    }
    if let Some(folder) = &args.www
        && !folder.is_dir()
    {
        return Err(CommandError::usage(format_args!(
            "invalid --www '{}': no such folder; check the path",
            folder.display()
        )));
    }
    let mut signals = ShutdownSignals::catch()?;
    // The port first: a second server that was started by mistake ends before it touches Redis.
    let listener = TcpListener::bind(&*addresses)
        .await
        .map_err(|error| cannot_listen("--listen", &args.listen, &error))?;
    let address = listener
        .local_addr()
        .map_err(|error| cannot_listen("--listen", &args.listen, &error))?;
    let admin = admin::bind(args.admin_listen.as_deref()).await?;
    let config = file_limit::fit(args.config(), file_limit::raise());
    let connecting = connect(
        args.redis.as_deref(),
        args.memory_bytes,
        &config.memory_budget,
    );
    let (backend, name) = tokio::select! {
        connected = connecting => connected?,
        () = signals.recv() => return Ok(()),
    };
    let server = Server::new(backend, config).map_err(|error| CommandError::usage(&error))?;
    if let Some(admin) = admin {
        let server = server.clone();
        tokio::spawn(async move { server.serve_admin(admin).await });
    }
    // The server serves even if stdout is closed.
    let _ = writeln!(
        io::stdout(),
        "streamgate listening on http://{address} ({name})"
    );
    serve_until_signals(server, listener, signals).await
}

/// Shuts down at the first signal, and returns at once at the second.
async fn serve_until_signals(
    server: Server,
    listener: TcpListener,
    mut signals: ShutdownSignals,
) -> Result<(), CommandError> {
    let (begin_shutdown, shutdown_begun) = oneshot::channel();
    let shutdown = async {
        // The sender lives until it has sent.
        let _ = shutdown_begun.await;
    };
    let mut serving = pin!(server.serve(listener, shutdown));
    let cannot_serve = |error| CommandError::runtime(format_args!("cannot serve: {error}"));
    tokio::select! {
        ended = &mut serving => return ended.map_err(cannot_serve),
        () = signals.recv() => {}
    }
    // The receiver lives as long as the server serves.
    let _ = begin_shutdown.send(());
    tokio::select! {
        ended = serving => ended.map_err(cannot_serve),
        () = signals.recv() => Err(CommandError::runtime(
            "ended by a second signal before all sockets were closed",
        )),
    }
}

/// Resolves the address of a flag.
pub(super) async fn resolve(flag: &str, listen: &str) -> Result<Vec<SocketAddr>, CommandError> {
    let invalid = |why: &dyn std::fmt::Display| {
        CommandError::usage(format_args!(
            "invalid {flag} '{listen}': {why}; give a host and a port, such as {flag} \
             127.0.0.1:8080"
        ))
    };
    let addresses: Vec<_> = tokio::net::lookup_host(listen)
        .await
        .map_err(|error| invalid(&error))?
        .collect();
    if addresses.is_empty() {
        Err(invalid(&"no such host"))
    } else {
        Ok(addresses)
    }
}

/// Returns why the address of a flag cannot be listened on, and what to do.
pub(super) fn cannot_listen(flag: &str, listen: &str, error: &io::Error) -> CommandError {
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "address already in use; stop the program that listens there, or choose another port \
             with "
        }
        io::ErrorKind::PermissionDenied => {
            "permission denied; ports below 1024 need privileges, choose a higher one with "
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address; choose one of its own with "
        }
        _ => return CommandError::runtime(format_args!("cannot listen on {listen}: {error}")),
    };
    CommandError::runtime(format_args!("cannot listen on {listen}: {why}{flag}"))
}
