//! The message that a pending request is on the wire.

use streamgate_protocol::text::Text;
use streamgate_protocol::{Bytes, ClientMessage, Operation};

use super::PendingRequest;

impl PendingRequest {
    /// Lends its message to `encode`. An add with a number is an `IdempotentAdd` on the wire,
    /// which borrows the names and values of the add.
    pub(in crate::engine) fn encode(&self, encode: impl FnOnce(&ClientMessage<'_>)) {
        if let Some(add) = &self.add_number
            && let ClientMessage::Request {
                id,
                operation:
                    Operation::Add {
                        stream,
                        fields,
                        maxlen,
                    },
            } = &self.message
        {
            encode(&ClientMessage::Request {
                id: *id,
                operation: Operation::IdempotentAdd {
                    stream: Bytes::from(&**stream),
                    fields: fields
                        .iter()
                        .map(|(name, value)| (Bytes::from(&**name), Bytes::from(&**value)))
                        .collect(),
                    maxlen: *maxlen,
                    producer: Text::from(&*add.producer),
                    number: add.number,
                    after: add.after,
                    resent: self.may_be_done,
                },
            });
        } else {
            encode(&self.message);
        }
    }
}
