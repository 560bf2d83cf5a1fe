//! A request or a subscription from its submission to its last reply, and for how long it is sent
//! again.

mod recovery;

use streamgate_protocol::backoff::Backoff;
use streamgate_protocol::error::code;
use streamgate_protocol::limits::{MAX_FAILURES, REMEMBERED_MS};
use streamgate_protocol::message::Credit;
use streamgate_protocol::text::Text;

use super::delivery_log::ConsumerKey;
use super::encoded_request::{
    CONSUME, EncodedRequest, READ_GROUP, READ_PENDING, RequestKind, TAIL, number,
};
use super::idempotent_producers::{AddNumber, IdempotentProducers};
use super::jitter::Jitter;
use super::retry_backoff;
use super::retry_policy::RetryPolicy;
use super::subscription_window::SubscriptionWindow;
use super::time::Millis;

pub(super) use recovery::is_background_id;

/// What a message has beside the fields of its request, roughly.
const MESSAGE_BYTES: usize = 16;

/// How long an idempotent add is sent again: well within the time that servers remember its number.
pub(super) const MAX_ADD_RETRY_MS: u64 = REMEMBERED_MS / 2;

/// A request or a subscription that is not over.
///
/// They share one queue, so that a tail from now on begins between the adds that its owner made
/// before and after it.
#[derive(Debug)]
pub(super) struct PendingRequest {
    id: u64,
    /// Its place among all requests, in the order in which they were admitted. Ids of concurrent
    /// callers are in another order. A background recovery is the last.
    pub(super) order: u64,
    request: EncodedRequest,
    /// The first credit of a subscription.
    credit: Credit,
    /// The number of an idempotent add.
    add_number: Option<AddNumber>,
    /// Whether it was ever sent, so that the server may have performed it.
    pub(super) was_sent: bool,
    first_sent_at: Option<Millis>,
    pub(super) last_sent_at: Millis,
    /// Whether the server's backend was unavailable when it was sent last.
    was_sent_in_vain: bool,
    /// How often it failed without progress although the server's backend was available.
    failures: u32,
    /// When the wait that it asks for is over.
    wait_ends_at: Option<Millis>,
    /// Since when it is being retried, after the connection or the server's backend was lost.
    retried_since: Option<Millis>,
    /// Whether an earlier attempt may have performed an add or an acknowledgement.
    pub(super) may_be_done: bool,
    /// Whether it begins with a recovery, because a delivery to its consumer may have been lost.
    pub(super) is_recovering: bool,
    /// The flow control of a subscription that was sent. Boxed because most requests have none.
    pub(super) window: Option<Box<SubscriptionWindow>>,
    /// The length on the wire, estimated until it is sent.
    pub(super) bytes: usize,
    /// The moment from which its time in the queue counts: when it was admitted, when its
    /// connection was lost, or when its pause ends.
    pub(super) queued_at: Millis,
    backoff: Backoff,
    is_pausing: bool,
}

impl PendingRequest {
    /// Returns a request that has no id yet.
    pub(super) fn new(request: EncodedRequest) -> Self {
        Self {
            id: 0,
            order: u64::MAX,
            bytes: request.len() + MESSAGE_BYTES,
            request,
            credit: Credit::default(),
            add_number: None,
            was_sent: false,
            first_sent_at: None,
            last_sent_at: 0,
            was_sent_in_vain: false,
            failures: 0,
            wait_ends_at: None,
            retried_since: None,
            may_be_done: false,
            is_recovering: false,
            window: None,
            queued_at: 0,
            backoff: retry_backoff::new(),
            is_pausing: false,
        }
    }

    pub(super) const fn set_id(&mut self, id: u64) {
        self.id = id;
    }

    pub(super) const fn id(&self) -> u64 {
        self.id
    }

    /// Sets the first credit of a subscription: `entries`, but no more than it takes at once.
    pub(super) fn set_credit(&mut self, entries: u64, bytes: u64) {
        let entries = match self.request.kind() {
            CONSUME => entries.min(self.request.count()),
            _ => entries,
        };
        // A window of 0 would never be used up, nor granted again.
        self.credit = Credit {
            entries: entries.max(1),
            bytes: bytes.max(1),
        };
    }

    /// Whether performing it changes nothing at the server.
    pub(super) const fn is_read_only(&self) -> bool {
        self.request.is_read_only()
    }

    pub(super) const fn is_subscription(&self) -> bool {
        matches!(self.request.kind(), RequestKind::Subscription(_))
    }

    /// Whether it may last for ever: it waits for entries.
    pub(super) fn is_endless(&self) -> bool {
        self.is_subscription() || self.request.block_ms().is_some()
    }

