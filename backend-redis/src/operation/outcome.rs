//! The outcome of an operation once its pipeline was answered.

use futures_util::future::BoxFuture;
use streamgate_protocol::{CacheResult, Reply};

use crate::hub::hub_wait::HubWait;

/// How far an operation has come.
pub(crate) enum OperationOutcome {
    Done(CacheResult<Reply>),
    /// It waits for an entry, in the hub.
    Waiting {
        wait: HubWait,
        /// The id that `$` stood for, if the operation said `$`.
        position: Option<String>,
    },
    /// It takes further round trips.
    Continuing(BoxFuture<'static, CacheResult<Reply>>),
}

/// The state of an operation that takes one round trip or more, after an answer.
pub(super) enum Step<T> {
    Done(CacheResult<Reply>),
    More(T),
}

impl OperationOutcome {
    /// Waits for the result.
    pub(crate) async fn finish(self) -> CacheResult<Reply> {
        match self {
            Self::Done(result) => result,
            Self::Waiting { wait, .. } => wait.finish().await,
            Self::Continuing(rest) => rest.await,
        }
    }
}
