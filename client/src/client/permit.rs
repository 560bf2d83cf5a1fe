//! The bound on requests and subscriptions that are under way.

use std::ops::Deref;
use std::sync::atomic::Ordering;

use streamgate_protocol::error::code;
use streamgate_protocol::{CacheError, CacheResult};

use super::driver_handle::DriverHandle;

/// The requests and subscriptions of one client, over all its handles, that may be under way at
/// once. It bounds the channel to the driver. Further ones fail with `OVERLOADED` rather than wait:
/// waiting callers would not keep the order in which they came.
pub(super) const MAX_IN_PROGRESS: usize = 128 * 1024;

/// One of the [`MAX_IN_PROGRESS`]. Requests borrow the driver's handle, subscriptions share it.
pub(super) struct Permit<H: Deref<Target = DriverHandle>>(H);

impl<H: Deref<Target = DriverHandle>> Permit<H> {
    /// Takes a permit.
    ///
    /// # Errors
    ///
    /// `OVERLOADED` if there is none left.
    pub(super) fn acquire(driver: H) -> CacheResult<Self> {
        let before = driver.in_progress.fetch_add(1, Ordering::Relaxed);
        let permit = Self(driver);
        if before < MAX_IN_PROGRESS {
            Ok(permit)
        } else {
            let why = "too many requests are under way; wait for some of them to end";
            Err(CacheError::backend(code::OVERLOADED, why))
        }
    }
}

impl<H: Deref<Target = DriverHandle>> Drop for Permit<H> {
    fn drop(&mut self) {
        self.0.in_progress.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::{mpsc, watch};

    use super::*;
    use crate::engine::ConnectionState;

    #[test]
    fn requests_beyond_the_bound_are_refused_until_one_is_over() {
        let (commands, _commands) = mpsc::unbounded_channel();
        let (_state, states) = watch::channel(ConnectionState::Open);
        let driver = Arc::new(DriverHandle::new(commands, states));
        let mut permits: Vec<_> = (1..MAX_IN_PROGRESS)
            .map(|_| Permit::acquire(&*driver).unwrap())
            .collect();
        let subscription = Permit::acquire(Arc::clone(&driver)).unwrap();
        let refused = || Permit::acquire(&*driver).err().unwrap();
        assert_eq!(refused().code(), "OVERLOADED");
        drop(subscription);
        permits.push(Permit::acquire(&*driver).unwrap());
        assert_eq!(refused().code(), "OVERLOADED");
        permits.clear();
        assert_eq!(driver.in_progress.load(Ordering::Relaxed), 0);
    }
}
