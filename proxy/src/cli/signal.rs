//! The signals that end the server.

use std::future::Future;

use super::Failure;

/// Ready when the process is told to end: Ctrl-C, and on Unix SIGTERM. The signals are caught from
/// the call on.
#[cfg(unix)]
pub(super) fn end() -> Result<impl Future<Output = ()> + Send + 'static, Failure> {
    use tokio::signal::unix::{SignalKind, signal};

    let catch = |kind| {
        signal(kind)
            .map_err(|error| Failure::runtime(format_args!("cannot catch signals: {error}")))
    };
    let mut interrupt = catch(SignalKind::interrupt())?;
    let mut terminate = catch(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Ready when the process is told to end by Ctrl-C.
#[cfg(not(unix))]
pub(super) fn end() -> Result<impl Future<Output = ()> + Send + 'static, Failure> {
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            // It cannot be caught: it ends the process by itself.
            std::future::pending::<()>().await;
        }
    })
}
