//! Looking for what comes instead of sleeping until it does, for a short time after something came.
//!
//! A processor that sleeps has to be woken for the next frame or the next answer of Redis, which on
//! virtual machines takes longer than all else that is done for it.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

/// Notes that something came.
#[derive(Debug)]
pub(crate) struct BusyPoll {
    /// Zero for never.
    period: Duration,
    came: AtomicBool,
    sleeper: AtomicWaker,
}

impl BusyPoll {
    pub(crate) fn new(period: Duration) -> Self {
        Self {
            period,
            came: AtomicBool::new(false),
            sleeper: AtomicWaker::new(),
        }
    }

    /// Something came: more is looked for until the period is over.
    pub(crate) fn came(&self) {
        if !self.period.is_zero() && !self.came.swap(true, Ordering::AcqRel) {
            self.sleeper.wake();
        }
    }

    /// Keeps the thread that runs this from sleeping, as long as it is to.
    pub(crate) async fn run(&self) {
        if self.period.is_zero() {
            return;
        }
        loop {
            self.something().await;
            let mut end = Instant::now() + self.period;
            loop {
                // A runtime of one thread looks at its sockets between two turns of this task.
                tokio::task::yield_now().await;
                let now = Instant::now();
                if self.came.swap(false, Ordering::AcqRel) {
                    end = now + self.period;
                } else if now >= end {
                    break;
                }
                // Redis may be on the same core.
                std::thread::yield_now();
            }
        }
    }

    async fn something(&self) {
        poll_fn(|cx| {
            self.sleeper.register(cx.waker());
            if self.came.swap(false, Ordering::AcqRel) {
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
    use std::sync::Arc;

    use tokio::sync::oneshot;
    use tokio::task::{JoinHandle, yield_now};
    use tokio::time::{advance, sleep};

    use super::*;

    const PERIOD: Duration = Duration::from_millis(2);

    fn start() -> (Arc<BusyPoll>, JoinHandle<()>) {
        let busy_poll = Arc::new(BusyPoll::new(PERIOD));
        let running = tokio::spawn({
            let busy_poll = Arc::clone(&busy_poll);
            async move { busy_poll.run().await }
        });
        (busy_poll, running)
    }

    async fn turns() {
        for _ in 0..100 {
            yield_now().await;
        }
    }

    /// Paused time passes by itself only while the runtime sleeps, and then at once.
    async fn is_awake() -> bool {
        let (tell, told) = oneshot::channel();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            tell.send(())
        });
        tokio::select! {
            () = sleep(PERIOD * 100) => false,
            _ = told => true,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_sleeps_when_nothing_came_for_the_period() {
        let (busy_poll, running) = start();
        turns().await;
        for _ in 0..2 {
            let start = Instant::now();
            busy_poll.came();
            turns().await;
            advance(PERIOD / 2).await;
            busy_poll.came();
            turns().await;
            advance(PERIOD / 2).await;
            turns().await;
            assert!(is_awake().await, "half a period has passed");
            assert_eq!(start.elapsed(), PERIOD);
            advance(PERIOD / 2).await;
            turns().await;
            assert!(!is_awake().await, "a whole one has passed");
        }
        assert!(!running.is_finished());
    }

    #[tokio::test]
    async fn without_a_period_it_does_nothing() {
        let busy_poll = BusyPoll::new(Duration::ZERO);
        busy_poll.came();
        busy_poll.run().await;
    }
}
