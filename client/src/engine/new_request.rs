//! A request before an engine has it.

use streamgate_protocol::Operation;
use streamgate_protocol::codec::Encode as _;
use streamgate_protocol::message::Subscription;

use super::encoded_request::EncodedRequest;
use super::pending_request::PendingRequest;

/// A request or a subscription that no [`Engine`](super::Engine) has taken yet.
///
/// It is put on the heap here, once. From its owner to its reply it changes hands many times, and
/// each time only a pointer moves: as values of 300 bytes, requests took a sixth of a busy client's
/// processor time.
#[derive(Debug)]
pub struct NewRequest(pub(super) Box<PendingRequest>);

impl NewRequest {
    /// Takes an operation in the binary encoding.
    pub fn operation(encoded: &[u8]) -> Self {
        Self::new(EncodedRequest::operation(encoded))
    }

    /// Takes a subscription in the binary encoding.
    pub fn subscription(encoded: &[u8]) -> Self {
        Self::new(EncodedRequest::subscription(encoded))
    }

    fn new(request: EncodedRequest) -> Self {
        Self(Box::new(PendingRequest::new(request)))
    }

    pub(crate) const fn is_read_only(&self) -> bool {
        self.0.is_read_only()
    }
}

impl From<Operation<'_>> for NewRequest {
    fn from(operation: Operation<'_>) -> Self {
        let mut encoded = Vec::new();
        operation.write_binary(&mut encoded);
        Self::operation(&encoded)
    }
}

impl From<Subscription<'_>> for NewRequest {
    fn from(subscription: Subscription<'_>) -> Self {
        let mut encoded = Vec::new();
        subscription.write_binary(&mut encoded);
        Self::subscription(&encoded)
    }
}
