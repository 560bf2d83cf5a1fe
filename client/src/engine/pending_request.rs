//! What waits to be sent and then to be answered: a call or a subscription.

use streamgate_protocol::limits::{MAX_FIELDS_ONCE, REMEMBERED_MS};
use streamgate_protocol::message::{Credit, Start, Subscription};
use streamgate_protocol::{CacheResult, ClientMessage, Operation};

use super::Millis;
use super::delivery_log::Name;
use super::idempotent_producers::Numbered;
use super::subscription_window::Window;

/// A request or a subscribe. They share one queue, so that a tail from now on begins between the
/// adds that its owner made before and after it.
#[derive(Debug)]
pub(super) struct Ask {
    id: u64,
    /// Nothing else than these two.
    message: ClientMessage<'static>,
    /// Whether it was sent, so that the server may have done it.
    pub(super) was_sent: bool,
    /// When the wait that it asks for is over.
    wait_ends_at: Option<Millis>,
    /// The answer that gave entries to a consumer was lost: they are looked for behind this id, in
    /// what is pending for it, before anything else is asked.
    pub(super) look_after: Option<String>,
    /// At most so many are looked for at once, because more were too large for an answer; 0 for as many as
    /// are asked for.
    look_most: u64,
    /// When it was sent first.
    sent_at: Option<Millis>,
    /// Since when it is asked for again, because the connection was lost, or the server's backend.
    pub(super) again_since: Option<Millis>,
    /// Of an add or an acknowledgement: an earlier time may have done it.
    pub(super) maybe_done: bool,
}

/// How long an add may be asked for again, in milliseconds: well within what servers remember.
pub(super) const MAX_AGE_MS: u64 = REMEMBERED_MS / 2;

/// What is taken for the number of entries that were too large where all were asked for.
const ALL_AT_ONCE: u64 = 256;

/// What becomes of an ask when the connection is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RetryPolicy {
    /// Once more does no harm.
    AskAgain,
    /// Once more, after what it may have been given was looked for.
    LookAndAskAgain,
    /// Once more could do it twice.
    Unknown,
}

impl Ask {
    /// A request that has no id yet.
    pub(super) const fn call(operation: Operation<'static>) -> Self {
        let id = 0;
        Self::new(id, ClientMessage::Request { id, operation })
    }

    pub(super) const fn set_id(&mut self, new: u64) {
        self.id = new;
        if let ClientMessage::Request { id, .. } | ClientMessage::Subscribe { id, .. } =
            &mut self.message
        {
            *id = new;
        }
    }

    /// Before [`once`](Self::once): what that makes of an add is complete when it has its number.
    pub(super) fn validate(&self) -> CacheResult<()> {
        match &self.message {
            ClientMessage::Request { operation, .. } => operation.validate(),
            ClientMessage::Subscribe { subscription, .. } => subscription.validate(),
            _ => Ok(()),
        }
    }

    /// An add becomes one that is done once, if it can.
    pub(super) fn once(&mut self) {
        if let ClientMessage::Request { operation, .. } = &mut self.message
            && let Operation::Add {
                stream,
                fields,
                maxlen,
            } = operation
            && fields.len() <= MAX_FIELDS_ONCE
        {
            *operation = Operation::AddOnce {
                stream: std::mem::replace(stream, "".into()),
                fields: std::mem::take(fields),
                maxlen: *maxlen,
                producer: "".into(),
                number: 0,
                after: 0,
                again: false,
            };
        }
    }

    /// Of an add that is done once: the stream, and under which name it has which number, if any.
    pub(super) fn adds_once(&self) -> Option<(&str, Option<(&str, Numbered)>)> {
        match &self.message {
            ClientMessage::Request {
                operation:
                    Operation::AddOnce {
                        stream,
                        producer,
                        number,
                        after,
                        ..
                    },
                ..
            } => {
                let (number, after) = (*number, *after);
                let own = (number > 0).then_some((&**producer, Numbered { number, after }));
                Some((stream, own))
            }
            _ => None,
        }
    }

