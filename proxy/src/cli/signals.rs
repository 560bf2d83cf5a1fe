//! The signals that the server obeys: Ctrl-C and SIGTERM end it, SIGHUP makes it read its settings.

use super::CommandError;

/// Receives the signals.
pub(super) struct ShutdownSignals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl ShutdownSignals {
    /// Catches the signals from now on.
    #[cfg(unix)]
    pub(super) fn catch() -> Result<Self, CommandError> {
        use tokio::signal::unix::{SignalKind, signal};

        let catch = |kind| {
            signal(kind).map_err(|error| {
                CommandError::runtime(format_args!("cannot catch signals: {error}"))
            })
        };
        Ok(Self {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
        })
    }

    /// Catches the signals from the first [`recv`](Self::recv) on.
    #[cfg(not(unix))]
    pub(super) fn catch() -> Result<Self, CommandError> {
        Ok(Self {})
    }

    /// Completes at the next signal.
    #[cfg(unix)]
    pub(super) async fn recv(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Completes at the next signal.
    #[cfg(not(unix))]
    pub(super) async fn recv(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            // The signal cannot be caught: it ends the process.
            std::future::pending::<()>().await;
        }
    }
}

/// Receives SIGHUP; on other systems than Unix, nothing.
pub(super) struct HangupSignal {
    #[cfg(unix)]
    hangup: tokio::signal::unix::Signal,
}

impl HangupSignal {
    /// Catches the signal from now on.
    #[cfg(unix)]
    pub(super) fn catch() -> Result<Self, CommandError> {
        use tokio::signal::unix::{SignalKind, signal};

        let hangup = signal(SignalKind::hangup()).map_err(|error| {
            CommandError::runtime(format_args!("cannot catch signals: {error}"))
        })?;
        Ok(Self { hangup })
    }

    #[cfg(not(unix))]
    pub(super) fn catch() -> Result<Self, CommandError> {
        Ok(Self {})
    }

    /// Completes at the next signal.
    #[cfg(unix)]
    pub(super) async fn recv(&mut self) {
        if self.hangup.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Never completes.
    #[cfg(not(unix))]
    pub(super) async fn recv(&mut self) {
        std::future::pending::<()>().await;
    }
}
