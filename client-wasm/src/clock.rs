//! The clock of a page or a worker.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use gloo_timers::future::TimeoutFuture;
use streamgate_client::internals::{Clock, Millis};
use wasm_bindgen::prelude::wasm_bindgen;

/// The longest timer that every runtime supports; longer ones fire at once.
const LONGEST_TIMER_MS: u64 = i32::MAX as u64;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;
}

/// `performance.now()`, which never goes back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PerformanceClock;

impl Clock for PerformanceClock {
    type Sleep = Sleep;

    fn now(&self) -> Millis {
        performance_now() as Millis
    }

    fn sleep_until(&self, deadline: Millis) -> Sleep {
        // One more: a timer may fire up to a millisecond early by this clock.
        let ms = deadline
            .saturating_sub(self.now())
            .saturating_add(1)
            .min(LONGEST_TIMER_MS);
        Sleep(TimeoutFuture::new(ms as u32))
    }
}

/// A timer. It may end too early, which drivers allow.
#[derive(Debug)]
pub(crate) struct Sleep(TimeoutFuture);

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}
