//! How far an operation has come.

use std::fmt;

use futures_util::future::BoxFuture;
use streamgate_protocol::{CacheError, CacheResult, Operation, Reply};

use crate::{Backend, PerformOptions};

/// How far an operation has come when [`Backend::perform`] returns.
pub enum Progress<'a> {
    /// The operation is done.
    Done(CacheResult<Reply>),
    /// The operation waits for an entry. Built by [`Progress::waiting`].
    #[non_exhaustive]
    Waiting {
        /// The id that `$` stands for in this read, if the backend resolved one. The server sends
        /// it to the client, which reads from there after a reconnect.
        position: Option<String>,
        /// Resolves to the reply. Dropping it ends the wait.
        future: BoxFuture<'a, CacheResult<Reply>>,
    },
    /// The operation takes further round trips, and waits for no entry. Built by
    /// [`Progress::continuing`].
    ///
    /// The server bounds how many bytes such operations take at once, and answers them before it
    /// shuts down.
    #[non_exhaustive]
    Continuing {
        /// Resolves to the reply. Dropping it stops the operation where it is.
        future: BoxFuture<'a, CacheResult<Reply>>,
    },
}

impl<'a> Progress<'a> {
    /// Returns the progress of an operation that waits.
    ///
    /// `position` is the id that `$` stands for, if this is a read from `$`. Dropping `future` must
    /// end the wait.
    pub fn waiting(position: Option<String>, future: BoxFuture<'a, CacheResult<Reply>>) -> Self {
        Self::Waiting { position, future }
    }

    /// Returns the progress of an operation that takes further round trips.
    ///
    /// `future` must end without an entry being added. Dropping it must send nothing more.
    pub fn continuing(future: BoxFuture<'a, CacheResult<Reply>>) -> Self {
        Self::Continuing { future }
    }

    /// Waits until the operation is done.
    ///
    /// # Errors
    ///
    /// Those of the operation.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the wait. An operation of further round trips stops where it is.
    pub async fn finish(self) -> CacheResult<Reply> {
        match self {
            Self::Done(result) => result,
            Self::Waiting { future, .. } | Self::Continuing { future } => future.await,
        }
    }
}

/// Performs one operation, and waits until it is done.
pub(crate) async fn perform_one<B: Backend + ?Sized>(
    backend: &B,
    operation: Operation<'_>,
) -> CacheResult<Reply> {
    match backend
        .perform(vec![operation], PerformOptions::default())
        .await
        .pop()
    {
        Some(progress) => progress.finish().await,
        None => {
            let why = "the backend returned no result for an operation";
            Err(CacheError::InternalError(why.to_owned()))
        }
    }
}

impl fmt::Debug for Progress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(result) => f.debug_tuple("Done").field(result).finish(),
            Self::Waiting { position, .. } => f
                .debug_struct("Waiting")
                .field("position", position)
                .finish_non_exhaustive(),
            Self::Continuing { .. } => f.debug_struct("Continuing").finish_non_exhaustive(),
        }
    }
}
