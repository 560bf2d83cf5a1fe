//! tokio's clock, which tests can pause.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::engine::Millis;
use crate::transport::Clock;

#[derive(Debug)]
pub(super) struct TokioClock {
    start: Instant,
}

impl TokioClock {
    pub(super) fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Clock for TokioClock {
    type Sleep = Pin<Box<Sleep>>;

    fn now(&self) -> Millis {
        // 2^64 milliseconds are 585 million years.
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn sleep_until(&self, deadline: Millis) -> Self::Sleep {
        Box::pin(sleep_until(self.start + Duration::from_millis(deadline)))
    }
}
