//! When each socket of a server closes after the shutdown has begun.
//!
//! Clients reconnect at once when their server goes away. If all sockets closed together, all
//! clients would reach the next server together. So the sockets close one after the other, in no
//! particular order: each takes the next slot of the drain period, which is divided evenly. Nothing
//! has to be drawn at random or planned.
//!
//! `session/graceful_close.rs` closes one socket; [`Server`](crate::Server) begins the shutdown.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Longest time that closing one socket takes: the server finishes the operations that it has
/// begun, sends the rest and the close frame, and awaits the client's close.
///
/// Long enough for a slow line, short enough not to hold up a shutdown.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest time that [`Server::serve`](crate::Server::serve) takes to end after
/// [`Config::drain_period`](crate::Config::drain_period): [`CLOSE_TIMEOUT`] for its last sockets,
/// and a second for HTTP requests under way.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(6);

/// The shutdown of a server.
pub(crate) struct Shutdown {
    drain_period: Duration,
    begun: watch::Sender<Option<DrainStart>>,
    /// The slot of the socket that asks next for its close time.
    next_slot: AtomicU32,
}

#[derive(Clone, Copy)]
struct DrainStart {
    at: Instant,
    /// Number of slots: the sockets that were open.
    sockets: u32,
}

impl Shutdown {
    pub(crate) fn new(drain_period: Duration) -> Self {
        Self {
            drain_period,
            begun: watch::Sender::new(None),
            next_slot: AtomicU32::new(0),
        }
    }

    /// Begins the shutdown for this number of open sockets. Returns `false` if it had begun.
    pub(crate) fn begin(&self, sockets: u32) -> bool {
        self.begun.send_if_modified(|begun| {
            let is_first = begun.is_none();
            begun.get_or_insert_with(|| DrainStart {
                at: Instant::now(),
                sockets,
            });
            is_first
        })
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.begun.borrow().is_some()
    }

    /// Waits for the shutdown to begin.
    pub(crate) async fn until_begun(&self) {
        self.wait().await;
    }

    /// Waits for the shutdown to begin, and returns when its drain period ends.
    pub(crate) async fn drain_end(&self) -> Instant {
        self.wait().await.at + self.drain_period
    }

    /// Completes when the calling socket has to close.
    ///
    /// The first socket closes at once, the others follow evenly. One that opened late closes with
    /// the last.
    pub(crate) async fn close_time(&self) {
        let begun = self.wait().await;
        let slot = self.next_slot.fetch_add(1, Ordering::Relaxed);
        let sockets = begun.sockets.max(1);
        let share = f64::from(slot.min(sockets - 1)) / f64::from(sockets);
        let close_at = begun.at + self.drain_period.mul_f64(share);
        // On the heap: otherwise every socket holds room for this timer for its whole life.
        Box::pin(tokio::time::sleep_until(close_at)).await;
    }

    async fn wait(&self) -> DrainStart {
        let mut begun = self.begun.subscribe();
        let begun = begun.wait_for(Option::is_some).await.map(|begun| *begun);
        match begun {
            Ok(Some(begun)) => begun,
            // The sender lives in `self`, which is borrowed.
            _ => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::join_all;

    use super::*;

    /// The close times of the next sockets, in milliseconds from now.
    async fn close_times(shutdown: &Shutdown, sockets: usize) -> Vec<u64> {
        let start = Instant::now();
        let times = (0..sockets).map(|_| async {
            shutdown.close_time().await;
            u64::try_from(start.elapsed().as_millis()).unwrap()
        });
        let mut times = join_all(times).await;
        times.sort_unstable();
        times
    }

    #[tokio::test(start_paused = true)]
    async fn sockets_share_the_period_evenly() {
        let shutdown = Shutdown::new(Duration::from_secs(10));
        assert!(!shutdown.has_begun());
        assert!(shutdown.close_time().now_or_never().is_none());
        assert!(shutdown.begin(5));
        assert!(!shutdown.begin(1));
        assert!(shutdown.has_begun());
        let times = close_times(&shutdown, 5).await;
        assert_eq!(times, [0, 2_000, 4_000, 6_000, 8_000]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_single_socket_closes_at_once_and_a_late_one_with_the_last() {
        let shutdown = Shutdown::new(Duration::from_secs(10));
        shutdown.begin(1);
        assert_eq!(close_times(&shutdown, 3).await, [0, 0, 0]);
        let shutdown = Shutdown::new(Duration::from_secs(10));
        shutdown.begin(2);
        let times = close_times(&shutdown, 4).await;
        assert_eq!(times, [0, 5_000, 5_000, 5_000]);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_period_all_sockets_close_at_once() {
        let shutdown = Shutdown::new(Duration::ZERO);
        shutdown.begin(1_000);
        assert_eq!(close_times(&shutdown, 1_000).await, [0; 1_000]);
        assert_eq!(shutdown.drain_end().await, Instant::now());
    }
}
