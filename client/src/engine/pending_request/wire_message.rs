//! The message that a pending request is on the wire.

use streamgate_protocol::{ClientMessage, Operation};

use super::{Idempotency, PendingRequest};

impl PendingRequest {
    /// Lends its message to `encode`. An add with a number is an `AddOnce` on the wire.
    pub(in crate::engine) fn encode(&mut self, encode: impl FnOnce(&ClientMessage<'_>)) {
        if let Idempotency::Numbered(assigned) = &mut self.idempotency
            && let ClientMessage::Request { id, operation } = &mut self.message
            && let Operation::Add {
                stream,
                fields,
                maxlen,
            } = operation
        {
            // Lent rather than copied: fields may be large.
            let lent = ClientMessage::Request {
                id: *id,
                operation: Operation::AddOnce {
                    stream: std::mem::replace(stream, "".into()),
                    fields: std::mem::take(fields),
                    maxlen: *maxlen,
                    producer: std::mem::take(&mut assigned.producer).into(),
                    number: assigned.number,
                    after: assigned.after,
                    again: self.was_sent,
                },
            };
            encode(&lent);
            if let ClientMessage::Request {
                operation:
                    Operation::AddOnce {
                        stream: lent_stream,
                        fields: lent_fields,
                        producer,
                        ..
                    },
                ..
            } = lent
            {
                (*stream, *fields) = (lent_stream, lent_fields);
                assigned.producer = producer.into();
            }
        } else {
            encode(&self.message);
        }
    }
}
