//! Cancelling at the server what is dropped here.

use std::ops::Deref;

use super::driver_handle::DriverHandle;
use crate::command::Command;

/// Cancels a request or a subscription at the server when its future or its stream is dropped.
pub(super) struct CancelGuard<H: Deref<Target = DriverHandle>> {
    driver: H,
    id: u64,
    is_armed: bool,
}

impl<H: Deref<Target = DriverHandle>> CancelGuard<H> {
    pub(super) const fn new(driver: H, id: u64) -> Self {
        Self {
            driver,
            id,
            is_armed: true,
        }
    }

    /// Prevents the cancel: the request or the subscription is over.
    pub(super) const fn disarm(&mut self) {
        self.is_armed = false;
    }
}

impl<H: Deref<Target = DriverHandle>> Drop for CancelGuard<H> {
    fn drop(&mut self) {
        if self.is_armed {
            // Without a driver there is nothing left to cancel.
            let _ = self.driver.send(Command::Cancel { id: self.id });
        }
    }
}
