//! A backend that counts what it is asked, and does nothing.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use streamgate_backend::{Backend, PerformOptions, Progress, ReclaimStep, Reclaimed};
use streamgate_protocol::{CacheError, CacheResult, Operation, PerformOperation, Reply};

/// The code of all its answers.
pub(crate) const COUNTED: &str = "COUNTED";

#[derive(Default)]
pub(crate) struct CountingBackend(AtomicUsize);

impl CountingBackend {
    /// Returns how often it was asked, and begins anew.
    pub(crate) fn take(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }

    fn count<T>(&self) -> CacheResult<T> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Err(CacheError::backend(COUNTED, "by a test"))
    }
}

impl PerformOperation for CountingBackend {
    async fn perform_operation<'a>(&'a self, _: Operation<'a>) -> CacheResult<Reply> {
        self.count()
    }
}

impl Backend for CountingBackend {
    fn perform<'a>(
        &'a self,
        operations: Vec<Operation<'_>>,
        _: PerformOptions,
    ) -> BoxFuture<'a, Vec<Progress<'a>>> {
        let results = operations.iter().map(|_| Progress::Done(self.count()));
        Box::pin(std::future::ready(results.collect()))
    }

    fn reclaim<'a>(&'a self, _: ReclaimStep) -> BoxFuture<'a, CacheResult<Reclaimed>> {
        Box::pin(std::future::ready(self.count()))
    }
}