    /// Gives it its number, or takes away that it is done once.
    pub(super) fn number(&mut self, numbered: Option<(&str, Numbered)>) {
        let ClientMessage::Request { operation, .. } = &mut self.message else {
            return;
        };
        let Operation::AddOnce {
            stream,
            fields,
            maxlen,
            producer,
            number,
            after,
            again,
        } = operation
        else {
            return;
        };
        match numbered {
            Some((name, numbered)) => {
                if **producer != *name {
                    *producer = name.to_owned().into();
                }
                *number = numbered.number;
                *after = numbered.after;
                *again = self.was_sent;
            }
            None => {
                *operation = Operation::Add {
                    stream: std::mem::replace(stream, "".into()),
                    fields: std::mem::take(fields),
                    maxlen: *maxlen,
                };
            }
        }
    }

    pub(super) const fn subscription(
        id: u64,
        subscription: Subscription<'static>,
        credit: Credit,
    ) -> Self {
        Self::new(
            id,
            ClientMessage::Subscribe {
                id,
                subscription,
                credit,
            },
        )
    }

    const fn new(id: u64, message: ClientMessage<'static>) -> Self {
        Self {
            id,
            message,
            was_sent: false,
            wait_ends_at: None,
            look_after: None,
            sent_at: None,
            look_most: 0,
            again_since: None,
            maybe_done: false,
        }
    }

    pub(super) const fn id(&self) -> u64 {
        self.id
    }

