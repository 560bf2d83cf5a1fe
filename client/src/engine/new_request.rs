//! A request before an engine has it.

use streamgate_protocol::{CacheResult, Operation};

use super::pending_request::PendingRequest;

/// A request that no [`Engine`](super::Engine) has taken yet, made from an [`Operation`].
///
/// It is put on the heap here, once. From its owner to its reply it changes hands many times, and
/// each time only a pointer moves: as values of 300 bytes, requests took a sixth of a busy client's
/// processor time.
#[derive(Debug)]
pub struct NewRequest(pub(super) Box<PendingRequest>);

impl From<Operation<'static>> for NewRequest {
    fn from(operation: Operation<'static>) -> Self {
        Self(Box::new(PendingRequest::new(operation)))
    }
}

impl NewRequest {
    /// Checks what a client can, before a request is queued.
    ///
    /// # Errors
    ///
    /// Those of [`Operation::validate_before_sending`].
    pub(crate) fn validate(&self) -> CacheResult<()> {
        self.0.validate()
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.0.is_read_only()
    }
}