    /// Whether its owner waits for it.
    pub(super) fn has_owner(&self) -> bool {
        !self.is_background()
    }

    /// The consumer for which it reads a group.
    // Inlined it would be a larger download for browsers.
    #[inline(never)]
    pub(super) fn consumer(&self) -> Option<ConsumerKey<'_>> {
        let reads_group = match self.request.kind() {
            READ_GROUP | CONSUME => true,
            READ_PENDING => self.is_background(),
            _ => false,
        };
        reads_group.then(|| self.request.consumer_key())
    }

    pub(super) fn is_ack(&self) -> bool {
        self.request.kind() == RequestKind::Operation(number::ACK)
    }

    /// Returns the stream, the group and the ids that it acknowledges.
    pub(super) fn acknowledged(&self) -> Option<(&[u8], &[u8], Vec<Text<'_>>)> {
        self.is_ack().then(|| self.request.acknowledged())
    }

    /// The consumer that receives entries by it, through a read or through a claim.
    pub(super) fn receiver(&self) -> Option<ConsumerKey<'_>> {
        if self.request.kind() == RequestKind::Operation(number::CLAIM) {
            return Some(self.request.consumer_key());
        }
        self.consumer()
    }

    /// Whether it is a consumer that creates its group where it is missing.
    pub(super) fn creates_group(&self) -> bool {
        self.request.create_from().is_some()
    }

    /// Whether it is a consumer that reclaims idle entries of others.
    pub(super) fn reclaims(&self) -> bool {
        self.request.reclaims()
    }

    /// Returns a new window for a subscription.
    pub(super) fn new_window(&self) -> Option<SubscriptionWindow> {
        let is_tail = self.request.kind() == TAIL;
        let create_from = self.request.create_from();
        let has_position = is_tail || create_from.is_some_and(|id| &*id == "$");
        self.is_subscription()
            .then(|| SubscriptionWindow::new(is_tail, has_position, self.credit))
    }

    /// The entries of a subscription that arrived, and that its owner did not take.
    pub(super) fn unshown_entries(&self) -> u64 {
        let window = self.window.as_ref();
        window.map_or(0, |window| window.unconsumed_entries())
    }

    /// The entries that a subscription's window has room for.
    pub(super) fn window_room(&self) -> u64 {
        match &self.window {
            Some(window) => window.room(),
            None => self.credit.entries,
        }
    }
}

/// Idempotent adds.
impl PendingRequest {
    /// Makes an add idempotent.
    pub(super) fn make_idempotent(&mut self) {
        if self.request.kind() == RequestKind::Operation(number::ADD) {
            self.add_number = Some(AddNumber::default());
        }
    }

    pub(super) const fn is_idempotent_add(&self) -> bool {
        self.add_number.is_some()
    }

    /// Returns the stream and the number of an idempotent add.
    pub(super) fn idempotent_add(&self) -> Option<(&[u8], &AddNumber)> {
        let number = self.add_number.as_ref()?;
        Some((self.request.stream(), number))
    }

    /// Numbers an idempotent add. Without a producer left it becomes a plain add.
    pub(super) fn assign_number(&mut self, producers: &mut IdempotentProducers) {
        if let Some(number) = &mut self.add_number
            && !producers.assign(self.request.stream(), number)
        {
            self.add_number = None;
        }
    }

    fn is_too_old_to_resend(&self, now: Millis) -> bool {
        self.first_sent_at
            .is_some_and(|sent| now >= sent + MAX_ADD_RETRY_MS)
    }
}

/// Retries.
impl PendingRequest {
    /// Returns what becomes of it if its reply is lost.
    pub(super) fn retry_policy(&self, now: Millis) -> RetryPolicy {
        let is_known = self.is_idempotent_add() && !self.is_too_old_to_resend(now);
        RetryPolicy::of_request(&self.request, is_known)
    }

    /// Whether it is retried after an error that says that nothing was done. A subscription is,
    /// unless it is one too many for the server, and so is a request that is being retried already.
    pub(super) fn retries_after(&self, code: &str) -> bool {
        self.retried_since.is_some() || self.window.is_some() && code != code::OVERLOADED
    }

    /// Whether to go on retrying: a request for `patience_ms`, or until the wait that it asks for
    /// is over, a subscription or a background recovery for ever. A wait and a subscription end
    /// sooner if they fail again and again although the server's backend is available.
    pub(super) fn has_patience(&self, patience_ms: Millis, now: Millis) -> bool {
        let is_hopeful = self.failures < MAX_FAILURES;
        if self.is_background() {
            return true;
        }
        if self.is_subscription() {
            return is_hopeful;
        }
        let is_waiting = match self.wait_ends_at {
            Some(end) => now < end,
            None => self.request.block_ms().is_some(),
        };
        let patience_ends_at = self.retried_since.unwrap_or(now) + patience_ms;
        now < patience_ends_at || is_waiting && is_hopeful
    }

