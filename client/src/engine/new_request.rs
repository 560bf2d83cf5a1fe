//! A call before an engine has it.

use streamgate_protocol::Operation;

use super::pending_request::Ask;
use super::request_queue::Call;

/// A call that no [`Engine`](super::Engine) has taken yet, made from an [`Operation`]. It is put on
/// the heap here, and once: from its owner to what is in flight it is handed on many times, which
/// then moves a pointer.
#[derive(Debug)]
pub struct NewRequest(pub(super) Box<Call>);

impl From<Operation<'static>> for NewRequest {
    fn from(operation: Operation<'static>) -> Self {
        Self(Box::new(Call::new(Ask::call(operation))))
    }
}

impl NewRequest {
    pub(crate) fn is_read_only(&self) -> bool {
        self.0.ask.is_read_only()
    }
}
