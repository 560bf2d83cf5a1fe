//! The message that a pending request is on the wire.

use streamgate_protocol::{ClientMessage, Operation};

use super::PendingRequest;

impl PendingRequest {
    /// Lends its message to `encode`. An add with a number is an `IdempotentAdd` on the wire.
    pub(in crate::engine) fn encode(&mut self, encode: impl FnOnce(&ClientMessage<'_>)) {
        // The fields move there and back: they may be large, so they are not copied.
        self.add_to_wire();
        encode(&self.message);
        self.add_from_wire();
    }

    fn add_to_wire(&mut self) {
        if let Some(add) = &mut self.add_number
            && let ClientMessage::Request { operation, .. } = &mut self.message
            && let Operation::Add {
                stream,
                fields,
                maxlen,
            } = operation
        {
            *operation = Operation::IdempotentAdd {
                stream: std::mem::replace(stream, "".into()),
                fields: std::mem::take(fields),
                maxlen: *maxlen,
                producer: std::mem::take(&mut add.producer).into(),
                number: add.number,
                after: add.after,
                again: self.was_sent,
            };
        }
    }

    fn add_from_wire(&mut self) {
        if let Some(add) = &mut self.add_number
            && let ClientMessage::Request { operation, .. } = &mut self.message
            && let Operation::IdempotentAdd {
                stream,
                fields,
                maxlen,
                producer,
                ..
            } = operation
        {
            add.producer = std::mem::replace(producer, "".into()).into();
            *operation = Operation::Add {
                stream: std::mem::replace(stream, "".into()),
                fields: std::mem::take(fields),
                maxlen: *maxlen,
            };
        }
    }
}
