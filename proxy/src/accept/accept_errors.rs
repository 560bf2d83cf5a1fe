//! What to do if the system cannot accept a connection.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

use crate::metrics::Metrics;

/// Pause before the next attempt: without one, the loop would use a whole core until files are
/// closed.
const PAUSE: Duration = Duration::from_millis(100);

/// Errors that follow one another within this time are logged once.
const QUIET_TIME: Duration = Duration::from_secs(60);

/// The errors of a listener.
#[derive(Debug, Default)]
pub(super) struct AcceptErrors {
    last: Option<Instant>,
}

impl AcceptErrors {
    /// Returns when the listener may be asked again.
    pub(super) async fn handle(&mut self, error: &io::Error, metrics: &Metrics) {
        if is_about_the_peer(error) {
            tracing::debug!(%error, "a peer left before its connection was accepted");
            return;
        }
        metrics.accept_errors.add(1);
        let now = Instant::now();
        if self.last.is_none_or(|last| now - last > QUIET_TIME) {
            tracing::error!(
                %error,
                "cannot accept connections; if too many files are open, raise the limit (ulimit -n)"
            );
        }
        self.last = Some(now);
        tokio::time::sleep(PAUSE).await;
    }
}

fn is_about_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}
