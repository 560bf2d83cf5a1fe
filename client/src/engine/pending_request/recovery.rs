//! Finding the entries of a lost reply.

use streamgate_protocol::message::Subscription;
use streamgate_protocol::{ClientMessage, Operation};

use super::PendingRequest;

/// The number of entries to assume if a recovery without a limit found too much for one reply.
const ASSUMED_WITHOUT_LIMIT: u64 = 256;

impl PendingRequest {
    /// Returns the request that looks for lost entries, if there may be any.
    pub(in crate::engine) fn recovery_message(&self) -> Option<ClientMessage<'_>> {
        let after = self.recover_after.as_deref()?;
        let consumer = self.consumer()?;
        let operation = Operation::ReadPending {
            stream: consumer.stream.into(),
            group: consumer.group.into(),
            consumer: consumer.consumer.into(),
            after: after.into(),
            count: self.recovery_count(),
            except: Vec::new(),
        };
        Some(ClientMessage::Request {
            id: self.id,
            operation,
        })
    }

    /// Halves the entries that one recovery asks for, because they were too large for one reply.
    /// Returns whether any are left.
    pub(in crate::engine) fn halve_recovery(&mut self) -> bool {
        let count = match self.recovery_count() {
            0 => ASSUMED_WITHOUT_LIMIT,
            count => count,
        };
        self.max_recovered = count / 2;
        self.max_recovered > 0
    }

    /// How many entries a recovery asks for; 0 for no limit.
    fn recovery_count(&self) -> u64 {
        let count = match &self.message {
            ClientMessage::Request {
                operation: Operation::ReadGroup { count, .. },
                ..
            } => *count,
            ClientMessage::Subscribe {
                subscription: Subscription::Consume { batch, .. },
                ..
            } => self.window_room().min(*batch),
            _ => 0,
        };
        match self.max_recovered {
            0 => count,
            max if count == 0 => max,
            max => count.min(max),
        }
    }
}
