//! The threads of the server: one for every two cores, unless `--threads` says otherwise.
//!
//! An operation costs the one thread of Redis about as much time as it costs the server, so half of
//! the cores are for Redis and other processes. A single thread does not have to wake others, which
//! saves a fifth of the processor time.

use std::io;

use tokio::runtime::{Builder, Runtime};

/// Turns of tasks after which the runtime looks for what has arrived, even if tasks are ready. While
/// many sockets send without pause, the others are not noticed before that.
const TURNS_BETWEEN_EVENTS: u32 = 8;

/// Returns the default of `--threads`: half of the cores, at least one.
pub(super) fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1))
}

pub(super) fn build(threads: usize) -> io::Result<Runtime> {
    match threads {
        1 => Builder::new_current_thread()
            .enable_all()
            .event_interval(TURNS_BETWEEN_EVENTS)
            .build(),
        threads => Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_all()
            .event_interval(TURNS_BETWEEN_EVENTS)
            .build(),
    }
}
