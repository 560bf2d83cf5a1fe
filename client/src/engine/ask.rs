//! What waits to be sent and then to be answered: a call or a subscription.

use streamgate_protocol::message::{Credit, Subscription};
use streamgate_protocol::{ClientMessage, Operation};

use super::window::Window;

/// A request or a subscribe. They share one queue, so that a tail from now on begins between the
/// adds that its owner made before and after it.
#[derive(Debug)]
pub(super) struct Ask {
    id: u64,
    /// Nothing else than these two.
    message: ClientMessage<'static>,
}

impl Ask {
    pub(super) const fn call(id: u64, operation: Operation<'static>) -> Self {
        let message = ClientMessage::Request { id, operation };
        Self { id, message }
    }

    pub(super) const fn subscription(
        id: u64,
        subscription: Subscription<'static>,
        credit: Credit,
    ) -> Self {
        let message = ClientMessage::Subscribe {
            id,
            subscription,
            credit,
        };
        Self { id, message }
    }

    pub(super) const fn id(&self) -> u64 {
        self.id
    }

    pub(super) const fn message(&self) -> &ClientMessage<'static> {
        &self.message
    }

    /// Whether it changes nothing at the server, so that it may be asked twice.
    pub(super) fn is_read_only(&self) -> bool {
        match &self.message {
            ClientMessage::Request { operation, .. } => operation.is_read_only(),
            ClientMessage::Subscribe { subscription, .. } => subscription.is_read_only(),
            _ => true,
        }
    }

    /// Of a subscription: the account of what may be pushed.
    pub(super) fn window(&self) -> Option<Window> {
        match &self.message {
            ClientMessage::Subscribe {
                subscription,
                credit,
                ..
            } => {
                let is_tail = matches!(subscription, Subscription::Tail { .. });
                Some(Window::new(is_tail, *credit))
            }
            _ => None,
        }
    }

    /// About as many bytes as it will have on the wire.
    pub(super) fn weight(&self) -> usize {
        let payload = match &self.message {
            ClientMessage::Request { operation, .. } => weight(operation),
            ClientMessage::Subscribe { subscription, .. } => subscription.weight(),
            _ => 0,
        };
        payload + 16
    }
}

fn weight(operation: &Operation<'_>) -> usize {
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
