//! Busy polling: for a short time after an event, the thread polls for the next one instead of
//! sleeping.
//!
//! A sleeping processor has to be woken for the next frame, or for the next answer of Redis. On
//! virtual machines a loaded server spends a quarter of its time going to sleep and being woken.
//! Polling for 50 us instead makes answers come sooner; longer periods take more time than they
//! save.
//!
//! Off by default: it takes processor time that somebody else may need or may have paid for. It is
//! for one thread only: of several threads, one sleeps in the system's poll of the sockets, and
//! another one that polls finds that poll taken.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

/// Keeps a thread awake for a period after each event.
#[derive(Debug)]
pub(crate) struct BusyPoll {
    /// Zero turns busy polling off.
    period: Duration,
    had_event: AtomicBool,
    task: AtomicWaker,
}

impl BusyPoll {
    pub(crate) fn new(period: Duration) -> Self {
        Self {
            period,
            had_event: AtomicBool::new(false),
            task: AtomicWaker::new(),
        }
    }

    /// Records an event: the thread stays awake for the period from now.
    pub(crate) fn record_event(&self) {
        if !self.period.is_zero() && !self.had_event.swap(true, Ordering::AcqRel) {
            self.task.wake();
        }
    }

    /// Keeps the thread that polls this future from sleeping while events are recent. Returns at
    /// once if busy polling is off, else never.
    pub(crate) async fn run(&self) {
        if self.period.is_zero() {
            return;
        }
        loop {
            self.next_event().await;
            let mut end = Instant::now() + self.period;
            loop {
                // A runtime of one thread polls its sockets between two polls of this task.
                tokio::task::yield_now().await;
                let now = Instant::now();
                if self.had_event.swap(false, Ordering::AcqRel) {
                    end = now + self.period;
                } else if now >= end {
                    break;
                }
                // Redis may run on the same core.
                std::thread::yield_now();
            }
        }
    }

    async fn next_event(&self) {
        poll_fn(|cx| {
            self.task.register(cx.waker());
            if self.had_event.swap(false, Ordering::AcqRel) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::{Context, Wake, Waker};

    use super::*;
    use tokio::time::advance;

    const PERIOD: Duration = Duration::from_millis(2);

    /// Counts how often a task is woken.
    #[derive(Default)]
    struct CountWakes(AtomicUsize);

    impl Wake for CountWakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A task that is polled by hand. It keeps its thread awake if it asks to be polled again.
    struct Polled<F> {
        task: F,
        wakes: Arc<CountWakes>,
    }

    impl<F: Future<Output = ()> + Unpin> Polled<F> {
        /// Polls the task, and returns whether it keeps its thread awake.
        ///
        /// `yield_now` wakes its task after the poll, when the runtime has polled its sockets.
        async fn keeps_awake(&mut self) -> bool {
            let before = self.wakes.0.load(Ordering::Relaxed);
            let waker = Waker::from(Arc::clone(&self.wakes));
            let polled = Pin::new(&mut self.task).poll(&mut Context::from_waker(&waker));
            assert!(polled.is_pending());
            tokio::task::yield_now().await;
            self.wakes.0.load(Ordering::Relaxed) > before
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_thread_sleeps_when_nothing_happened_for_the_period() {
        let busy_poll = BusyPoll::new(PERIOD);
        let task = pin!(busy_poll.run());
        let wakes = Arc::default();
        let mut polled = Polled { task, wakes };
        assert!(!polled.keeps_awake().await, "nothing has happened yet");
        for _ in 0..2 {
            busy_poll.record_event();
            assert!(polled.keeps_awake().await);
            advance(PERIOD / 2).await;
            busy_poll.record_event();
            assert!(polled.keeps_awake().await);
            advance(PERIOD / 2).await;
            assert!(polled.keeps_awake().await, "half a period has passed");
            advance(PERIOD / 2).await;
            assert!(!polled.keeps_awake().await, "a whole period has passed");
        }
    }

    #[tokio::test]
    async fn without_a_period_it_ends_at_once() {
        let busy_poll = BusyPoll::new(Duration::ZERO);
        busy_poll.record_event();
        busy_poll.run().await;
    }
}