    /// Records that it is being retried.
    pub(super) fn mark_retried(&mut self, now: Millis) {
        self.retried_since.get_or_insert(now);
    }

    /// Records that its connection was lost while it was in flight.
    pub(super) fn record_connection_lost(&mut self, now: Millis) {
        self.queued_at = now;
        self.mark_retried(now);
        // Entries that a consumer may have received are recovered instead.
        self.may_be_done |= !self.is_read_only() && self.consumer().is_none();
    }

    /// Records that the server could not perform it. If it was in flight for `stable_after_ms`, the
    /// server had begun to perform it.
    pub(super) fn record_failure(&mut self, stable_after_ms: u64, now: Millis) {
        if now >= self.last_sent_at + stable_after_ms {
            self.record_progress();
        } else if !self.was_sent_in_vain {
            self.failures += 1;
        }
    }

    /// Records that the server performed something for it: the pauses start again. An available
    /// backend alone is no reason, for it may be this request that makes it unavailable.
    pub(super) const fn record_progress(&mut self) {
        self.failures = 0;
        self.backoff.reset();
    }

    /// Starts a pause, after which it is sent again, at `earliest` at the earliest.
    pub(super) fn pause(&mut self, now: Millis, earliest: Millis, jitter: &mut Jitter) {
        let end = now + retry_backoff::next_pause_ms(&mut self.backoff, jitter);
        self.queued_at = end.max(earliest);
        self.is_pausing = true;
    }

    /// Ends the pause.
    pub(super) const fn end_pause(&mut self) {
        self.is_pausing = false;
    }

    /// When its pause ends, if it is pausing.
    pub(super) fn pause_ends_at(&self) -> Option<Millis> {
        self.is_pausing.then_some(self.queued_at)
    }

    /// When it has been in the queue for too long. A subscription that has begun and a background
    /// recovery wait without a limit.
    pub(super) fn expires_at(&self, queue_timeout_ms: u64) -> Option<Millis> {
        let retried_add = self.retried_since.filter(|_| self.is_idempotent_add());
        let end = match retried_add {
            Some(since) => since + queue_timeout_ms.min(MAX_ADD_RETRY_MS),
            None => self.queued_at.saturating_add(queue_timeout_ms),
        };
        (self.window.is_none() && !self.is_background()).then_some(end)
    }

    /// Whether it can be sent now. A consumer whose window has no room for what a recovery finds
    /// waits until it has.
    pub(super) fn is_ready(&self) -> bool {
        let has_room = self.window.is_none() || !self.is_recovering;
        !self.is_pausing && (has_room || self.window_room() > 0)
    }
}

/// Changes of the message before it is sent, or sent again.
impl PendingRequest {
    /// Records that it is about to be sent, and shortens its wait by the time that has passed.
    pub(super) fn prepare(&mut self, is_unavailable: bool, now: Millis) {
        self.first_sent_at.get_or_insert(now);
        self.last_sent_at = now;
        self.was_sent_in_vain = is_unavailable;
        match (self.wait_ends_at, self.request.block_ms()) {
            (Some(end), _) => {
                let left = end.checked_sub(now).filter(|left| *left > 0);
                self.request.set_block_ms(left);
            }
            (None, Some(wait)) if wait > 0 => self.wait_ends_at = now.checked_add(wait),
            _ => {}
        }
    }

    /// Records the id that `$` stood for, so that a read that is sent again misses nothing.
    pub(super) fn resolve_last_id(&mut self, id: &str) {
        self.request.resolve_last_id(id);
    }

    /// Makes a subscription that was sent before continue at its position, with the credit that its
    /// window has left.
    pub(super) fn resume_subscription(&mut self) {
        let Some(window) = &mut self.window else {
            return;
        };
        self.credit = window.resume();
        match (self.request.kind(), window.position()) {
            (TAIL, Some(position)) => self.request.resume_tail(position),
            (CONSUME, position) => {
                let resumed = self.was_sent && self.request.reclaims();
                self.request.resume_consumer(resumed, position);
            }
            _ => {}
        }
    }

    /// Appends its message in the binary encoding.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        if self.is_subscription() {
            self.request.write_subscription(out, self.id, self.credit);
        } else {
            let add = self.add_number.as_ref();
            self.request
                .write_request(out, self.id, add, self.may_be_done);
        }
    }
}
