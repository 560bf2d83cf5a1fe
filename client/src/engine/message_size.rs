//! How large a message will be.

use streamgate_protocol::{ClientMessage, Operation};

/// Returns about as many bytes as the message will have on the wire.
pub(super) fn estimated_bytes(message: &ClientMessage<'_>) -> usize {
    let payload = match message {
        ClientMessage::Request { operation, .. } => operation_bytes(operation),
        ClientMessage::Subscribe { subscription, .. } => subscription.weight(),
        _ => 0,
    };
    payload + 16
}

fn operation_bytes(operation: &Operation<'_>) -> usize {
    let payload = match operation {
        Operation::Add { fields, .. } => fields
            .iter()
            .map(|(name, value)| name.len() + value.len() + 4)
            .sum(),
        Operation::Ack { ids, .. } => ids.iter().map(|id| id.len() + 2).sum(),
        _ => 0,
    };
    operation.stream().len() + payload
}
