//! The signals that end the server.

use super::Failure;

/// Ctrl-C, and on Unix SIGTERM.
pub(super) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    /// Catches them from now on.
    #[cfg(unix)]
    pub(super) fn catch() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};

        let catch = |kind| {
            signal(kind)
                .map_err(|error| Failure::runtime(format_args!("cannot catch signals: {error}")))
        };
        Ok(Self {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
        })
    }

    /// Catches them from the first wait on.
    #[cfg(not(unix))]
    pub(super) fn catch() -> Result<Self, Failure> {
        Ok(Self {})
    }

    /// Ready when the process is told to end, once more than before.
    #[cfg(unix)]
    pub(super) async fn end(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Ready when the process is told to end, once more than before.
    #[cfg(not(unix))]
    pub(super) async fn end(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            // It cannot be caught: it ends the process by itself.
            std::future::pending::<()>().await;
        }
    }
}
