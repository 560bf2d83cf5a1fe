//! `streamgate serve`: listens, connects to the backend, and serves until a signal.

use std::io::{self, Write};
use std::pin::pin;

use streamgate::Server;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::CommandError;
use super::args::ServeArgs;
use super::command_line::ServeSettings;
use super::connect::{connect, redis};
use super::listening::{self, cannot_listen};
use super::reload::Reloader;
use super::revocations::Revocations;
use super::revoked_key::RevokedKey;
use super::signals::{HangupSignal, ShutdownSignals};
use super::tls_files::TlsFiles;
use super::tls_reload::TlsReloader;
use super::{admin, file_limit};

pub(super) async fn serve(settings: ServeSettings) -> Result<(), CommandError> {
    let ServeSettings { args, file } = settings;
    let access = file.as_ref().and_then(|(file, _)| file.access.as_ref());
    let addresses = listening::resolve("--listen", &args.listen).await?;
    listening::check(&addresses, &args, access.is_some())?;
    check_folder(&args)?;
    let origins = args.origins()?;
    let tls = TlsFiles::of(&args)?.map(TlsFiles::load).transpose()?;
    let mut signals = ShutdownSignals::catch()?;
    let hangup = file.is_some().then(HangupSignal::catch).transpose()?;
    let tls_hangup = tls.is_some().then(HangupSignal::catch).transpose()?;
    // The port first: a second server that was started by mistake ends before it touches Redis.
    let listener = TcpListener::bind(&*addresses)
        .await
        .map_err(|error| cannot_listen("--listen", &args.listen, &error))?;
    let address = listener
        .local_addr()
        .map_err(|error| cannot_listen("--listen", &args.listen, &error))?;
    listening::warn_if_insecure(&args, access.is_some());
    let admin = admin::bind(args.admin_listen.as_deref()).await?;
    let mut config = file_limit::fit(args.config(), file_limit::raise());
    config.origins = origins;
    config.tls = tls.as_ref().map(|tls| tls.config.clone());
    config.limits = file.as_ref().and_then(|(file, _)| file.limits);
    config.access = access.map(|access| access.policy.clone());
    let connecting = connect(&args, &config.memory_budget);
    let (backend, name) = tokio::select! {
        connected = connecting => connected?,
        () = signals.recv() => return Ok(()),
    };
    let server = Server::new(backend, config).map_err(|error| CommandError::usage(&error))?;
    if let (Some((settings, inputs)), Some(hangup)) = (file, hangup) {
        // What is revoked is in force before the first client.
        let revocations = Revocations::new(server.clone());
        let key = settings.access.as_ref();
        if let Some(key) = key.and_then(|access| access.revoked_key.as_deref()) {
            let (redis, _) = redis(&args)?.ok_or_else(without_redis)?;
            let (server, revocations) = (server.clone(), revocations.clone());
            let opened = RevokedKey::open(&redis, key, server, revocations);
            let key = tokio::select! {
                opened = opened => opened?,
                () = signals.recv() => return Ok(()),
            };
            tokio::spawn(key.run());
        }
        let reloader = Reloader::new(server.clone(), revocations, settings, inputs);
        tokio::spawn(reloader.run(hangup));
    }
    let scheme = if tls.is_some() { "https" } else { "http" };
    if let (Some(tls), Some(hangup)) = (tls, tls_hangup) {
        tls.log_validity();
        tokio::spawn(TlsReloader::new(server.clone(), tls).run(hangup));
    }
    if let Some(admin) = admin {
        let server = server.clone();
        tokio::spawn(async move { server.serve_admin(admin).await });
    }
    // The server serves even if stdout is closed.
    let _ = writeln!(
        io::stdout(),
        "streamgate listening on {scheme}://{address} ({name})"
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

/// Returns why revocations cannot be read from a key.
pub(super) fn without_redis() -> CommandError {
    CommandError::usage(
        "[auth.revocation] redis_key needs a Redis; name one with --redis, or use `file`",
    )
}

/// Checks that `--www` is a folder.
pub(super) fn check_folder(args: &ServeArgs) -> Result<(), CommandError> {
    match &args.www {
        Some(folder) if !folder.is_dir() => Err(CommandError::usage(format_args!(
            "invalid --www '{}': no such folder; check the path",
            folder.display()
        ))),
        _ => Ok(()),
    }
}
