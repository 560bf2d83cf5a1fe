//! The time in which a server that ends closes its sockets, one after the other.
//!
//! Clients connect again at once when they are told that the server goes away. If all were told
//! together, all would come to the next server together.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// When the sockets of a server are closed.
pub(crate) struct Drain {
    period: Duration,
    begun: watch::Sender<Option<Begun>>,
    /// The place of the socket that asks next for its moment.
    next: AtomicU32,
}

#[derive(Clone, Copy)]
struct Begun {
    at: Instant,
    /// Among so many sockets the period is shared.
    sockets: u32,
}

impl Drain {
    /// Sockets are to be closed within the period, once that has begun.
    pub(crate) fn new(period: Duration) -> Self {
        Self {
            period,
            begun: watch::Sender::new(None),
            next: AtomicU32::new(0),
        }
    }

    /// Begins it for the sockets that there are; once is enough.
    pub(crate) fn begin(&self, sockets: u32) {
        self.begun.send_if_modified(|begun| {
            let is_first = begun.is_none();
            begun.get_or_insert_with(|| Begun {
                at: Instant::now(),
                sockets,
            });
            is_first
        });
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.begun.borrow().is_some()
    }

    /// Ready when it begins, with the time of its end.
    pub(crate) async fn end(&self) -> Instant {
        self.wait().await.at + self.period
    }

    /// Ready when the socket that asks is to close. The first is at once, and the others follow
    /// evenly; one that comes late is closed with the last.
    pub(crate) async fn moment(&self) {
        let begun = self.wait().await;
        let place = self.next.fetch_add(1, Ordering::Relaxed);
        let sockets = begun.sockets.max(1);
        let share = f64::from(place.min(sockets - 1)) / f64::from(sockets);
        let moment = begun.at + self.period.mul_f64(share);
        // On the heap, or every socket would hold room for it for as long as it lives.
        Box::pin(tokio::time::sleep_until(moment)).await;
    }

    async fn wait(&self) -> Begun {
        let mut begun = self.begun.subscribe();
        let begun = begun.wait_for(Option::is_some).await.map(|begun| *begun);
        match begun {
            Ok(Some(begun)) => begun,
            // The sender is this value, which is borrowed.
            _ => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::join_all;

    use super::*;

    async fn moments(drain: &Drain, sockets: usize) -> Vec<u64> {
        let start = Instant::now();
        let moments = (0..sockets).map(|_| async {
            drain.moment().await;
            let after = start.elapsed().as_millis();
            u64::try_from(after).unwrap()
        });
        let mut moments = join_all(moments).await;
        moments.sort_unstable();
        moments
    }

    #[tokio::test(start_paused = true)]
    async fn the_period_is_shared_evenly() {
        let drain = Drain::new(Duration::from_secs(10));
        assert!(!drain.has_begun());
        assert!(drain.moment().now_or_never().is_none());
        drain.begin(5);
        drain.begin(1);
        assert!(drain.has_begun());
        assert_eq!(moments(&drain, 5).await, [0, 2_000, 4_000, 6_000, 8_000]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_alone_need_not_wait_and_one_that_comes_late_is_last() {
        let drain = Drain::new(Duration::from_secs(10));
        drain.begin(1);
        assert_eq!(moments(&drain, 3).await, [0, 0, 0]);
        let drain = Drain::new(Duration::from_secs(10));
        drain.begin(2);
        assert_eq!(moments(&drain, 4).await, [0, 5_000, 5_000, 5_000]);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_period_all_are_closed_at_once() {
        let drain = Drain::new(Duration::ZERO);
        drain.begin(1_000);
        assert_eq!(moments(&drain, 1_000).await, [0; 1_000]);
        assert_eq!(drain.end().await, Instant::now());
    }
}