    pub(super) const fn message(&self) -> &ClientMessage<'static> {
        &self.message
    }

    /// Asks for no more than what is left of its wait.
    pub(super) fn prepare(&mut self, now: Millis) {
        self.sent_at.get_or_insert(now);
        if let ClientMessage::Request {
            operation: Operation::Read { block_ms, .. } | Operation::ReadGroup { block_ms, .. },
            ..
        } = &mut self.message
        {
            match (self.wait_ends_at, *block_ms) {
                (Some(end), _) => *block_ms = end.checked_sub(now).filter(|left| *left > 0),
                (None, Some(wait)) if wait > 0 => self.wait_ends_at = now.checked_add(wait),
                _ => {}
            }
        }
    }

    pub(super) fn fate(&self, now: Millis) -> RetryPolicy {
        match &self.message {
            ClientMessage::Request { operation, .. } => match operation {
                Operation::ReadGroup { .. } => RetryPolicy::LookAndAskAgain,
                Operation::Ack { .. } => RetryPolicy::AskAgain,
                Operation::AddOnce { .. } if !self.is_too_old(now) => RetryPolicy::AskAgain,
                operation if operation.is_read_only() => RetryPolicy::AskAgain,
                _ => RetryPolicy::Unknown,
            },
            ClientMessage::Subscribe { subscription, .. } => match subscription {
                Subscription::Tail { .. } => RetryPolicy::AskAgain,
                Subscription::Consume { .. } => RetryPolicy::LookAndAskAgain,
            },
            _ => RetryPolicy::Unknown,
        }
    }

    /// Whether to ask on while the server has no backend: until the wait that it asks for is over,
    /// and for so long at least.
    pub(super) fn has_patience(&self, patience_ms: Millis, now: Millis) -> bool {
        let patience = self.again_since.unwrap_or(now) + patience_ms;
        now < patience
            || match &self.message {
                ClientMessage::Request { operation, .. } => match self.wait_ends_at {
                    Some(end) => now < end,
                    None => operation.block_ms().is_some(),
                },
                _ => true,
            }
    }

    fn is_too_old(&self, now: Millis) -> bool {
        self.sent_at.is_some_and(|sent| now >= sent + MAX_AGE_MS)
    }

    /// Where a read from `$` waits.
    pub(super) fn stands_at(&mut self, id: String) {
        if let ClientMessage::Request {
            operation: Operation::Read { last_id, .. },
            ..
        } = &mut self.message
            && &**last_id == "$"
        {
            *last_id = id.into();
        }
    }

    /// Of a subscription: where it goes on, and with how much credit.
    pub(super) fn resume(&mut self, position: Option<&str>, left: Credit) {
        if let ClientMessage::Subscribe {
            subscription,
            credit,
            ..
        } = &mut self.message
        {
            *credit = left;
            match (subscription, position) {
                (Subscription::Tail { from, .. }, Some(position)) => {
                    let id = position.to_owned().into();
                    *from = Start::After { id };
                }
                // What is pending for it was looked for.
                (
                    Subscription::Consume {
                        claim_after_ms: Some(_),
                        resumed,
                        ..
                    },
                    _,
                ) => *resumed = self.was_sent.then_some(true),
                _ => {}
            }
        }
    }

    /// The consumer that it reads a group for.
    pub(super) fn consumer(&self) -> Option<Name<'_>> {
        match &self.message {
            ClientMessage::Request {
                operation:
                    Operation::ReadGroup {
                        stream,
                        group,
                        consumer,
                        ..
                    },
                ..
            }
            | ClientMessage::Subscribe {
                subscription:
                    Subscription::Consume {
                        stream,
                        group,
                        consumer,
                        ..
                    },
                ..
            } => Some(Name {
                stream,
                group,
                consumer,
            }),
            _ => None,
        }
    }

    /// The consumer that it gives entries to, whether it reads them or claims them.
    pub(super) fn given_to(&self) -> Option<Name<'_>> {
        match &self.message {
            ClientMessage::Request {
                operation:
                    Operation::Claim {
                        stream,
                        group,
                        consumer,
                        ..
                    },
                ..
            } => Some(Name {
                stream,
                group,
                consumer,
            }),
            _ => self.consumer(),
        }
    }

    /// Whether it is a consumer that takes over what others hold.
    pub(super) const fn takes_over(&self) -> bool {
        matches!(
            &self.message,
            ClientMessage::Subscribe {
                subscription: Subscription::Consume {
                    claim_after_ms: Some(_),
                    ..
                },
                ..
            }
        )
    }

    /// Of how many entries a look is; 0 for all there are.
    fn look_count(&self, room: u64) -> u64 {
        let count = match &self.message {
            ClientMessage::Request {
                operation: Operation::ReadGroup { count, .. },
                ..
            } => *count,
            ClientMessage::Subscribe {
                subscription: Subscription::Consume { batch, .. },
                ..
            } => room.min(*batch),
            _ => 0,
        };
        match self.look_most {
            0 => count,
            most if count == 0 => most,
            most => count.min(most),
        }
    }

    /// What a look found was too large for one answer: looks for less. Whether there is less than that.
    pub(super) fn look_for_less(&mut self, room: u64) -> bool {
        let count = match self.look_count(room) {
            0 => ALL_AT_ONCE,
            count => count,
        };
        self.look_most = count / 2;
        self.look_most > 0
    }

    /// The request that looks for what was given, of at most so many entries.
    pub(super) fn look(&self, room: u64) -> Option<ClientMessage<'_>> {
        let after = self.look_after.as_deref()?;
        let count = self.look_count(room);
        let name = self.consumer()?;
        let operation = Operation::ReadPending {
            stream: name.stream.into(),
            group: name.group.into(),
            consumer: name.consumer.into(),
            after: after.into(),
            count,
        };
        Some(ClientMessage::Request {
            id: self.id,
            operation,
        })
    }

    /// Whether it changes nothing at the server, so that it may be asked twice.
    pub(super) fn is_read_only(&self) -> bool {
        match &self.message {
            ClientMessage::Request { operation, .. } => operation.is_read_only(),
            ClientMessage::Subscribe { subscription, .. } => subscription.is_read_only(),
            _ => true,
        }
    }

    pub(super) const fn is_subscription(&self) -> bool {
        matches!(self.message, ClientMessage::Subscribe { .. })
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
        Operation::Add { fields, .. } | Operation::AddOnce { fields, .. } => fields
            .iter()
            .map(|(name, value)| name.len() + value.len() + 4)
            .sum(),
        Operation::Ack { ids, .. } => ids.iter().map(|id| id.len() + 2).sum(),
        _ => 0,
    };
    operation.stream().len() + payload
}
