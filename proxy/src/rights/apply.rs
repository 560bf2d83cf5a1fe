//! The terms of a right, applied to what it permits.

use std::borrow::Cow;
use std::sync::Arc;

use streamgate_protocol::limits::MAX_CLIENT_ID_BYTES;
use streamgate_protocol::message::Subscription;
use streamgate_protocol::text::Text;
use streamgate_protocol::{ByteString, Bytes, Operation};

use super::needs::Need;
use super::permission::Permission;
use super::{RESERVED_PREFIX, is_reserved};
use crate::auth::TokenDigest;

/// The terms of a right.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    /// Put before the names of streams.
    pub(super) prefix: Option<Arc<[u8]>>,
    /// Takes the place of the client's `maxlen`; of a consumer, it bounds its dead-letter stream.
    pub(super) maxlen: Option<u64>,
    /// The largest number of entries of one reply.
    pub(super) max_count: Option<u64>,
}

/// What a subject's rights say of the dead letters of a consumer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DeadLetterTerms {
    /// The stream by the name that the client used, if its key has a prefix.
    pub(crate) stream: Option<ByteString>,
    /// The bound of the dead-letter stream.
    pub(crate) maxlen: Option<u64>,
}

impl Terms {
    /// Returns whether a stream's name belongs to the server, with or without the prefix.
    pub(super) fn makes_reserved(&self, stream: &[u8]) -> bool {
        is_reserved(stream)
            || self.prefix.as_deref().is_some_and(|prefix| {
                let whole = prefix.iter().chain(stream).take(RESERVED_PREFIX.len());
                whole.eq(RESERVED_PREFIX)
            })
    }

    /// Returns the largest number of entries of one push to a consumer that asked for this many.
    pub(crate) fn batch(&self, mut asked: u64) -> u64 {
        self.cap(&mut asked);
        asked
    }

    /// Returns the bound of a consumer's dead-letter stream.
    pub(crate) fn dead_letter_maxlen(&self) -> Option<u64> {
        self.maxlen
    }

    /// Adds the terms of another right that permits this need. Of two bounds the smaller counts, so
    /// that the order of rights and roles has no meaning.
    pub(super) fn restrict(&mut self, right: &Self, need: &Need<'_>) {
        let smaller = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
        if need.permission == Permission::Add {
            self.maxlen = smaller(self.maxlen, right.maxlen);
        } else {
            self.max_count = smaller(self.max_count, right.max_count);
        }
    }

    /// Applies the terms. `producer_prefix` keeps the producers of different subjects apart.
    pub(super) fn apply_to_operation(&self, operation: &mut Operation<'_>, producer_prefix: &str) {
        self.set_prefix(stream_of(operation));
        match operation {
            Operation::Add { maxlen, .. } => self.set_maxlen(maxlen),
            Operation::IdempotentAdd {
                maxlen, producer, ..
            } => {
                self.set_maxlen(maxlen);
                *producer = Text(Cow::Owned(own_producer(producer_prefix, producer)));
            }
            Operation::Read { count, .. }
            | Operation::ReadGroup { count, .. }
            | Operation::ReadPending { count, .. } => self.limit_count(count),
            // Here 0 means none, not all.
            Operation::ReadLatest { count, .. }
            | Operation::Pending { count, .. }
            | Operation::Claim { count, .. } => self.cap(count),
            _ => {}
        }
    }

    /// Applies the terms. Returns those of its dead letters.
    pub(super) fn apply_to_subscription(
        &self,
        subscription: &mut Subscription<'_>,
    ) -> DeadLetterTerms {
        let mut dead_letters = DeadLetterTerms::default();
        match subscription {
            Subscription::Tail { stream, .. } => self.set_prefix(Some(stream)),
            Subscription::Consume {
                stream,
                dead_letter,
                batch,
                ..
            } => {
                if dead_letter.is_some() {
                    dead_letters.maxlen = self.maxlen;
                    dead_letters.stream = self.prefix.as_ref().map(|_| stream.clone().into());
                }
                self.set_prefix(Some(stream));
                self.set_prefix(dead_letter.as_mut());
                self.cap(batch);
            }
            _ => {}
        }
        dead_letters
    }

    fn set_prefix(&self, stream: Option<&mut Bytes<'_>>) {
        if let (Some(prefix), Some(stream)) = (&self.prefix, stream) {
            stream.0 = Cow::Owned([prefix, &stream.0[..]].concat());
        }
    }

    /// A `maxlen` of 0 empties a stream, which no permission allows.
    fn set_maxlen(&self, maxlen: &mut Option<u64>) {
        *maxlen = self.maxlen.or(maxlen.map(|maxlen| maxlen.max(1)));
    }

    /// Lowers a count to the ceiling.
    fn cap(&self, count: &mut u64) {
        *count = self.max_count.map_or(*count, |max| max.min(*count));
    }

    /// Lowers a count, of which 0 means no limit.
    fn limit_count(&self, count: &mut u64) {
        if *count == 0 {
            *count = self.max_count.unwrap_or(0);
        } else {
            self.cap(count);
        }
    }
}

/// Returns a name that no other subject's producer has. A name that is too long stays so.
fn own_producer(prefix: &str, producer: &str) -> String {
    let name = format!("{prefix}{producer}");
    if name.len() > MAX_CLIENT_ID_BYTES && producer.len() <= MAX_CLIENT_ID_BYTES {
        return TokenDigest::of(&name).as_base64url();
    }
    name
}

/// Returns the stream of an operation.
pub(super) fn stream_of<'o, 'a>(operation: &'o mut Operation<'a>) -> Option<&'o mut Bytes<'a>> {
    Some(match operation {
        Operation::Add { stream, .. }
        | Operation::ReadLatest { stream, .. }
        | Operation::Read { stream, .. }
        | Operation::CreateGroup { stream, .. }
        | Operation::ReadGroup { stream, .. }
        | Operation::Ack { stream, .. }
        | Operation::ReadPending { stream, .. }
        | Operation::IdempotentAdd { stream, .. }
        | Operation::PendingSummary { stream, .. }
        | Operation::Pending { stream, .. }
        | Operation::Claim { stream, .. }
        | Operation::RemoveConsumer { stream, .. }
        | Operation::Consumers { stream, .. } => stream,
        // It is not permitted either.
        _ => return None,
    })
}
